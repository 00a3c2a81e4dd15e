"""The task that picks the best restart of every structure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..plan.tasks import Task
from ..store.run_directory import Found
from .context import RunContext

NEAR = 1.0
"""Restarts within this many nats of the best agree with it."""


@dataclass(frozen=True)
class Trained:
    """A trained member where it stands: its batch's task, its number there, its restart and its score."""

    task: str
    number: int
    restart: int
    score: float | None

    @property
    def rank(self) -> tuple[float, int]:
        """Best first; equal scores by restart, diverged members last."""
        return (math.inf if self.score is None else -self.score, self.restart)


def select(context: RunContext, task: Task) -> Found:
    """For every structure, and for the relaxation, the restart with the highest score."""
    members: dict[str, list[Trained]] = {}
    structures: dict[str, Any] = {}
    rounded: dict[str, list[Any]] = {}
    for name, payload in trained_payloads(context, task.setting):
        for number, member in enumerate(payload["members"]):
            structure = member["structure"]
            key = "relaxed" if structure is None else canonical(structure)
            structures.setdefault(key, structure)
            members.setdefault(key, []).append(Trained(name, number, member["restart"], payload["scores"][number]))
            rounded.setdefault(key, []).append(payload["rounded"][number])
    picked: dict[str, list[int]] = {}
    summaries = []
    for key in sorted(members):
        best = min(members[key], key=lambda member: member.rank)
        scores = [member.score for member in sorted(members[key], key=lambda member: member.restart)]
        summaries.append(
            {
                "structure": structures[key],
                "scores": scores,
                "best_restart": None if best.score is None else best.restart,
                "agreement": agreement(scores),
                "rounded": rounded[key] if key == "relaxed" else None,
            }
        )
        if best.score is not None:
            picked.setdefault(best.task, []).append(best.number)
    payload = {"picked": {name: sorted(numbers) for name, numbers in picked.items()}, "structures": summaries}
    return Found(payload)


def trained_payloads(context: RunContext, setting: int) -> list[tuple[str, Mapping[str, Any]]]:
    """Records of the last stage of every batch of a setting, in order, with their task names."""
    payloads: list[tuple[str, Mapping[str, Any]]] = []
    for round_index, planned in enumerate(context.plan.settings[setting].rounds):
        for slot in range(planned.slots):
            name = Task("train", setting, round_index, len(planned.steps) - 1, slot).name
            payload = context.directory.record(name).payload
            if not payload["empty"]:
                payloads.append((name, payload))
    return payloads


def canonical(structure: dict[str, Any]) -> str:
    """The canonical text of a structure in JSON form."""
    from ..spec.structures import Structure

    return Structure.from_dict(structure).canonical


def agreement(scores: Sequence[float | None]) -> float:
    """Share of the restarts within `NEAR` nats of the best; diverged ones don't agree."""
    finite = [score for score in scores if score is not None]
    if not finite:
        return 0.0
    best = max(finite)
    return sum(score >= best - NEAR for score in finite) / len(scores)
