"""Networks with pruned weights: a table of their own beside the ranking."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import xarray

from ..runner.context import RunContext
from ..runner.select import agreement, canonical, trained_restarts
from .columns import columns
from .convergence import judged_alone
from .evaluations import Found, best_restart
from .models import PrunedNetwork
from .read import structure_name

CONDITIONAL = (
    "conditional on which weights were removed, a choice made from the same data: it can't be compared with the "
    "evidence of unpruned networks"
)
"""What the scores of pruned networks mean, for tables."""


def pruned_networks(
    context: RunContext, setting: int, members: Iterable[Found], h_is_measured: bool
) -> list[PrunedNetwork]:
    """An entry for every structure with pruned weights, by score; of all shares removed, the one with the highest.

    They have no probability. The score is conditional on a mask of weights that was chosen from the same data, so that
    it can't be compared with those of the ranking. `pruned` says by which criterion what share was removed, how many
    weights there were (`weights`) and how many are left; `place` counts from 1. `restarts` are those of that share.
    """
    scores = scores_of_restarts(context, setting)
    kept = []
    for found in members:
        member = found.evaluation
        if member.structure is None or member.pruned is None or member.score is None:
            continue
        restarts = scores[canonical(member.structure), member.pruned.share]
        best = best_restart(member, len(restarts), agreement(restarts))
        convergence = judged_alone(found.convergence, member.noise_se, h_is_measured=h_is_measured)
        kept.append((member.pruned, best, convergence))
    kept.sort(key=lambda each: (-each[1].score, canonical(each[1].structure)))
    return [
        PrunedNetwork(place=place, pruned=pruned, **dict(best), **dict(convergence))
        for place, (pruned, best, convergence) in enumerate(kept, start=1)
    ]


def scores_of_restarts(context: RunContext, setting: int) -> dict[tuple[str, float], list[float | None]]:
    """The scores of the restarts of pruned networks, by structure and by the share of weights that was removed."""
    scores: dict[tuple[str, float], list[float | None]] = defaultdict(list)
    for restart in trained_restarts(context, setting):
        member = restart.member
        if member.is_pruned and member.structure is not None and member.removed is not None:
            scores[canonical(member.structure.as_dict()), member.removed.share].append(restart.found.score)
    return scores


def pruned_dataset(entries: Sequence[PrunedNetwork]) -> xarray.Dataset:
    """One row a pruned network, in the order of the table."""
    names = [structure_name(entry.structure) for entry in entries]
    data = columns(entries, PrunedNetwork, ("score", "score_se"))
    data["score"][2]["description"] = f"score that they are ordered by: {CONDITIONAL}"
    for key, text in (("weights", "weights before pruning"), ("left", "weights kept")):
        counts = np.array([getattr(entry.pruned, key) for entry in entries])
        data[key] = ("structure", counts, {"description": text})
    return xarray.Dataset(data, coords={"structure": np.array(names, dtype=object)})
