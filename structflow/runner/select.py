"""The task that picks the best restart of every structure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..plan.tasks import Task
from ..store.run_directory import Found
from .context import RunContext

NEAR = 1.0
"""Restarts within this many nats of the best agree with it."""

RELAXED = "relaxed"
"""Stands for the structure of relaxed members."""


@dataclass(frozen=True)
class Trained:
    """A trained member where it stands: its round, its batch's task and its number there; and what it came to."""

    round: int
    task: str
    number: int
    restart: int
    score: float | None
    rounded: Any

    @property
    def rank(self) -> tuple[float, int, int]:
        """Best first; equal scores by round and restart, diverged and failed members last."""
        return (math.inf if self.score is None else -self.score, self.round, self.restart)


def select(context: RunContext, task: Task) -> Found:
    """For every structure trained in any round, and for the last relaxation, the restart with the highest score.

    Pruned networks are picked separately: structures are compared by their unpruned networks.
    """
    members: dict[str, list[Trained]] = {}
    structures: dict[str, Any] = {}
    pruned: set[str] = set()
    failed: list[dict[str, Any]] = []
    for round_index, name, payload in trained_payloads(context, task.setting):
        for number, (member, score, rounded) in enumerate(members_in(payload)):
            if member.get("fold", 0) > 0:
                continue
            structure = member["structure"]
            key = RELAXED if structure is None else canonical(structure, is_pruned(member))
            if is_pruned(member):
                pruned.add(key)
            structures.setdefault(key, structure)
            members.setdefault(key, []).append(Trained(round_index, name, number, member["restart"], score, rounded))
            if "error" in member:
                failed.append({"round": context.plan.settings[task.setting].rounds[round_index].name, **member})
    everyone = [member for found in members.values() for member in found]
    if RELAXED in members:
        members[RELAXED] = of_last_round(members[RELAXED])
    picked: dict[str, list[int]] = {}
    summaries = []
    for key in sorted(members):
        best = min(members[key], key=lambda member: member.rank)
        ordered = sorted(members[key], key=lambda member: (member.round, member.restart))
        scores = [member.score for member in ordered]
        summaries.append(
            {
                "structure": structures[key],
                "scores": scores,
                "best_restart": None if best.score is None else best.restart,
                "agreement": agreement(scores),
                "rounded": [member.rounded for member in ordered] if key == RELAXED else None,
                **({"pruned": True} if key in pruned else {}),
            }
        )
        if best.score is not None:
            picked.setdefault(best.task, []).append(best.number)
    payload = {
        "picked": {name: sorted(numbers) for name, numbers in picked.items()},
        "structures": summaries,
        "members": len(everyone),
        "diverged": sum(member.score is None for member in everyone) - len(failed),
        "failed": failed,
    }
    return Found(payload)


def of_last_round(members: Sequence[Trained]) -> list[Trained]:
    """Those of the last round in which any member didn't diverge, or of the last one."""
    rounds = [member.round for member in members if member.score is not None] or [member.round for member in members]
    return [member for member in members if member.round == max(rounds)]


def trained_payloads(context: RunContext, setting: int) -> list[tuple[int, str, Mapping[str, Any]]]:
    """Records of the last stage of every batch of a setting, in order, with their rounds and task names."""
    payloads: list[tuple[int, str, Mapping[str, Any]]] = []
    for round_index, planned in enumerate(context.plan.settings[setting].rounds):
        for slot in range(planned.slots):
            name = Task("train", setting, round_index, len(planned.steps) - 1, slot).name
            payload = context.directory.record(name).payload
            if not payload["empty"] or "failed" in payload:
                payloads.append((round_index, name, payload))
    return payloads


def members_in(payload: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], float | None, Any]]:
    """Every member of a record, its score and what it rounds to: those trained, by number, then those that failed."""
    if not payload["empty"]:
        yield from zip(payload["members"], payload["scores"], payload["rounded"], strict=True)
    for member in payload.get("failed", []):
        yield member, None, None


def is_pruned(member: Mapping[str, Any]) -> bool:
    """Whether a member of a record lacks single weights."""
    return bool((member.get("removed") or {}).get("share", 0))


def canonical(structure: Mapping[str, Any], pruned: bool = False) -> str:
    """The canonical text of a structure in JSON form; another one for its network with pruned weights."""
    from ..spec.structures import Structure

    return ("pruned " if pruned else "") + Structure.from_dict(dict(structure)).canonical


def of_whole_networks(selection: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The structures of a selection, without relaxed members and pruned networks."""
    return [item for item in selection if item["structure"] is not None and not item.get("pruned", False)]


def agreement(scores: Sequence[float | None]) -> float:
    """Share of the restarts within `NEAR` nats of the best; diverged ones don't agree."""
    finite = [score for score in scores if score is not None]
    if not finite:
        return 0.0
    best = max(finite)
    return sum(score >= best - NEAR for score in finite) / len(scores)
