"""Metrics of the predictions of trained members, all members at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..objective.noise import NoiseField, NoiseLayout, noise_source
from .calibration import label_calibration_error, quantile_calibration_error
from .prediction import MOST_PREDICTED_ROWS, Prediction, predict
from .trained import TrainedPopulation

Rows = tuple[np.ndarray, np.ndarray]
"""Inputs (rows, *input_shape) and targets (rows, …) as prepared."""

Metrics = dict[str, float]
"""A number by name, in the target's original units."""


@dataclass(frozen=True)
class PredictedRows:
    """For every member: mean predictions (M, rows, …), log predictive densities (M, rows), transforms of the targets.

    `transforms` (M, rows, targets) are u = P(Y < y) + v P(Y = y), v uniform on (0, 1): uniform where predictions are
    calibrated, for counts, too. None where they weren't asked for.
    """

    mean: np.ndarray
    log_prob: np.ndarray
    transforms: np.ndarray | None


def member_metrics(sampled: TrainedPopulation, rows: Rows, samples: int, name: str) -> list[Metrics]:
    """For every member the metrics of its predictions for some rows; {} for no rows.

    - Those of the likelihood, such as `rmse`, `mae` or `accuracy`, of the mean prediction over `samples` of q.
    - `log_likelihood`: (1/m) Σ_i log (1/S) Σ_s p(y_i | f_s(x_i)), the mean log predictive density of a row, in nats.
    - `calibration_error`: see `calibration`; of continuous targets and counts by their transforms u.

    `sampled` has a bound that samples all weights; `name` tells the noise of v for these rows from that for others.
    """
    if len(rows[0]) == 0:
        return [{} for _ in range(sampled.size)]
    target = sampled.bound.likelihood.target
    if target in ("classes", "binary"):
        found = predicted_rows(sampled, rows, samples)
        errors = [label_calibration_error(target, rows[1], probabilities) for probabilities in found.mean]
    else:
        found = predicted_rows(sampled, rows, samples, f"calibration/{name}")
        assert found.transforms is not None
        errors = [quantile_calibration_error(transforms) for transforms in found.transforms]
    quality = prediction_quality(sampled, rows[1], found)
    return [{**metrics, "calibration_error": error} for metrics, error in zip(quality, errors, strict=True)]


def prediction_quality(sampled: TrainedPopulation, y: np.ndarray, found: PredictedRows) -> list[Metrics]:
    """For every member the metrics of `member_metrics` but the calibration error, for prepared targets y."""
    likelihood = sampled.bound.likelihood
    shift = float(np.log(likelihood.target_scale).sum())
    return [
        {**likelihood.metrics(y, mean), "log_likelihood": float(log_prob.mean()) - shift}
        for mean, log_prob in zip(found.mean, found.log_prob, strict=True)
    ]


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
