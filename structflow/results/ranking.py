"""p(structure | data) from log evidence, and the order of structures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..objective.structure_prior import log_priors
from ..spec.models import Spec
from ..spec.structures import Structure, StructureSpace


def probabilities(scores: Sequence[float]) -> list[float]:
    """exp(score) normalised to one, without overflow; scores are log evidence (or what else ranks) + log prior."""
    if not scores:
        return []
    best = max(scores)
    weights = [math.exp(score - best) for score in scores]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def rank(
    entries: Sequence[dict[str, Any]],
    space: StructureSpace,
    spec: Spec,
    gap_error: Callable[[int, int], float | None] | None = None,
) -> list[dict[str, Any]]:
    """Entries by posterior probability, equal ones by canonical structure, with rank, log prior, probability and ties.

    p(structure | data) ∝ exp(score + log prior). An entry is tied with the best if their gap is at most two of its
    standard errors, which `gap_error` gives for the numbers of two entries; by default errors are independent. Where
    the error of either score isn't known, `tied_with_best` is None.
    """
    structures = [Structure.from_dict(entry["structure"]) for entry in entries]
    priors = log_priors(structures, space, spec)
    scores = [entry["score"] + prior for entry, prior in zip(entries, priors, strict=True)]
    chances = probabilities(scores)
    order = sorted(range(len(entries)), key=lambda index: (-scores[index], structures[index].canonical))
    ranked: list[dict[str, Any]] = []
    for position, index in enumerate(order):
        best = order[0]
        if gap_error is None:
            error = error_of_gap(entries[index]["score_se"], entries[best]["score_se"])
        else:
            error = gap_error(index, best)
        ranked.append(
            {
                "rank": position + 1,
                **entries[index],
                "log_prior": priors[index],
                "probability": chances[index],
                "tied_with_best": False if index == best else is_tie(scores[best] - scores[index], error),
            }
        )
    return ranked


def error_of_gap(*errors: float | None) -> float | None:
    """The standard error of the gap between scores with independent errors; None where one of them isn't known."""
    known = [error for error in errors if error is not None]
    return math.hypot(*known) if len(known) == len(errors) else None


def is_tie(gap: float, error: float | None) -> bool | None:
    """Whether a gap is within two standard errors of it; None where the error isn't known."""
    return None if error is None else gap <= 2 * error
