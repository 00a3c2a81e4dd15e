"""The summary of a run, from its records: what `structflow show --json` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ..plan.tasks import Task
from ..runner.context import RunContext
from ..runner.select import canonical
from ..spec.study import Setting
from .ranking import rank

SHOWN = ("log_evidence", "log_evidence_se", "evidence", "c_param", "c_struct", "hyperparameters", "metrics")
"""What an evaluated member passes on to its entry in the ranking."""


def evaluations(context: RunContext, setting: int) -> Iterator[tuple[Task, dict[str, Any], int]]:
    """Every evaluated member of a setting: its task, what was found, and its number in the task's batch."""
    last = len(context.stages(setting)) - 1
    for round_index, planned in enumerate(context.plan.settings[setting].rounds):
        for slot in range(planned.slots):
            task = Task("evaluate", setting, round_index, last, slot)
            payload = context.directory.record(task.name).payload
            if not payload["empty"]:
                for number, member in enumerate(payload["members"]):
                    yield task, member, number


def summarise(context: RunContext, seconds: float) -> dict[str, Any]:
    """The summary of a finished run."""
    settings = [summarise_setting(context, index, setting) for index, setting in enumerate(context.study.settings)]
    first = settings[0]
    return {
        "run": context.directory.name,
        "status": "finished" if first["ranking"] else "failed",
        "spec_hash": context.directory.read_json("run.json")["spec_hash"],
        "n_structures": context.plan.n_structures,
        "ranking": first["ranking"],
        "relaxed": first["relaxed"],
        "settings": [
            {key: value for key, value in each.items() if key != "warnings"}
            for each in (settings if any(each["values"] for each in settings) else [])
        ],
        "warnings": warnings_of(settings),
        "seconds": round(seconds, 2),
    }


def warnings_of(settings: Sequence[dict[str, Any]]) -> list[str]:
    """The warnings of all settings, each with the values it is about where there are several."""
    found = []
    for each in settings:
        values = ", ".join(f"{key} {json.dumps(value)}" for key, value in each["values"].items())
        found += [f"{values}: {warning}" if len(settings) > 1 else warning for warning in each["warnings"]]
    return found


def summarise_setting(context: RunContext, index: int, setting: Setting) -> dict[str, Any]:
    """Values, ranking, relaxed result and warnings of one setting."""
    selection = context.directory.record(Task("select", index).name).payload["structures"]
    by_structure = {canonical(item["structure"]): item for item in selection if item["structure"] is not None}
    relaxed_selection = next((item for item in selection if item["structure"] is None), None)
    entries, relaxed, warnings = [], None, []
    for _, member, _ in evaluations(context, index):
        if member["structure"] is None:
            relaxed = relaxed_entry(member, relaxed_selection)
            continue
        if member["log_evidence"] is None:
            continue
        picked = by_structure[canonical(member["structure"])]
        agreement = picked["agreement"]
        if relaxed_selection is not None:
            agreement = share_rounding_to(canonical(member["structure"]), relaxed_selection["rounded"])
        entries.append(
            {
                "structure": member["structure"],
                **{key: member[key] for key in SHOWN},
                "restarts": len(picked["scores"]),
                "restart_agreement": agreement,
            }
        )
    ranking = rank(entries, context.study.space, setting.stages[-1])
    diverged = sum(score is None for item in selection for score in item["scores"])
    if diverged:
        total = sum(len(item["scores"]) for item in selection)
        warnings.append(f"{diverged} of {total} members diverged and were left out; try a smaller optimizer.inner.lr")
    tied = [entry for entry in ranking if entry["tied_with_best"]]
    if tied:
        warnings.append(f"{len(tied)} structure(s) tie with the best: the gap is under two standard errors")
    return {"values": setting.values, "ranking": ranking, "relaxed": relaxed, "warnings": warnings}


def relaxed_entry(member: dict[str, Any], selection: dict[str, Any] | None) -> dict[str, Any]:
    """The relaxed result: bound, q(Γ) rounded edge by edge, entropies, and all restarts."""
    restarts = [] if selection is None else selection["scores"]
    return {
        "bound": member["log_evidence"],
        "bound_se": member["log_evidence_se"],
        "q_probability": member["q_probability"],
        "c_param": member["c_param"],
        "c_struct": member["c_struct"],
        "hyperparameters": member["hyperparameters"],
        "metrics": member["metrics"],
        "restarts": restarts,
        "rounded": [] if selection is None else selection["rounded"],
    }


def share_rounding_to(structure: str, rounded: list[dict[str, Any] | None]) -> float:
    """Share of the relaxed restarts that round to a structure."""
    return sum(item is not None and canonical(item) == structure for item in rounded) / max(1, len(rounded))
