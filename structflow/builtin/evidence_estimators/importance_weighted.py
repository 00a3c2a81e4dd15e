"""The importance-weighted bound."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from ...plugins import Estimate, EvidenceEstimator, Options, TrainedMembers

if TYPE_CHECKING:
    from torch import Tensor

    from ...plugins import WeightVectors

CHUNK_NUMBERS = 4_000_000
"""Numbers of one node's values that are held at a time: it bounds memory, never what is computed."""

LEAST_REPETITIONS = 8
"""Repetitions whose spread gives the error of their mean: Student's t with 7 degrees of freedom has variance 1.4."""


class ImportanceWeightedOptions(Options):
    """Keys of the estimator `iwelbo`."""

    k: int = Field(16, ge=1, le=100_000, description="Samples under one logarithm: the bound rises with it.")


class ImportanceWeighted(EvidenceEstimator):
    """E log (1/k) Σ_j p(y, w_j | h) / q(w_j) ≤ log p(y | h), w_1 … w_k from q. Burda et al. (2016).

    With k = 1 it is the bound `elbo`; it rises with k towards the evidence. All weights are sampled, also those that
    `elbo` integrates out: a bound on part of the weights would stay short of the evidence for every k. The mean over
    max(2, samples // k) repetitions, with its standard error; fewer than 8 are too few for one.
    """

    type = "iwelbo"
    Options = ImportanceWeightedOptions
    of_weights = True

    @staticmethod
    def cost(options: ImportanceWeightedOptions, weights: int, samples: int) -> float:
        return float(max(2, samples // options.k) * options.k)

    @staticmethod
    def estimate(options: ImportanceWeightedOptions, trained: TrainedMembers, samples: int) -> Estimate:
        """The mean over repetitions and its standard error."""
        import torch

        repetitions = max(2, samples // options.k)
        log_ratios = torch.cat(log_weights(trained.weights, repetitions * options.k), dim=1)
        log_means = log_ratios.unflatten(1, (repetitions, options.k)).logsumexp(2) - math.log(options.k)
        found = Estimate.of_samples([log_means])
        if repetitions >= LEAST_REPETITIONS:
            return found
        reason = (
            f"it is the mean of {repetitions} repetitions, too few to know its error; set evidence.samples to "
            f"{LEAST_REPETITIONS * options.k} or more, or a smaller k"
        )
        unknown = torch.full_like(found.value, torch.nan)
        return Estimate(found.value, unknown, unsure=dict.fromkeys(range(len(unknown)), reason))


def log_weights(vectors: WeightVectors, samples: int) -> list[Tensor]:
    """log p(y, w | h) − log q(w) for samples w of q, in chunks (M, s)."""
    import torch

    members, size = vectors.used.shape
    chunk = max(1, CHUNK_NUMBERS // (members * max(size, vectors.rows * vectors.widest)))
    found = []
    with torch.no_grad():
        for first in range(0, samples, chunk):
            weights = vectors.draws(min(chunk, samples - first), "iwelbo", first)
            joint = vectors.log_likelihood(weights) + vectors.log_prior(weights)
            found.append(joint - vectors.log_posterior(weights))
    return found
