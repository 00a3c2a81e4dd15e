"""Members that an earlier revision of the run has trained: which they are, and how they are reused.

A member is reused where its training key is that of an earlier record. Everything that follows from its parameters
(scores, complexities) is recomputed, since it may depend on what else is possible now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import StorageError, StructflowError
from ..objective.bound import Bound
from ..objective.gather import Source, gather_columns, gather_parameters
from ..objective.parameters import Parameters
from ..plan.batching import Batch
from ..plan.plan import Plan
from ..plan.tasks import Task
from ..plugins import Candidate, Decision
from ..store.names import PLAN
from ..store.revisions import earlier_revisions
from ..store.run_directory import RunDirectory
from ..train.convergence import Convergence
from ..train.trainer import TrainingResult, Trajectory
from .context import RunContext, context_of
from .parents import batch_in_slot, trained_in_slot
from .removed import all_kept
from .shared_records import decision_record
from .training_keys import TrainingKey, keys_from_json, keys_of_parents, training_keys

WITHOUT_MEMBERS = ("trajectory/steps", "outer/step")
"""Arrays of a record that no member has a part in."""

UNFINISHED = "its later stages were not trained before"
"""Why a member is trained of which only the first stages are known."""

NEW = "not trained before"
"""Why a member is trained that no earlier revision knows at all."""

PARTS = {
    "torch": "torch was {0} and is {1}",
    "plugins": "plugins were {0} and are {1}",
    "dtype": "numbers were {0} and are {1}",
    "device": "the device was {0} and is {1}",
    "mode": "programs were {0} and are {1}",
    "data": "the data have changed",
    "folds": "which rows are held out together has changed",
    "functions": "the functions it has or may choose, or their options or shapes, have changed",
    "settings": "not trained under these settings before",
    "against": "what it is repelled from has changed",
    "removed": "which of its weights are removed has changed",
    "start": "what it starts from has changed",
}
"""Why a member is trained again that an earlier revision knows, by the first part of its key that differs."""


@dataclass(frozen=True)
class TrainedBefore:
    """Where a member was trained: the number of the earlier revision, the batch there, and its number in the batch."""

    revision: str
    setting: int
    round: int
    slot: int
    number: int


@dataclass(frozen=True)
class EarlierMembers:
    """All members of earlier revisions: where they are by the digest of their key, and all keys by noise key."""

    places: Mapping[str, TrainedBefore]
    by_noise: Mapping[str, tuple[TrainingKey, ...]]

    def reason(self, key: TrainingKey) -> str:
        """Why a member with this key, which isn't among them, has to be trained."""
        known = self.by_noise.get(key.parts["noise"], ())
        if not known:
            return NEW
        nearest = min(known, key=lambda other: sum(other.parts.get(part) != key.parts.get(part) for part in PARTS))
        part = next(part for part in PARTS if nearest.parts.get(part) != key.parts.get(part))
        return PARTS[part].format(nearest.parts.get(part), key.parts.get(part))


@dataclass(frozen=True)
class Part:
    """Candidates of a round of which so many stages are known, with the places of their last; all new without any."""

    candidates: Sequence[Candidate]
    stages: int = 0
    places: Sequence[TrainedBefore] = ()


def earlier_members(context: RunContext) -> EarlierMembers:
    """The members that earlier revisions of a run have trained; records that can't be read are skipped."""
    return read_members(stamps(context))


def stamps(context: RunContext) -> tuple[tuple[str, int], ...]:
    """Path and time of every earlier revision, the newest first; what was archived doesn't change any more."""
    revisions = [revision.path for revision in earlier_revisions(context.directory)]
    return tuple((str(path), (path / PLAN).stat().st_mtime_ns) for path in revisions)


