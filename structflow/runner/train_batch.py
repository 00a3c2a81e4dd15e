"""The task that trains one batch through one stage: members that are known are read, the others are trained.

Members whose code raises are left out, as if they had never been in the batch; their entries say so.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from ..errors import StorageError
from ..objective.members import Own
from ..plan.batching import make_batches
from ..plan.tasks import Task
from ..plugins import Candidate
from ..spec.round_spec import with_steps
from ..store.digest import digest_of_arrays, digest_of_json
from ..store.entries import EntryStore, MemberEntry
from ..store.records import Failure, TrainedMember, TrainRecord
from .context import RunContext
from .decided import DecidedBatch, decided_batch, keys_of_parents
from .failing_starts import Start, may_be_of_a_member, starts_of, without_failing
from .found import Found
from .held_signals import HeldSignals
from .interruption import TimedCheckpoints
from .populations import own_parameters
from .scores import trained_members
from .train import MemberValues, trained_here
from .training_keys import FRESH, training_keys


def train_batch(
    context: RunContext, task: Task, on_step: Callable[[int], None], checkpoints: TimedCheckpoints
) -> Found:
    """Train the members in the task's slot that have no values yet, and judge all of them."""
    decided = decided_batch(context.directory, task)
    if decided is None:
        return Found(TrainRecord())
    training = BatchTraining(context, task, decided, on_step, checkpoints)
    judged = without_failing(starts_of(training.left), training.attempt, training.trials, training.exclude)
    return training.found(judged or {})


def known_values(store: EntryStore[MemberEntry], keys: Sequence[str]) -> dict[str, MemberValues]:
    """The values of those members that have some; entries that can't be read count as missing."""
    try:
        kept = [entry for entry in store.find(keys).values() if entry.failed is None]
        arrays = store.arrays([entry.key for entry in kept])
    except StorageError:
        half = len(keys) // 2
        if half == 0:
            return {}
        return {**known_values(store, keys[:half]), **known_values(store, keys[half:])}
    return {
        entry.key: MemberValues(own, entry.diverged_at, entry.convergence)
        for entry, own in zip(kept, arrays, strict=True)
        if entry.convergence is not None
    }


class PassedError(Exception):
    """A trial did all the steps it was meant to do."""


