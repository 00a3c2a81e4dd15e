"""Tells the trackers of a spec how its run goes; what they do, or fail to do, never reaches the run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec

import numpy as np

from ..errors import PluginError, StorageError
from ..plan.plan import Plan
from ..plan.tasks import Task
from ..plugins import Candidate, TrackedMember, TrackedRun, Tracker, TrainedBatch
from ..plugins.calling import Calling, named_plugin
from ..plugins.registry import registry
from ..spec.study import Study
from ..store.records import TrainedMember
from ..store.run_directory import RunDirectory
from .decided import stored_members
from .failures import in_one_line
from .progress import Listener, Progress

Given = ParamSpec("Given")


class Tracking:
    """The trackers of a run and what they have been told.

    Where tasks run elsewhere, news come from the thread that serves the cluster. All trackers are then called from one
    thread of their own, so that a slow one doesn't hold up the scheduler.
    """

    def __init__(self, study: Study, directory: RunDirectory, plan: Plan, listener: Listener, elsewhere: bool):
        self.directory = directory
        self.plan = plan
        self.listener = listener
        self.warnings: list[str] = []
        self.trackers: list[Tracker] = []
        self.training = {task.name: task for task in plan.tasks() if task.kind == "train"}
        self.told: set[str] = set()
        self.thread = ThreadPoolExecutor(1, "trackers") if elsewhere and study.spec.trackers else None
        self._call(self._start, study)

    def hear(self, news: Progress) -> None:
        """Pass one piece of news on: to the listener, and of training to the trackers."""
        self.listener(news)
        if news.task not in self.training:
            return
        if news.finished:
            self._call(self._trained, news.task, False)
        else:
            self._call(self._tell, "progressed", news.task, news.steps)

    def catch_up(self) -> list[str]:
        """Tell of tasks whose last news was lost on the way; returns the warnings so far, once all are told."""
        if self.thread is not None:
            self.thread.submit(self._tell_of_committed, False).result()
        else:
            self._tell_of_committed(False)
        return list(self.warnings)

    def finished(self) -> None:
        """The run is done and its summary written."""
        self._call(self._finished)

    def _finished(self) -> None:
        if self.trackers:
            self._tell("finished", self.directory.read_summary())

    def failed(self, error: BaseException) -> None:
        """The run ends early."""
        reason = "interrupted" if isinstance(error, KeyboardInterrupt | SystemExit) else in_one_line(error)
        self._call(self._tell, "failed", reason)

    def close(self) -> None:
        """Wait until everything is told."""
        if self.thread is not None:
            self.thread.shutdown()

    def _call(self, function: Callable[Given, None], *arguments: Given.args, **named: Given.kwargs) -> None:
        """Call a function that deals with trackers: here, or on their thread."""
        if self.thread is not None:
            self.thread.submit(function, *arguments, **named)
        else:
            function(*arguments, **named)

    def _start(self, study: Study) -> None:
        """Make the trackers, and tell them of the run and of what is there of it."""
        for options in study.spec.trackers:
            plugin = registry().get("trackers", options.type)
            try:
                with Calling(plugin, "__init__"):
                    self.trackers.append(plugin(options))
            except Exception as error:  # a third-party tracker may raise anything
                self._leave_out(plugin, error)
        if self.trackers:
            run = tracked_run(study, self.directory, self.plan)
            self._tell("started", run)
            self._tell_of_committed(True)

    def _tell_of_committed(self, replayed: bool) -> None:
        """Tell of all committed training tasks that haven't been told of, in the order of the plan."""
        if self.trackers:
            for name in self.training:
                if name not in self.told and self.directory.is_committed(name):
                    self._trained(name, replayed)

    def _trained(self, name: str, replayed: bool) -> None:
        """Tell once that a training task is committed, after the stages before of the same batch."""
        if not self.trackers or name in self.told:
            return
        self.told.add(name)
        for parent in self.training[name].parents:
            if parent.kind == "train":
                self._trained(parent.name, replayed)
        try:
            batch = trained_batch(self.directory, self.plan, self.training[name], replayed)
        except StorageError as error:
            self._warn(f"trackers were not given {name}: {in_one_line(error)}")
            return
        if batch is not None:
            self._tell("trained", batch)

    def _tell(self, method: str, *told: object) -> None:
        """Call a method of every tracker; one that raises is left out from then on."""
        for tracker in list(self.trackers):
            try:
                with Calling(type(tracker), method):
                    getattr(tracker, method)(*told)
            except Exception as error:  # a third-party tracker may raise anything
                self.trackers.remove(tracker)
                self._leave_out(type(tracker), error)

    def _leave_out(self, plugin: type[Tracker], error: Exception) -> None:
        reason = in_one_line(error).removeprefix(f"{PluginError.__name__}: ").removeprefix(f"{named_plugin(plugin)}: ")
        self._warn(f"{named_plugin(plugin)} is left out from here on: {reason}")

    def _warn(self, warning: str) -> None:
        self.warnings.append(warning)
        sys.stderr.write(f"warning: {warning}\n")


