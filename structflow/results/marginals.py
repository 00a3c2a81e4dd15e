"""What a ranking says of each choice by itself."""

from __future__ import annotations

from collections.abc import Sequence

from .models import RankingEntry


def marginal_probabilities(ranking: Sequence[RankingEntry]) -> dict[str, dict[str, float]]:
    """For every edge, and every node that chooses its shape, the probability of each choice over all structures.

    Structures in which the choice has no effect count as ∅, not as what could be chosen there: so the probabilities of
    the functions add up to the probability that the choice has an effect.
    """
    marginals: dict[str, dict[str, float]] = {}
    for entry in ranking:
        for key, chosen in entry.structure.items():
            label = choice_label(key, chosen)
            choices = marginals.setdefault(key, {})
            choices[label] = choices.get(label, 0.0) + entry.probability
    return {
        key: dict(sorted(choices.items(), key=lambda item: (-item[1], item[0]))) for key, choices in marginals.items()
    }


def choice_label(key: str, chosen: Sequence[str] | Sequence[int]) -> str:
    """How a choice is shown: names joined by +, a shape as 20 or 3×8×8, ∅ for none.

    ∅ on an edge says that it passes nothing on to the output; of a node that the output doesn't depend on it.

    >>> choice_label("x->h", ["dense:tanh", "linear"]), choice_label("h", [3, 8, 8]), choice_label("x->k", [])
    ('dense:tanh + linear', '3×8×8', '∅')
    """
    return (" + " if "->" in key else "×").join(map(str, chosen)) or "∅"
