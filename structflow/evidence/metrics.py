"""Metrics of the predictions of trained members, all members at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..objective.guarded_likelihood import GuardedLikelihood
from ..objective.noise import NoiseField, NoiseLayout, noise_source
from ..plugins import Metric, TargetKind
from ..plugins.calling import Calling, broken_contract
from ..plugins.registry import registry
from ..spec.estimator_labels import estimator_labels
from .prediction import MOST_PREDICTED_ROWS, Prediction, predict
from .predictive_cdf import generator_of
from .trained import TrainedPopulation

Rows = tuple[np.ndarray, np.ndarray]
"""Inputs (rows, *input_shape) and targets (rows, …) as prepared."""

Metrics = dict[str, float]
"""A number by name, in the target's original units."""

MOST_DRAWS = 20_000_000
"""Draws of y that are held at a time; metrics of them are means over rows, so that blocks of rows can be averaged."""


@dataclass(frozen=True)
class PredictedRows:
    """For every member: mean predictions (M, rows, …), log predictive densities (M, rows), transforms of the targets.

    `transforms` (M, rows, targets) are u = P(Y < y) + v P(Y = y), v uniform on (0, 1): uniform where predictions are
    calibrated, for counts, too. None where they weren't asked for.
    """

    mean: np.ndarray
    log_prob: np.ndarray
    transforms: np.ndarray | None


@dataclass(frozen=True)
class MemberPrediction:
    """What a member predicts for some rows, in original units; see `plugins.Predicted`. Without some, `pit` or `draws`
    are empty.
    """

    target: TargetKind
    mean: np.ndarray
    log_density: np.ndarray
    pit: np.ndarray = field(default_factory=lambda: np.empty(0))
    draws: np.ndarray = field(default_factory=lambda: np.empty(0))


def member_metrics(
    sampled: TrainedPopulation, rows: Rows, samples: int, name: str, wanted: Sequence[Any] = ()
) -> list[Metrics]:
    """For every member the metrics of its predictions for some rows; {} for no rows.

    They are the default ones for the kind of targets, the likelihood's own, and those `wanted` (options), of
    predictions that average over `samples` of q. `sampled` has a bound that samples all weights; `name` tells the
    noise of draws for these rows from that for others.
    """
    if len(rows[0]) == 0:
        return [{} for _ in range(sampled.size)]
    has_pit = sampled.bound.likelihood.target in ("continuous", "counts")
    found = predicted_rows(sampled, rows, samples, f"calibration/{name}" if has_pit else None)
    quality = prediction_quality(sampled, rows[1], found, with_pit=True)
    labels = estimator_labels(wanted)
    plain = {label: each for label, each in zip(labels, wanted, strict=True) if not plugin_of(each).needs_draws}
    drawn = {label: each for label, each in zip(labels, wanted, strict=True) if plugin_of(each).needs_draws}
    y = in_units(rows[1], sampled)
    for member, predicted in enumerate(predictions(sampled, found)):
        quality[member].update({label: value_of(each, predicted, y) for label, each in plain.items()})
    if drawn:
        for metrics, more in zip(quality, drawn_metrics(sampled, rows, samples, name, drawn), strict=True):
            metrics.update(more)
    return quality


def prediction_quality(
    sampled: TrainedPopulation, y: np.ndarray, found: PredictedRows, with_pit: bool = False
) -> list[Metrics]:
    """For every member the default metrics for prepared targets y, those that need `pit` if there is one."""
    return [
        quality_of(sampled.bound.likelihood, predicted, y, mean, sampled.target_shift, with_pit)
        for predicted, mean in zip(predictions(sampled, found), found.mean, strict=True)
    ]


def quality_of(
    likelihood: GuardedLikelihood,
    predicted: MemberPrediction,
    y: np.ndarray,
    mean: np.ndarray,
    shift: np.ndarray | float,
    with_pit: bool = False,
) -> Metrics:
    """The default metrics of a member, and those of its likelihood, for y and mean predictions in prepared units."""
    registered = [each for each in registry().of_kind("metrics").values() if each.plugin.is_default]
    fitting = [each for each in registered if likelihood.target in each.plugin.targets]
    targets = scaled(y, likelihood, shift)
    found = {
        each.type: value_of(each.options(), predicted, targets)
        for each in sorted(fitting, key=lambda each: each.plugin.order)
        if with_pit or not each.plugin.needs_pit
    }
    return {**found, **likelihood.metrics(y, mean)}


def predictions(sampled: TrainedPopulation, found: PredictedRows) -> list[MemberPrediction]:
    """What every member predicts, in original units."""
    likelihood = sampled.bound.likelihood
    log_scale = float(np.log(likelihood.target_scale).sum())
    none = np.empty(0)
    return [
        MemberPrediction(
            likelihood.target,
            in_units(mean, sampled),
            log_prob - log_scale,
            none if found.transforms is None else found.transforms[member],
        )
        for member, (mean, log_prob) in enumerate(zip(found.mean, found.log_prob, strict=True))
    ]


