"""Warnings about estimates of log evidence: members that have none, and estimators that prefer different structures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .marginals import choice_label
from .ranking import error_of_gap


def missing_estimates(members: Iterable[Mapping[str, Any]]) -> list[str]:
    """One warning for every estimator that has no value for some structures, with the reason of the first of them.

    Where it is the estimator that ranks, they aren't in the ranking.
    """
    counts: dict[str, int] = {}
    examples: dict[str, str] = {}
    ranks = None
    for member in members:
        ranks = ranks or next(iter(member["evidence"]), None)
        for name, value in member["evidence"].items():
            if value is None:
                reason = member["evidence_missing"].get(name, "its estimate isn't a finite number")
                counts[name] = counts.get(name, 0) + 1
                examples.setdefault(name, f"{named(member['structure'])}: {reason}")
    return [
        f"{name} has no value for {count} structure(s){', which are left out of the ranking' * (name == ranks)}; "
        f"{examples[name]}"
        for name, count in counts.items()
    ]


def disagreements(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """A warning for every estimator whose best structure isn't that of the first one, where both are sure of it.

    Each must put its own best above the other's by more than two standard errors of the gap. Structures count with
    their prior, as in the ranking.
    """
    priors = [entry["log_prior"] for entry in entries]
    names = list(entries[0]["evidence"]) if entries else []
    best = {name: best_of(entries, priors, name) for name in names}
    found = []
    for name in names[1:]:
        mine, theirs = best[names[0]], best[name]
        if mine is None or theirs is None or mine == theirs:
            continue
        gaps = [clear_gap(entries, priors, *pair) for pair in ((names[0], mine, theirs), (name, theirs, mine))]
        if None in gaps:
            continue
        one, other = entries[mine]["structure"], entries[theirs]["structure"]
        keys = [key for key in one if one[key] != other[key]]
        found.append(
            f"estimators disagree on the best structure: {names[0]} says {named(one, keys)}, by {gaps[0]:.2f} nats; "
            f"{name} says {named(other, keys)}, by {gaps[1]:.2f}"
        )
    return found


def best_of(entries: Sequence[Mapping[str, Any]], priors: Sequence[float], name: str) -> int | None:
    """The number of the entry with the highest estimate + log prior; None where there is no estimate."""
    scores = {
        number: entry["evidence"][name] + prior
        for number, (entry, prior) in enumerate(zip(entries, priors, strict=True))
        if entry["evidence"][name] is not None
    }
    return max(scores, key=lambda number: scores[number]) if scores else None


def clear_gap(
    entries: Sequence[Mapping[str, Any]], priors: Sequence[float], name: str, best: int, other: int
) -> float | None:
    """By how much an estimator prefers one entry to another; None where that isn't beyond two standard errors.

    Nor is it where an error isn't known.
    """
    values = [entries[number]["evidence"][name] for number in (best, other)]
    error = error_of_gap(*(entries[number]["evidence_se"][name] for number in (best, other)))
    if None in values or error is None:
        return None
    gap = float(values[0] + priors[best] - values[1] - priors[other])
    return gap if gap > 2 * error else None


def named(structure: Mapping[str, Any], keys: Sequence[str] | None = None) -> str:
    """A structure, or what it chose of some keys, in a few words."""
    return "; ".join(f"{key} {choice_label(key, structure[key])}" for key in (structure if keys is None else keys))