@lru_cache(maxsize=2)
def read_members(revisions: tuple[tuple[str, int], ...]) -> EarlierMembers:
    """The members of revisions, the newest first, by path and time."""
    places: dict[str, TrainedBefore] = {}
    by_noise: dict[str, list[TrainingKey]] = {}
    for path, _ in revisions:
        directory = earlier_revision(path)
        for task in tasks_of(directory):
            if task.kind != "train" or not directory.is_committed(task.name):
                continue
            try:
                payload = directory.record(task.name).payload
            except StorageError:
                continue
            for number, key in enumerate(keys_from_json(payload["keys"]) if "keys" in payload else ()):
                place = TrainedBefore(directory.name, task.setting, task.round, task.slot, number)
                places.setdefault(key.digest, place)
                by_noise.setdefault(key.parts["noise"], []).append(key)
    return EarlierMembers(places, {noise: tuple(keys) for noise, keys in by_noise.items()})


def earlier_revision(path: str) -> RunDirectory:
    """An earlier revision of the run by its path."""
    return RunDirectory(Path(path), Path(path).parent.parent)


def tasks_of(directory: RunDirectory) -> list[Task]:
    """The tasks of an earlier revision; none where its plan can't be read."""
    try:
        return list(Plan.from_json(directory.read_start_file(PLAN)).tasks())
    except (StorageError, KeyError, TypeError):
        return []


def earlier_evaluations(context: RunContext) -> dict[str, dict[str, Any]]:
    """What earlier revisions found for members, by the key of the evaluation."""
    return read_evaluations(stamps(context))


@lru_cache(maxsize=2)
def read_evaluations(revisions: tuple[tuple[str, int], ...]) -> dict[str, dict[str, Any]]:
    """The evaluations of revisions, the newest first, by path and time."""
    found: dict[str, dict[str, Any]] = {}
    for path, _ in revisions:
        directory = earlier_revision(path)
        for task in tasks_of(directory):
            if task.kind != "evaluate" or not directory.is_committed(task.name):
                continue
            try:
                payload = directory.record(task.name).payload
            except StorageError:
                continue
            for key, evaluation in zip(payload.get("keys", ()), payload.get("members", ()), strict=False):
                found.setdefault(key, evaluation)
    return found


def parted_by_reuse(context: RunContext, task: Task, decision: Decision) -> tuple[list[Part], Counter[str]]:
    """The candidates of a round parted by how many of their stages are known, and why the others are trained.

    The folds of one start stay together, with as many stages as are known of all of them.
    """
    earlier, candidates = earlier_members(context), list(decision.candidates)
    if not earlier.by_noise:
        return [Part(candidates)], Counter()
    stages = len(context.stages(task.setting))
    places: list[list[TrainedBefore]] = [[] for _ in candidates]
    reasons = [UNFINISHED] * len(candidates)
    starts = keys_of_parents(context, candidates, task.setting)
    for stage in range(stages):
        keys = training_keys(context, candidates, decision.against, task.setting, task.round, stage, starts)
        for number, key in enumerate(keys):
            place = earlier.places.get(key.digest)
            if place is not None and len(places[number]) == stage:
                places[number].append(place)
            elif stage == 0:
                reasons[number] = earlier.reason(key)
        starts = [key.digest for key in keys]
    known: dict[object, int] = {}
    for candidate, found in zip(candidates, places, strict=True):
        start = replace(candidate, fold=0)
        known[start] = min(known.get(start, stages), len(found))
    parts: dict[int, list[int]] = {}
    for number, candidate in enumerate(candidates):
        parts.setdefault(known[replace(candidate, fold=0)], []).append(number)
    return [
        Part(
            [candidates[number] for number in numbers],
            count,
            [places[number][count - 1] for number in numbers] if count else (),
        )
        for count, numbers in sorted(parts.items())
    ], Counter(reasons[number] for count, numbers in parts.items() if count < stages for number in numbers)


def places_as_json(part: Part, batch: Batch) -> dict[str, Any] | None:
    """What the record of a decision says of a batch of the part; None where nothing of it is known."""
    if not part.stages:
        return None
    by_candidate = dict(zip(part.candidates, part.places, strict=True))
    return {"stages": part.stages, "places": [list(astuple(by_candidate[member])) for member in batch.members]}


