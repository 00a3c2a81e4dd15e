"""Predictions of a run: a mixture over structures, weighted by posterior probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..evidence.prediction import predict
from ..runner.context import RunContext
from ..runner.evaluate import load_evaluated
from ..runner.select import canonical


@dataclass(frozen=True)
class MixturePrediction:
    """Mean and standard deviation of y for every row, in the target's units: (rows, targets or classes)."""

    mean: np.ndarray
    standard_deviation: np.ndarray


def predict_mixture(
    context: RunContext, ranking: Sequence[Mapping[str, Any]], inputs: Any, samples: int, best_only: bool
) -> MixturePrediction:
    """E y = Σ_k p_k m_k and Var y = Σ_k p_k (v_k + m_k²) − (E y)², over the structures k of the first setting."""
    weights = {canonical(entry["structure"]): entry["probability"] for entry in ranking}
    if best_only:
        weights = dict.fromkeys([canonical(ranking[0]["structure"])], 1.0)
    dataset = context.study.dataset
    x = torch.from_numpy(dataset.transform_inputs(inputs)).to(context.execution.device)
    mean: Any = 0.0
    square: Any = 0.0
    for evaluated in load_evaluated(context, 0):
        prediction = predict(evaluated.sampled, x, None, samples)
        for number, member in enumerate(evaluated.members):
            weight = 0.0 if member["structure"] is None else weights.get(canonical(member["structure"]), 0.0)
            if weight > 0:
                part = prediction.mean[number].cpu().numpy()
                mean = mean + weight * part
                square = square + weight * (prediction.variance[number].cpu().numpy() + part**2)
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    if dataset.target_kind == "continuous":
        return MixturePrediction(mean * dataset.target_scale + dataset.target_shift, deviation * dataset.target_scale)
    return MixturePrediction(mean, deviation)
