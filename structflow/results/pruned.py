"""Networks with pruned weights: a table of their own beside the ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray

from ..runner.select import canonical
from .read import structure_name

FROM_EVALUATION = (
    "score",
    "score_se",
    "log_evidence",
    "log_evidence_se",
    "evidence",
    "evidence_se",
    "c_param",
    "relative_density",
    "hyperparameters",
    "metrics",
    "robustness",
)
"""What an evaluated member passes on to its entry."""

CONDITIONAL = (
    "conditional on which weights were removed, a choice made from the same data: it can't be compared with the "
    "evidence of unpruned networks"
)
"""What the scores of pruned networks mean, for tables."""


def pruned_networks(
    members: Sequence[Mapping[str, Any]], selection: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """An entry for every structure with pruned weights, by score; of all shares removed, the one with the highest.

    They have no probability. The score is conditional on a mask of weights that was chosen from the same data, so that
    it can't be compared with those of the ranking. `pruned` says by which criterion what share was removed, how many
    weights there were (`weights`) and how many are left; `place` counts from 1.
    """
    picked = {canonical(item["structure"]): item for item in selection if item.get("pruned", False)}
    entries = [
        {
            "structure": member["structure"],
            "pruned": member["pruned"],
            **{key: member[key] for key in FROM_EVALUATION},
            "convergence": member.get("convergence"),
            "restarts": len(picked[canonical(member["structure"])]["scores"]),
            "restart_agreement": picked[canonical(member["structure"])]["agreement"],
        }
        for member in members
        if member.get("pruned") and member["score"] is not None
    ]
    ordered = sorted(entries, key=lambda entry: (-entry["score"], canonical(entry["structure"])))
    return [{"place": place, **entry} for place, entry in enumerate(ordered, start=1)]


def pruned_dataset(entries: Sequence[Mapping[str, Any]]) -> xarray.Dataset:
    """One row a pruned network, in the order of the table."""
    names = [structure_name(entry["structure"]) for entry in entries]
    data: dict[str, Any] = {
        key: ("structure", np.array([entry[key] for entry in entries], dtype=float), {"description": text})
        for key, text in (
            ("score", f"score that they are ordered by, in nats: {CONDITIONAL}"),
            ("score_se", "its standard error"),
        )
    }
    for key in ("weights", "left"):
        counts = np.array([entry["pruned"][key] for entry in entries])
        data[key] = (
            "structure",
            counts,
            {"description": {"weights": "weights before pruning", "left": "weights kept"}[key]},
        )
    for rows in ("train", "test"):
        for metric in entries[0]["metrics"][rows] if entries else {}:
            values = np.array([entry["metrics"][rows][metric] for entry in entries], dtype=float)
            data[f"{rows}_{metric}"] = ("structure", values, {"description": f"{metric} on the {rows} rows"})
    return xarray.Dataset(data, coords={"structure": np.array(names, dtype=object)})