def reused_result(context: RunContext, task: Task, bound: Bound, fresh: Parameters) -> TrainingResult | None:
    """What an earlier revision trained the task's members to; None where some of them weren't, or can't be read.

    `fresh` are the parameters that they would start with.
    """
    decision = decision_record(context.directory, task.setting, task.round).payload
    known = decision.get("known", {}).get(str(task.slot))
    if known is None or task.stage >= known["stages"]:
        return None
    planned = batch_in_slot(context, task)
    assert planned is not None
    places = dict(zip(planned.members, (TrainedBefore(*stored) for stored in known["places"]), strict=True))
    pairs: dict[TrainedBefore, dict[int, int]] = {}
    for number, member in enumerate(bound.population.members):
        pairs.setdefault(replace(places[member], number=0), {})[number] = places[member].number
    try:
        batches = [
            EarlierBatch.read(context, place, task.stage, known["stages"] - 1, found) for place, found in pairs.items()
        ]
    except StorageError:
        return None
    if any(member.removed is not None for member in bound.population.members):
        fresh = {**fresh, **all_kept(bound.population)}
    sources = [Source(batch.bound, batch.part("parameter"), batch.pairs) for batch in batches]
    size = bound.population.size
    terms, outer, measured = (
        gather_columns([(batch.part(group), batch.pairs) for batch in batches], size)
        for group in ("trajectory", "outer", "convergence")
    )
    diverged = np.full(size, -1)
    for batch in batches:
        diverged[list(batch.pairs)] = batch.diverged_at[list(batch.pairs.values())]
    first = batches[0].arrays
    trajectory = Trajectory(first["trajectory/steps"], {name: value.numpy() for name, value in terms.items()})
    reports = {name: value.numpy() for name, value in outer.items()}
    if reports:
        reports["step"] = first["outer/step"]
    convergence = Convergence(**{name: value.numpy() for name, value in measured.items()}) if measured else None
    return TrainingResult(gather_parameters(fresh, bound, sources), trajectory, diverged, reports, convergence)


@dataclass(frozen=True)
class EarlierBatch:
    """A batch that an earlier revision trained through a stage; `pairs` gives for new members their numbers in it."""

    bound: Bound
    arrays: Mapping[str, np.ndarray]
    diverged_at: np.ndarray
    pairs: Mapping[int, int]

    @classmethod
    def read(
        cls, context: RunContext, place: TrainedBefore, stage: int, last: int, pairs: Mapping[int, int]
    ) -> EarlierBatch:
        """Read it; raises `StorageError` where it is damaged or gone.

        `pairs` are given with numbers in the batch as it was after the stage `last`; some of its members may have
        failed since this one.
        """
        directory = context.directory.earlier(place.revision)
        try:
            earlier = context_of(directory, context.study.dataset)
        except (ValueError, KeyError, TypeError, StructflowError) as error:  # such as a plugin that is gone
            raise StorageError(f"what {directory.path} was started with can't be read any more: {error}") from error
        task = Task("train", place.setting, place.round, stage, place.slot)
        record = directory.record(task.name)
        batch, survivors = trained_in_slot(earlier, task), trained_in_slot(earlier, replace(task, stage=last))
        assert batch is not None
        assert survivors is not None
        numbers = {member: number for number, member in enumerate(batch.members)}
        pairs = {new: numbers[survivors.members[number]] for new, number in pairs.items()}
        spec = earlier.round_stages(place.setting, place.round)[stage]
        bound = earlier.bound(earlier.population(batch, spec), spec)
        return cls(bound, directory.arrays(record), np.array(record.payload["diverged_at"]), pairs)

    def part(self, group: str) -> Parameters:
        """The arrays of one group by their names, with the members on an axis."""
        return {
            name.removeprefix(f"{group}/"): torch.from_numpy(value)
            for name, value in self.arrays.items()
            if name.startswith(f"{group}/") and name not in WITHOUT_MEMBERS
        }
