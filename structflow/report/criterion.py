"""How the score that structures are ranked by is written, by the criterion of the run."""

from __future__ import annotations

from ..plugins.registry import registry


def score_label(criterion: str) -> str:
    """What the score of a criterion is called; its type where the package isn't installed any more."""
    known = registry().of_kind("criteria").get(criterion)
    return criterion if known is None else str(known.plugin.label)


def has_noise(criterion: str) -> bool:
    """Whether the score of a criterion has a Monte Carlo error: that of one value of the weights has none."""
    known = registry().of_kind("criteria").get(criterion)
    return known is None or not known.plugin.trains_point
