"""A batch is trained without the members whose code raises, and the record names those."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from ..plan.batching import Batch
from ..plan.tasks import Task
from ..plugins import Candidate
from ..spec.round_spec import with_steps
from ..store.digest import digest_of_json
from ..store.run_directory import Found
from .context import RunContext
from .failing_starts import Start, may_be_of_a_member, starts_of, without_failing
from .held_signals import HeldSignals
from .interruption import TimedCheckpoints
from .parents import batch_in_slot, batch_without, failed_in, trained_in_slot
from .train import member_as_json, train_batch


def train_survivors(
    context: RunContext, task: Task, on_step: Callable[[int], None], checkpoints: TimedCheckpoints
) -> Found:
    """Train the batch in the task's slot; members whose code raises are left out, as if they had never been in it.

    The payload lists them under `failed`, those of earlier stages too: the `number` in the batch that was decided, the
    member, the `stage`, how many steps of it were done, and the `error`. A slot without a batch is `empty`, and so is
    one whose members all failed. Where a function raises in slots that no member needs, nobody has failed, and `failed`
    is empty: it says that the batch was laid out anew.
    """
    planned = batch_in_slot(context, task)
    if planned is None:
        return Found({"empty": True})
    failed: list[dict[str, Any]] = []
    is_anew = False
    if task.stage > 0:
        before = replace(task, stage=task.stage - 1)
        failed, is_anew = failed_in(context, before), trained_in_slot(context, before) != planned
    training = Training(context, task, planned, on_step, checkpoints, failed, is_anew)
    found = without_failing(starts_of(training.left), training.train, training.trials, training.exclude)
    if found is None:
        found = Found({"empty": True})
    return Found({**found.payload, "failed": training.failed}, found.arrays) if training.is_anew else found


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
class Training:
    """The training of what is left of a batch; `failed` grows, and is sorted by the members' numbers.

    `is_anew` says that members are laid out in slots of their own, rather than in those of the batch as it was decided.
    `reached` holds the steps that those who failed in a whole stage of their own had done.
    """

    context: RunContext
    task: Task
    planned: Batch
    on_step: Callable[[int], None]
    checkpoints: TimedCheckpoints
    failed: list[dict[str, Any]]
    is_anew: bool
    watch: StepWatch = field(init=False)
    reached: dict[Start, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Nothing is done yet."""
        self.watch = StepWatch(self.checkpoints)

    @property
    def left(self) -> list[Candidate]:
        """The members that haven't failed."""
        failed = {each["number"] for each in self.failed}
        return [member for number, member in enumerate(self.planned.members) if number not in failed]

    def train(self, starts: Sequence[Start]) -> Found:
        """Train members to the end, with checkpoints that are theirs alone.

        Spare slots run functions that perhaps nobody uses: a batch that has some and fails is tried without them.
        """
        if not self.is_anew:
            try:
                return self.train_as_laid_out(starts)
            except Exception as error:
                if self.planned == batch_without(self.context, self.planned, ()) or not may_be_of_a_member(error):
                    raise
                traceback.clear_frames(error.__traceback__)
            self.checkpoints.let_go()
            self.is_anew = True
        return self.train_as_laid_out(starts)

    def train_as_laid_out(self, starts: Sequence[Start]) -> Found:
        """The same, in the slots that there are now."""
        if self.is_anew:
            self.checkpoints.turn_to(f"without-{digest_of_json([each['number'] for each in self.failed])[:16]}")
        self.watch.done = 0
        return train_batch(self.context, self.task, self.batch_of(starts), self.on_step, self.watch)

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
            train_batch(context, self.task, self.batch_of(starts), None, watch)
        except PassedError:
            return
        except Exception:
            if context is self.context and len(starts) == 1:
                self.reached[starts[0]] = watch.done
            raise

    def exclude(self, found: Mapping[Start, str]) -> None:
        """Write down who failed, and after how many steps."""
        self.is_anew = True
        numbers = {member: number for number, member in enumerate(self.planned.members)}
        self.failed += [
            {
                "number": numbers[member],
                **member_as_json(member),
                "stage": self.task.stage,
                "step": self.reached.get(start, self.watch.done),
                "error": error,
            }
            for start, error in found.items()
            for member in start
        ]
        self.failed.sort(key=lambda each: int(each["number"]))

    def batch_of(self, starts: Sequence[Start]) -> Batch:
        """The batch of some of the members."""
        if not self.is_anew and len(starts) == len(starts_of(self.planned.members)):
            return self.planned
        kept = {member for start in starts for member in start}
        others = {number for number, member in enumerate(self.planned.members) if member not in kept}
        batch = batch_without(self.context, self.planned, others)
        assert batch is not None
        return batch

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
