"""Metrics of trained members under noise: RMSE_σ on the inputs, E_σ on the weights.

With ε_t of independent standard normals, t = 1..T, and σ a standard deviation, each is the mean of a metric over T
predictions:

    inputs:   (1/T) Σ_t metric of p(y | x + σ ε_t, data),    one ε_t for all members, in the units of prepared inputs
    weights:  (1/T) Σ_t metric of ∫ p(y | x, w + σ ε_t) q(w) dw,    ε_t of the member's own, in units of weights

So noise on weights moves q as a whole: μ becomes μ + σ ε_t, and its spread stays. For a point it is noise on the
weights themselves. σ = 0 gives the metrics without noise, and every σ has the same ε_t, so that curves over σ are
smooth. Published figures name the variance: RMSE_.5 has σ = √0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch

from ..objective.noise import NoiseField, NoiseLayout, member_keys, noise_source
from ..objective.weights_posterior import GroupValues
from ..spec.models import Robustness
from .metrics import Metrics, Rows, predicted_rows, prediction_quality
from .trained import TrainedPopulation

MemberRobustness = dict[str, dict[str, Metrics]]
"""Metrics by what the noise is on (`inputs`, `weights`) and by σ as text."""


def member_robustness(
    sampled: TrainedPopulation, rows: Rows, samples: int, name: str, options: Robustness, seed: int
) -> list[MemberRobustness]:
    """For every member its metrics under noise for some rows; {} for no rows, or where no σ is asked for.

    Each prediction averages over `samples` of q, with the noise of the metrics without noise. `name` tells the noise
    on these rows from that on others; with `seed` it is all that noise on inputs depends on.
    """
    if len(rows[0]) == 0 or not options.is_wanted:
        return [{} for _ in range(sampled.size)]
    x, y = rows

    def under_input_noise(number: int, deviation: float) -> list[Metrics]:
        noisy = x + deviation * input_noise(x.shape, seed, name, number)
        return prediction_quality(sampled, y, predicted_rows(sampled, (noisy, y), samples))

    def under_weight_noise(number: int, deviation: float) -> list[Metrics]:
        moved = with_moved_means(sampled, number, deviation)
        return prediction_quality(moved, y, predicted_rows(moved, rows, samples))

    found = {
        "inputs": [averages(under_input_noise, deviation, options.samples) for deviation in options.inputs],
        "weights": [averages(under_weight_noise, deviation, options.samples) for deviation in options.weights],
    }
    deviations = {"inputs": options.inputs, "weights": options.weights}
    return [
        {
            where: {
                deviation_label(deviation): metrics[member]
                for deviation, metrics in zip(deviations[where], found[where], strict=True)
            }
            for where in found
        }
        for member in range(sampled.size)
    ]


def averages(of_draw: Callable[[int, float], list[Metrics]], deviation: float, draws: int) -> list[Metrics]:
    """For every member the means of its metrics over the draws of noise; without noise a single draw says all."""
    numbers = range(draws if deviation > 0 else 1)
    by_member: Iterable[Sequence[Metrics]] = zip(*(of_draw(number, deviation) for number in numbers), strict=True)
    return [{name: float(np.mean([each[name] for each in found])) for name in found[0]} for found in by_member]


def input_noise(shape: tuple[int, ...], seed: int, name: str, number: int) -> np.ndarray:
    """ε of one draw for inputs (rows, *input_shape); a row's numbers are the same however many rows follow it."""
    layout = NoiseLayout((NoiseField("inputs", np.zeros(1, dtype=np.int64), shape),))
    source = noise_source(layout, member_keys([f"{seed}/robustness"]), f"robustness/{name}")
    flat = source.normals(torch.tensor([number]), 1, torch.float64, compiled=False)[0]
    noise: np.ndarray = layout.unpack(flat)["inputs"][0, 0].numpy()
    return noise


def with_moved_means(sampled: TrainedPopulation, number: int, deviation: float) -> TrainedPopulation:
    """The members with μ + σ ε for μ, of whatever q."""
    by = [deviation * noise for noise in weight_noise(sampled, number)]
    kept = sampled.with_curvature()
    return replace(kept, parameters=sampled.bound.weights.moved(sampled.parameters, by))


def weight_noise(sampled: TrainedPopulation, number: int) -> GroupValues:
    """ε of one draw for the weights of every group, (C, size)."""
    population = sampled.bound.population
    fields = [
        NoiseField(f"{group.name}/{weight}", index.slots, shape)
        for group, index in zip(population.layout.groups, population.groups, strict=True)
        for weight, shape in group.shapes.items()
    ]
    layout, device = NoiseLayout(tuple(fields)), sampled.x.device
    source = noise_source(layout, sampled.keys, "robustness").to(device)
    flat = source.normals(torch.tensor([number], device=device), 1, torch.float64, compiled=False)[0]
    noise = layout.unpack(flat)
    return [
        group.join({weight: noise[f"{group.name}/{weight}"][:, 0] for weight in group.shapes})
        for group in population.layout.groups
    ]


def deviation_label(deviation: float) -> str:
    """σ as the key of a mapping: 0.5, or 1 for 1.0."""
    return str(int(deviation)) if deviation.is_integer() else repr(deviation)
