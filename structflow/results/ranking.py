"""p(structure | data) from log evidence, and the order of structures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..objective.structure_prior import log_priors
from ..spec.models import Spec
from ..spec.structures import Structure, StructureSpace
from .models import BestRestart


def probabilities(scores: Sequence[float]) -> list[float]:
    """exp(score) normalised to one, without overflow; scores are log evidence (or what else ranks) + log prior."""
    if not scores:
        return []
    best = max(scores)
    weights = [math.exp(score - best) for score in scores]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


class Ranked(NamedTuple):
    """Which of the structures is at a place of the ranking, its log prior and probability, and whether it is tied."""

    number: int
    log_prior: float
    probability: float
    tied_with_best: bool | None


def rank(
    found: Sequence[BestRestart],
    space: StructureSpace,
    spec: Spec,
    gap_error: Callable[[int, int], float | None] | None = None,
) -> list[Ranked]:
    """Structures by posterior probability, equal ones by canonical structure.

    p(structure | data) ∝ exp(score + log prior). A structure is tied with the best if their gap is at most two of its
    standard errors, which `gap_error` gives for the numbers of two structures; by default errors are independent. Where
    the error of either score isn't known, `tied_with_best` is None.
    """
    structures = [Structure.from_dict(each.structure) for each in found]
    priors = log_priors(structures, space, spec)
    scores = [each.score + prior for each, prior in zip(found, priors, strict=True)]
    chances = probabilities(scores)
    order = sorted(range(len(found)), key=lambda number: (-scores[number], structures[number].canonical))

    def is_tied(number: int) -> bool | None:
        best = order[0]
        if number == best:
            return False
        if gap_error is not None:
            return is_tie(scores[best] - scores[number], gap_error(number, best))
        return is_tie(scores[best] - scores[number], error_of_gap(found[number].score_se, found[best].score_se))

    return [Ranked(number, priors[number], chances[number], is_tied(number)) for number in order]


def error_of_gap(*errors: float | None) -> float | None:
    """The standard error of the gap between scores with independent errors; None where one of them isn't known."""
    known = [error for error in errors if error is not None]
    return math.hypot(*known) if len(known) == len(errors) else None


def is_tie(gap: float, error: float | None) -> bool | None:
    """Whether a gap is within two standard errors of it; None where the error isn't known."""
    return None if error is None else gap <= 2 * error
