"""What a ranking says of each choice by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def marginal_probabilities(ranking: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """For every edge, and every node that chooses its shape, the probability of each choice over all structures."""
    marginals: dict[str, dict[str, float]] = {}
    for entry in ranking:
        for key, chosen in entry["structure"].items():
            label = choice_label(key, chosen)
            choices = marginals.setdefault(key, {})
            choices[label] = choices.get(label, 0.0) + entry["probability"]
    return {
        key: dict(sorted(choices.items(), key=lambda item: (-item[1], item[0]))) for key, choices in marginals.items()
    }


def choice_label(key: str, chosen: Sequence[Any]) -> str:
    """How a choice is shown: names joined by +, ∅ for none, a shape as 20 or 3×8×8."""
    if "->" in key:
        return " + ".join(map(str, chosen)) or "∅"
    return "×".join(map(str, chosen))
