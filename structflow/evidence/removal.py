"""Weights removed in the order of a relevance criterion, and the bound of the smaller model that is left.

A removed weight is held at zero: in every draw w ~ q(w) it is replaced by 0, and its divergence leaves the bound. The
hyperparameters stay as they were trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..objective.weight_vectors import PopulationWeights
from ..plugins import Estimate, Relevance
from ..plugins.calling import Calling, broken_contract

CHUNK_NUMBERS = 2_000_000
"""Numbers of a node's values that are held at a time: it bounds memory, never what is computed."""


def removal_places(criterion: type[Relevance], options: Any, weights: PopulationWeights, kept: Tensor) -> Tensor:
    """When each weight is removed, (M, n): 0 for the first, and so on; n for places that `kept` (M, n) calls false."""
    size = kept.shape[1]
    if not criterion.sequential:
        order = checked_scores(criterion, options, weights, kept).argsort(dim=1, stable=True)
        return torch.argsort(order, dim=1).where(kept, size)
    places, left = torch.full_like(kept, size, dtype=torch.int64), kept.clone()
    for place in range(int(kept.sum(1).max())):
        scores = checked_scores(criterion, options, weights, left)
        chosen = scores.argsort(dim=1, stable=True)[:, :1]
        places.scatter_(1, chosen, torch.where(left.gather(1, chosen), place, size))
        left.scatter_(1, chosen, False)
    return places


def checked_scores(criterion: type[Relevance], options: Any, weights: PopulationWeights, kept: Tensor) -> Tensor:
    """Scores of the weights that are left, infinite elsewhere; raises `PluginError` where they aren't finite numbers.

    Places without a weight have their own infinity, so that they come last.
    """
    with Calling(criterion, "scores"), torch.no_grad():
        scores: Any = criterion.scores(options, weights, kept)
    is_numbers = isinstance(scores, Tensor) and scores.is_floating_point() and scores.device == kept.device
    if not is_numbers or scores.shape != kept.shape or not bool(torch.isfinite(scores[kept]).all()):
        got = type(scores).__name__
        if isinstance(scores, Tensor):
            same = scores.shape == kept.shape and is_numbers
            got = "NaN or infinities" if same else f"the shape {tuple(scores.shape)} in {scores.dtype}"
        expected = f"a finite number for each of {tuple(kept.shape)} weights"
        raise broken_contract(criterion, "scores", got, expected)
    found: Tensor = scores.where(kept, torch.inf)
    return found


def kept_after(places: Tensor, share: float) -> Tensor:
    """Which weights are left, (M, n), once a share of them is removed: of N, the first round(share · N)."""
    present = places < places.shape[1]
    removed = (share * present.sum(1, keepdim=True)).round()
    return present & (places >= removed)


def draws_without(weights: PopulationWeights, kept: Tensor, samples: int, phase: str) -> Tensor:
    """Draws of q(w) with the removed weights at zero, (M, samples, n)."""
    return weights.draws(samples, phase).where(kept.unsqueeze(1), 0.0)


def bound_without(weights: PopulationWeights, kept: Tensor, draws: Tensor) -> Estimate:
    """E_q log p(y | X, w) − KL(q(w_kept) ‖ p(w_kept | h)) by draws (M, S, n), (M,) each with its standard error.

    It is a lower bound on the log evidence of the model without the removed weights, in the units it was trained in.
    """
    parts = [weights.log_likelihood(part) for part in in_chunks(weights, draws, weights.rows)]
    found = Estimate.of_samples(parts)
    return Estimate(found.value - kept_divergence(weights, kept), found.standard_error)


def kept_divergence(weights: PopulationWeights, kept: Tensor) -> Tensor:
    """KL(q ‖ p) = −H(q) − E_q log p(w | h) of the weights that are left, whose q is the marginal of q(w), (M,)."""
    return -weights.entropy(kept) - weights.expected_log_prior().where(kept, 0.0).sum(1)


def in_chunks(weights: PopulationWeights, draws: Tensor, rows: int) -> Iterator[Tensor]:
    """Draws (M, S, n) in pieces along S that fit into memory for so many rows."""
    widest = max(shape.numel() for shape in map(torch.Size, weights.bound.population.layout.node_shapes.values()))
    yield from draws.split(max(1, CHUNK_NUMBERS // max(1, len(draws) * rows * widest)), dim=1)