@dataclass
class StepWatch:
    """Checkpoints that know how many steps are `done`. Without any to pass on to, those of a trial, kept nowhere.

    After `enough` steps they raise `PassedError`. A trial ends after a step where a signal that is `held` asks for it.
    """

    checkpoints: TimedCheckpoints | None = None
    enough: int | None = None
    held: HeldSignals | None = None
    done: int = 0

    def load(self) -> Mapping[str, np.ndarray] | None:
        """The newest checkpoint, if any are kept."""
        stored = None if self.checkpoints is None else self.checkpoints.load()
        self.done = 0 if stored is None else int(stored["step"])
        return stored

    def is_due(self, step: int, steps: int) -> bool:
        """Count the step, and ask whether a checkpoint is due."""
        self.done = step
        if self.held is not None:
            self.held.end_if_asked()
        if step == self.enough:
            raise PassedError
        return self.checkpoints is not None and self.checkpoints.is_due(step, steps)

    def save(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a checkpoint."""
        if self.checkpoints is not None:
            self.checkpoints.save(step, arrays)


@dataclass
class BatchTraining:
    """The training of a decided batch; `failed` grows.

    `known` are the values of members that were there before, `trained` those of the last attempt. `is_anew` says that
    members are laid out in slots of their own, rather than in those of the batch as it was decided. `reached` holds the
    steps that those who failed in a whole stage of their own had done.
    """

    context: RunContext
    task: Task
    decided: DecidedBatch
    on_step: Callable[[int], None]
    checkpoints: TimedCheckpoints
    watch: StepWatch = field(init=False)
    keys: dict[Candidate, str] = field(init=False)
    known: dict[Candidate, MemberValues] = field(init=False)
    failed: dict[Candidate, Failure] = field(default_factory=dict)
    trained: Mapping[Candidate, MemberValues] = field(default_factory=dict)
    reached: dict[Start, int] = field(default_factory=dict)
    is_anew: bool = False

    def __post_init__(self) -> None:
        """Who is known, and who failed in the stage before."""
        self.watch = StepWatch(self.checkpoints)
        self.keys = self.decided.keys_after(self.task.stage)
        values = known_values(self.context.directory.members, list(self.keys.values()))
        self.known = {member: values[key] for member, key in self.keys.items() if key in values}
        if self.task.stage > 0:
            before = self.context.directory.members.read(self.decided.after(self.task.stage - 1))
            for member, entry in zip(self.decided.members, before, strict=True):
                if entry.failed is not None and member not in self.known:
                    self.failed[member] = entry.failed

    @property
    def left(self) -> list[Candidate]:
        """The members that haven't failed."""
        return [member for member in self.decided.members if member not in self.failed]

    def attempt(self, starts: Sequence[Start]) -> dict[Candidate, TrainedMember]:
        """Train members to the end, with checkpoints that are theirs alone, and judge them.

        Spare slots run functions that perhaps nobody uses: a batch that has some and fails is tried without them.
        """
        if not self.is_anew:
            try:
                return self.attempt_once(starts)
            except Exception as error:
                tight = make_batches(self.context.study.graph, self.decided.members, len(self.decided.members))
                if [self.decided.batch] == tight or not may_be_of_a_member(error):
                    raise
                traceback.clear_frames(error.__traceback__)
            self.checkpoints.let_go()
            self.is_anew = True
        return self.attempt_once(starts)

    def attempt_once(self, starts: Sequence[Start]) -> dict[Candidate, TrainedMember]:
        """The same, in the slots that there are now."""
        self.watch.done = 0
        trained = self.train(self.context, starts, self.watch)
        found = self.judge(self.context, starts, trained)
        self.trained = trained
        return found

    def judge(
        self, context: RunContext, starts: Sequence[Start], trained: Mapping[Candidate, MemberValues]
    ) -> dict[Candidate, TrainedMember]:
        """What the record says of members, some of them just trained."""
        values = {member: trained.get(member) or self.known[member] for start in starts for member in start}
        return trained_members(context, self.task, self.keys, values)

    def train(self, context: RunContext, starts: Sequence[Start], watch: StepWatch) -> dict[Candidate, MemberValues]:
        """Train those that aren't known, as a batch; the folds of a start are known together, or trained together."""
        members = [member for start in starts if not self.known.keys() >= set(start) for member in start]
        if not members:
            return {}
        batch = self.decided.batch
        if self.is_anew or len(members) < len(batch.members):
            (batch,) = make_batches(context.study.graph, members, len(members))
        before: dict[Candidate, tuple[Own, int]] = {}
        if self.task.stage > 0:
            keys = self.decided.keys_after(self.task.stage - 1)
            wanted, store = [keys[member] for member in members], context.directory.members
            for member, entry, arrays in zip(members, store.read(wanted), store.arrays(wanted), strict=True):
                before[member] = own_parameters(arrays), entry.diverged_at
        if watch.checkpoints is not None:
            what = [[self.keys[member] for member in batch.members], batch.capacities]
            watch.checkpoints.turn_to(digest_of_json(what)[:16])
        on_step = None if watch.checkpoints is None else self.on_step
        return trained_here(context, self.task, batch, before, on_step, watch)

    def trials(self) -> Iterator[Callable[[Sequence[Start]], object]]:
        """What may show who made the batch fail, the cheapest first.

        Before the first step was done: that step as it is interpreted, then as it is compiled. After the last one: a
        stage of one step, then a whole one. In between, where what raises depends on values: a whole stage, which shows
        all that fail in it.
        """
        self.checkpoints.let_go()
        done, steps = self.watch.done, self.stage_steps
        if done == 0:
            yield partial(self.trial, interpreted(self.context), 1)
        if done == steps:
            yield partial(self.trial, of_one_step(interpreted(self.context)), None)
        if done == 0 and self.context.plan.execution.compile:
            yield partial(self.trial, self.context, 1)
        if done > 0:
            yield partial(self.trial, self.context, None)

    def trial(self, context: RunContext, enough: int | None, starts: Sequence[Start]) -> None:
        """Train some of the members for `enough` steps, None for all and what follows them; nothing is kept."""
        watch = StepWatch(enough=enough, held=self.checkpoints.held)
        try:
            self.judge(context, starts, self.train(context, starts, watch))
        except PassedError:
            return
        except Exception:
            if context is self.context and len(starts) == 1:
                self.reached[starts[0]] = watch.done
            raise

    def exclude(self, found: Mapping[Start, str]) -> None:
        """Write down who failed, and after how many steps."""
        self.is_anew = True
        for start, error in found.items():
            step = self.reached.get(start, self.watch.done)
            self.failed.update(dict.fromkeys(start, Failure(stage=self.task.stage, step=step, error=error)))

    def found(self, judged: Mapping[Candidate, TrainedMember]) -> Found:
        """The record, with entries of the members that were trained and of those that failed."""
        written = [member for member in self.keys if member in self.trained or member in self.failed]
        parts = self.parts_of_keys(written) if written else {}
        entries, arrays = [], []
        for member in written:
            entry = MemberEntry(key=self.keys[member], parts=parts[member], failed=self.failed.get(member))
            values = self.trained.get(member)
            if values is not None:
                update = {"diverged_at": values.diverged_at, "convergence": values.convergence}
                entry = entry.model_copy(update={**update, "digest": digest_of_arrays(values.arrays)})
            entries.append(entry)
            arrays.append({} if values is None else values.arrays)
        members = (
            judged[member] if member in judged else TrainedMember(key=key, failed=self.failed[member])
            for member, key in self.keys.items()
        )
        return Found(TrainRecord(members=tuple(members)), entries, arrays)

    def parts_of_keys(self, members: Sequence[Candidate]) -> dict[Candidate, dict[str, str]]:
        """What the training keys of members are made of."""
        context, task = self.context, self.task
        if task.stage > 0:
            before = self.decided.keys_after(task.stage - 1)
            starts = [before[member] for member in members]
        else:
            starts = [parent or FRESH for parent in keys_of_parents(context.directory, members, task.setting)]
        against = context.against(task.setting, task.round)
        keys = training_keys(context, members, against, task.setting, task.round, task.stage, starts)
        return {member: dict(key.parts) for member, key in zip(members, keys, strict=True)}

    @property
    def stage_steps(self) -> int:
        """Steps of the stage."""
        stage = self.context.round_stages(self.task.setting, self.task.round)[self.task.stage]
        return int(stage.optimizer.inner.steps)


def interpreted(context: RunContext) -> RunContext:
    """The run without compiled programs."""
    return replace(context, plan=replace(context.plan, execution=replace(context.plan.execution, compile=False)))


def of_one_step(context: RunContext) -> RunContext:
    """The run with a single step in every stage."""
    settings = tuple(
        replace(setting, stages=tuple(with_steps(stage, 1) for stage in setting.stages))
        for setting in context.study.settings
    )
    return replace(context, study=replace(context.study, settings=settings))
