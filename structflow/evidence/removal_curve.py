"""How well a model predicts as more and more of its weights are removed, and how well under noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from ..objective.bound import Bound
from ..objective.noise import NoiseField, NoiseLayout, member_keys, noise_source
from ..objective.weight_vectors import PopulationWeights
from .metrics import MemberPrediction, quality_of, scaled
from .removal import bound_without, draws_without, in_chunks, kept_after

Metrics = list[dict[str, float]]
"""Metrics of every member by name."""

PHASE = "removal"
"""Names the draws of q(w): the same ones at every share, so that a curve bends by what is removed and not by noise."""


@dataclass(frozen=True)
class CurveSettings:
    """What a curve consists of: shares of the weights removed, draws of q, and noise in standard deviations.

    `shift` is the sum of the logarithms of what the targets were divided by: it brings log densities into their units.
    `target_shift` is what was taken off them before.
    """

    shares: Sequence[float]
    samples: int
    input_noise: Sequence[float] = ()
    weight_noise: Sequence[float] = ()
    perturbations: int = 8
    seed: int = 0
    shift: float = 0.0
    target_shift: np.ndarray | float = 0.0


@dataclass(frozen=True)
class CurveRows:
    """Rows that metrics are computed on, prepared as the training rows are: x (rows, …) and y (rows, …)."""

    x: Tensor
    y: Tensor


@dataclass
class RemovalCurve:
    """Of one member: a value for every share. Metrics by rows and name; noise also by its standard deviation."""

    share: list[float] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    bound: list[float] = field(default_factory=list)
    bound_se: list[float] = field(default_factory=list)
    metrics: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    input_noise: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    weight_noise: dict[str, dict[str, list[float]]] = field(default_factory=dict)


def removal_curves(
    weights: PopulationWeights, places: Tensor, rows: dict[str, CurveRows], settings: CurveSettings
) -> list[RemovalCurve]:
    """The curve of every member when its weights are removed in the order of `places` (M, n).

    `rows` are those of `train`, and of `test` where there are any; noise is tried on the last of them. Of a point
    posterior there is no bound.
    """
    curves = [RemovalCurve() for _ in range(len(places))]
    has_bound = weights.bound.weights.family.plugin.has_density
    total = (places < places.shape[1]).sum(1)
    for share in settings.shares:
        kept = kept_after(places, share)
        draws = draws_without(weights, kept, settings.samples, PHASE)
        removed = (total - kept.sum(1)).tolist()
        bound = bound_without(weights, kept, draws) if has_bound else None
        for member, curve in enumerate(curves):
            curve.share.append(share)
            curve.removed.append(removed[member])
            curve.bound.append(math.nan if bound is None else float(bound.value[member]))
            curve.bound_se.append(math.nan if bound is None else float(bound.standard_error[member]))
        for name, part in rows.items():
            found = metrics_of(weights, draws, part, settings)
            for curve, values in zip(curves, found, strict=True):
                append(curve.metrics.setdefault(name, {}), values)
        tried = list(rows.values())[-1]
        for deviation in settings.input_noise:
            found = metrics_under_input_noise(weights, draws, tried, deviation, settings)
            for curve, values in zip(curves, found, strict=True):
                append(curve.input_noise.setdefault(f"{deviation:g}", {}), values)
        for deviation in settings.weight_noise:
            found = metrics_under_weight_noise(weights, draws, kept, tried, deviation, settings)
            for curve, values in zip(curves, found, strict=True):
                append(curve.weight_noise.setdefault(f"{deviation:g}", {}), values)
    return curves


def append(columns: dict[str, list[float]], values: dict[str, float]) -> None:
    """One more number in every column."""
    for name, value in values.items():
        columns.setdefault(name, []).append(value)


def metrics_of(weights: PopulationWeights, draws: Tensor, rows: CurveRows, settings: CurveSettings) -> Metrics:
    """Metrics of E y and log (1/S) Σ_s p(y | x, w_s) over draws of weights (M, S, n)."""
    bound: Bound = weights.bound
    own = weights.parameters.theta.likelihood
    moments = vmap(vmap(bound.likelihood.moments, (None, 0)), (0, 0))
    mean: Tensor | None = None
    log_sum: Tensor | None = None
    with torch.no_grad():
        for part in in_chunks(weights, draws, len(rows.x)):
            outputs = weights.outputs_at(part, rows.x)
            found = moments(own, outputs)[0].sum(1)
            log_prob = weights.row_log_likelihood_at(outputs, rows.y).logsumexp(1)
            mean = found if mean is None else mean + found
            log_sum = log_prob if log_sum is None else torch.logaddexp(log_sum, log_prob)
    assert mean is not None
    assert log_sum is not None
    prediction = (mean / draws.shape[1]).cpu().numpy()
    log_density = (log_sum - math.log(draws.shape[1])).cpu().numpy() - settings.shift
    likelihood, shift = bound.likelihood, settings.target_shift
    found_of = [
        MemberPrediction(likelihood.target, scaled(mean_of, likelihood, shift), log_density_of)
        for mean_of, log_density_of in zip(prediction, log_density, strict=True)
    ]
    y = rows.y.cpu().numpy()
    return [
        quality_of(likelihood, predicted, y, mean_of, shift)
        for predicted, mean_of in zip(found_of, prediction, strict=True)
    ]


def metrics_under_input_noise(
    weights: PopulationWeights, draws: Tensor, rows: CurveRows, deviation: float, settings: CurveSettings
) -> Metrics:
    """Metrics at inputs x + σ ε, ε ~ N(0, I) fresh for every row, in their mean over perturbations of all rows.

    The noise is of the study's seed: all members and shares see the same. σ is in units of the prepared inputs.
    """
    normals = noise_of(member_keys([f"input noise/{settings.seed}"]), rows.x.shape, settings.perturbations, rows.x)
    return mean_metrics(
        metrics_of(weights, draws, CurveRows(rows.x + deviation * noise, rows.y), settings) for noise in normals[0]
    )


def metrics_under_weight_noise(
    weights: PopulationWeights,
    draws: Tensor,
    kept: Tensor,
    rows: CurveRows,
    deviation: float,
    settings: CurveSettings,
) -> Metrics:
    """Metrics with weights w + σ ε in all draws of w, removed ones at zero, in their mean over perturbations ε."""
    noise = weights.normals(settings.perturbations, "weight_noise").where(kept.unsqueeze(1), 0.0)
    return mean_metrics(
        metrics_of(weights, draws + deviation * noise[:, [number]], rows, settings)
        for number in range(settings.perturbations)
    )


def noise_of(keys: np.ndarray, shape: Sequence[int], count: int, like: Tensor) -> Tensor:
    """Standard normals (len(keys), count, *shape)."""
    layout = NoiseLayout((NoiseField("inputs", np.arange(len(keys)), tuple(shape)),))
    source = noise_source(layout, keys, PHASE).to(like.device)
    flat = source.normals(torch.arange(count, device=like.device), 1, like.dtype, compiled=False)[:, 0]
    return layout.unpack(flat)["inputs"]


def mean_metrics(repeated: Any) -> Metrics:
    """The mean of every metric of every member over repetitions."""
    columns = list(repeated)
    return [
        {name: float(np.mean([found[member][name] for found in columns])) for name in columns[0][member]}
        for member in range(len(columns[0]))
    ]
