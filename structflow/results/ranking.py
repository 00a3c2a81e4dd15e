"""p(structure | data) from log evidence, and the order of structures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..spec.models import Spec
from ..spec.structures import Structure, StructureSpace


def log_prior(structure: Structure, space: StructureSpace, spec: Spec) -> float:
    """log p(structure) up to a constant: uniform, but for `any` odds `concentration` for each function chosen."""
    odds = math.log(getattr(spec.prior.structure, "concentration", 1.0))
    chosen = dict(structure.edges)
    return sum(odds * len(chosen[edge.key]) for edge in space.edges if edge.space == "any")


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
    gap_error: Callable[[int, int], float] | None = None,
) -> list[dict[str, Any]]:
    """Entries by posterior probability, equal ones by canonical structure, with rank, probability and ties.

    An entry is tied with the best if the gap is at most two standard errors of it, which `gap_error` gives for the
    numbers of two entries; by default errors are independent.
    """
    structures = [Structure.from_dict(entry["structure"]) for entry in entries]
    scores = [
        entry["score"] + log_prior(structure, space, spec) for entry, structure in zip(entries, structures, strict=True)
    ]
    chances = probabilities(scores)
    order = sorted(range(len(entries)), key=lambda index: (-scores[index], structures[index].canonical))
    ranked: list[dict[str, Any]] = []
    for position, index in enumerate(order):
        best = order[0]
        if gap_error is None:
            error = math.hypot(entries[index]["score_se"], entries[best]["score_se"])
        else:
            error = gap_error(index, best)
        ranked.append(
            {
                "rank": position + 1,
                **entries[index],
                "probability": chances[index],
                "tied_with_best": scores[best] - scores[index] <= 2 * error if index != best else False,
            }
        )
    return ranked