def drawn_metrics(
    sampled: TrainedPopulation, rows: Rows, samples: int, name: str, wanted: Mapping[str, Any]
) -> list[Metrics]:
    """For every member metrics of draws of y, one a sample of q, in the mean over blocks of rows."""
    target, none = sampled.bound.likelihood.target, np.empty(0)
    block = max(1, MOST_DRAWS // (sampled.size * samples * max(1, rows[1].shape[-1])))
    totals = [dict.fromkeys(wanted, 0.0) for _ in range(sampled.size)]
    for begin in range(0, len(rows[0]), block):
        x, y = (part[begin : begin + block] for part in rows)
        targets, share = in_units(y, sampled), len(x) / len(rows[0])
        for total, draws in zip(totals, draws_of_members(sampled, x, samples, f"draws/{name}/{begin}"), strict=True):
            predicted = MemberPrediction(target, none, none, none, in_units(draws, sampled))
            for label, options in wanted.items():
                total[label] += share * value_of(options, predicted, targets)
    return totals


def draws_of_members(sampled: TrainedPopulation, x: np.ndarray, samples: int, phase: str) -> Iterator[np.ndarray]:
    """Member by member a draw of y for every sample of q and row, (S, rows, targets), in prepared units."""
    likelihood = sampled.bound.likelihood
    own = sampled.parameters.theta.likelihood
    chunks = [output.mean for output in sampled.outputs(torch.from_numpy(x).to(sampled.x.device), samples, "predict")]
    for member, (f, key) in enumerate(zip(torch.cat(chunks, dim=1), sampled.keys, strict=True)):
        parameters = {name: value[member] for name, value in own.items()}
        drawn = [likelihood.draw(parameters, each, generator_of(key, phase, number)) for number, each in enumerate(f)]
        yield np.stack(drawn)


def in_units(values: np.ndarray, sampled: TrainedPopulation) -> np.ndarray:
    """Prepared targets, or predictions of them, in original units."""
    return scaled(values, sampled.bound.likelihood, sampled.target_shift)


def scaled(values: np.ndarray, likelihood: GuardedLikelihood, shift: np.ndarray | float) -> np.ndarray:
    """The same, given what was taken off the targets."""
    if likelihood.target != "continuous":
        return values
    return np.asarray(values * likelihood.target_scale + shift)


def plugin_of(options: Any) -> type[Metric]:
    """The metric that options belong to."""
    found: type[Metric] = registry().get("metrics", options.type)
    return found


def value_of(options: Any, predicted: MemberPrediction, y: np.ndarray) -> float:
    """A metric's value; raises `PluginError` where it isn't a number."""
    plugin = plugin_of(options)
    with Calling(plugin, "value"):
        found: Any = plugin.value(options, predicted, y)
    if isinstance(found, bool) or not isinstance(found, int | float | np.floating):
        raise broken_contract(plugin, "value", f"{found!r}", "a number")
    return float(found)


def predicted_rows(
    sampled: TrainedPopulation, rows: Rows, samples: int, transforms: str | None = None
) -> PredictedRows:
    """Predictions for at least one row; `transforms` asks for those of the targets, and names their noise."""
    found = list(predicted_pieces(sampled, rows, samples, transforms))
    mean, log_prob, uniform = zip(*found, strict=True)
    return PredictedRows(
        np.concatenate(mean, axis=1),
        np.concatenate(log_prob, axis=1),
        None if transforms is None else np.concatenate(uniform, axis=1),
    )


def predicted_pieces(
    sampled: TrainedPopulation, rows: Rows, samples: int, transforms: str | None
) -> Iterator[tuple[np.ndarray, ...]]:
    """Mean, log density and transforms (empty where not asked for) of so many rows at a time that memory suffices."""
    device = sampled.x.device
    for begin in range(0, len(rows[0]), MOST_PREDICTED_ROWS):
        x, y = (torch.from_numpy(part[begin : begin + MOST_PREDICTED_ROWS]).to(device) for part in rows)
        phase = None if transforms is None else f"{transforms}/{begin}"
        prediction = predict(sampled, x, y, samples, phase)
        assert prediction.log_prob is not None
        uniform = np.empty(0) if phase is None else transformed(sampled, prediction, phase)
        yield prediction.mean.cpu().numpy(), prediction.log_prob.cpu().numpy(), uniform


def transformed(sampled: TrainedPopulation, prediction: Prediction, phase: str) -> np.ndarray:
    """u = P(Y < y) + v P(Y = y) of every member, row and target; v is the member's own noise."""
    assert prediction.below is not None
    assert prediction.equal is not None
    members, *shape = prediction.below.shape
    device = prediction.below.device
    layout = NoiseLayout((NoiseField("v", np.arange(members), tuple(shape)),))
    source = noise_source(layout, sampled.keys, phase).to(device)
    flat = source.uniforms(torch.zeros(1, dtype=torch.int64, device=device), 1, torch.float64, compiled=False)[0]
    v = layout.unpack(flat)["v"][:, 0]
    found: np.ndarray = (prediction.below + v * prediction.equal).cpu().numpy()
    return found