@contextmanager
def following(
    study: Study, directory: RunDirectory, plan: Plan, listener: Listener, elsewhere: bool
) -> Iterator[Tracking]:
    """The tracking of a run that is about to be carried out; trackers hear of it when the run ends by an error."""
    tracking = Tracking(study, directory, plan, listener, elsewhere)
    try:
        yield tracking
    except BaseException as error:
        tracking.failed(error)
        raise
    finally:
        tracking.close()


def tracked_run(study: Study, directory: RunDirectory, plan: Plan) -> TrackedRun:
    """What trackers are told when a run starts."""
    return TrackedRun(
        path=directory.path.resolve(),
        name=study.spec.name,
        spec=json.loads(study.spec.model_dump_json(by_alias=True)),
        settings=tuple(setting.values for setting in study.settings),
        plan=plan.as_json(),
        continued=any(directory.is_committed(task.name) for task in plan.tasks()),
    )


def trained_batch(directory: RunDirectory, plan: Plan, task: Task, replayed: bool) -> TrainedBatch | None:
    """What a training task found, for trackers; None for a slot in which nobody was trained."""
    trained = stored_members(directory, task, is_curve)
    if not trained:
        return None
    planned = plan.settings[task.setting].rounds[task.round]
    curves = {name: np.stack([each.arrays[name] for each in trained], axis=-1) for name in trained[0].arrays}
    steps, report_steps = curves.pop("trajectory/steps"), curves.pop("outer/step", None)
    return TrainedBatch(
        task=task.name,
        setting=task.setting,
        values=plan.settings[task.setting].values,
        round=planned.name,
        stage=task.stage,
        stages=len(planned.steps),
        batch=task.slot,
        members=tuple(tracked_member(each.candidate, each.found) for each in trained),
        first_step=sum(planned.steps[: task.stage]),
        steps=steps[:, 0],
        terms=parts_of(curves, "trajectory"),
        report_steps=None if report_steps is None else report_steps[:, 0],
        reports=parts_of(curves, "outer"),
        replayed=replayed,
    )


def is_curve(name: str) -> bool:
    """Whether an array of a member is about its training, rather than a parameter."""
    return name.startswith(("trajectory/", "outer/"))


def parts_of(arrays: Mapping[str, np.ndarray], group: str) -> dict[str, np.ndarray]:
    """The arrays of one group, by their names within it."""
    return {name.removeprefix(f"{group}/"): value for name, value in arrays.items() if name.startswith(f"{group}/")}


def tracked_member(member: Candidate, found: TrainedMember) -> TrackedMember:
    """A member and what it came to; only the record of the last stage knows scores and probabilities."""
    structure = member.structure
    return TrackedMember(
        structure=None if structure is None else structure.as_dict(),
        name="relaxed" if structure is None else structure.canonical,
        restart=member.restart,
        fold=member.fold,
        diverged=found.diverged_at >= 0,
        score=found.score,
        probabilities=found.probabilities,
        rounded=found.rounded,
    )
