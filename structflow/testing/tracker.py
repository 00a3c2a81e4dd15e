"""What a tracker promises: it follows a run to its end without raising."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydantic import JsonValue

from ..plugins import TrackedRun, Tracker, TrainedBatch
from ..results.run import run_study
from ..runner.driver import open_run
from ..runner.tracking import tracked_run, trained_batch
from ..spec.load import study_from_mapping
from ..spec.round_spec import numbers_of_steps
from .check import expect, remedy
from .default_spec import DOCUMENT
from .plugin_tests import PluginTests
from .subject import Subject


@dataclass(frozen=True)
class Story:
    """What a tracker is told of a run that was carried out; `steps` of each task at a time."""

    run: TrackedRun
    batches: tuple[TrainedBatch, ...]
    summary: dict[str, JsonValue]
    steps: int


@cache
def story() -> Story:
    """A small relaxed run with its last round of structures, carried out once."""
    document = {**DOCUMENT, "regime": {"type": "evidence"}}
    with TemporaryDirectory(prefix="structflow-") as folder:
        study = study_from_mapping(document, Path(folder))
        finished = run_study(study, Path(folder) / "run", None, None, lambda progress: None)
        begun = open_run(study, finished.path, None)
        directory, plan = begun.directory, begun.plan
        tasks = [task for task in plan.tasks() if task.kind == "train"]
        told = [trained_batch(directory, plan, task, False) for task in tasks]
        batches = tuple(batch for batch in told if batch is not None)
        run = replace(tracked_run(study, directory, plan), continued=False)
        return Story(run, batches, finished.summary.model_dump(mode="json"), numbers_of_steps(study.spec)[-1])


@contextmanager
def told(subject: Subject, continued: bool = False) -> Iterator[tuple[Tracker, Story]]:
    """A tracker that has followed the start of a run in a folder of its own, and its own copy of what is to follow."""
    whole = deepcopy(story())
    with TemporaryDirectory(prefix="structflow-") as folder:
        tracker: Tracker = subject.plugin(subject.options)
        tracker.started(replace(whole.run, path=Path(folder).resolve(), continued=continued))
        yield tracker, whole


def tell(tracker: Tracker, batches: tuple[TrainedBatch, ...], steps: int) -> None:
    """The training of some batches."""
    for batch in batches:
        tracker.progressed(batch.task, steps)
        tracker.trained(batch)


def same_values(one: Any, other: Any) -> bool:
    """Whether two values, collections or arrays are equal; NaN equals itself."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same_values(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_values, one, other))
    return bool(one == other or (one != one and other != other))


class TrackerTests(PluginTests):
    """Tests of one tracker."""

    kind = "trackers"

    @remedy("take every value of run, batch and summary as it may be: None, NaN, no reports, relaxed members")
    def test_follows_a_run(self, subject: Subject) -> None:
        """A run is followed from its start to its end, and nothing raises."""
        with told(subject) as (tracker, whole):
            tell(tracker, whole.batches, whole.steps)
            tracker.finished(whole.summary)

    @remedy(
        "expect `started` with `continued` and batches with `replayed`: open what was written before, or begin it anew"
    )
    def test_follows_a_continued_run(self, subject: Subject) -> None:
        """A run that was begun earlier is followed too: the first batches are replayed, the others trained."""
        with told(subject, continued=True) as (tracker, whole):
            for batch in whole.batches[:1]:
                tracker.trained(replace(batch, replayed=True))
            tell(tracker, whole.batches[1:], whole.steps)
            tracker.finished(whole.summary)

    @remedy("let `failed` close what `started` opened; it may come at any time, and another run may follow")
    def test_follows_a_failing_run(self, subject: Subject) -> None:
        """A run that fails, at its start or among its batches, is followed to there."""
        for number in (0, 1):
            with told(subject) as (tracker, whole):
                tell(tracker, whole.batches[:number], whole.steps)
                tracker.failed("StorageError: no space left on device")

    @remedy("write what isn't finite as null or nan, and take a score of None")
    def test_follows_diverged_members(self, subject: Subject) -> None:
        """Members that diverged, whose terms are NaN and scores None, and a run without a ranking, are followed too."""
        with told(subject) as (tracker, whole):
            for batch in whole.batches:
                members = tuple(replace(member, diverged=True, score=None, rounded=None) for member in batch.members)
                terms = {name: values * float("nan") for name, values in batch.terms.items()}
                tracker.trained(replace(batch, members=members, terms=terms))
            tracker.finished({**whole.summary, "ranking": [], "status": "failed"})

    @remedy("copy what you want to change, as in `dict(run.spec)`: other trackers get the same spec, plan and batches")
    def test_changes_nothing(self, subject: Subject) -> None:
        """Following a run leaves spec, settings, plan, batches and summary unchanged."""
        whole = story()
        heard = deepcopy(whole)
        with TemporaryDirectory(prefix="structflow-") as folder:
            tracker: Tracker = subject.plugin(subject.options)
            tracker.started(replace(heard.run, path=Path(folder).resolve()))
            tell(tracker, heard.batches, heard.steps)
            tracker.finished(heard.summary)
            for name in ("spec", "settings", "plan"):
                same = same_values(getattr(whole.run, name), getattr(heard.run, name))
                expect(same, f"`{name}` of the run was changed by the tracker")
            for before, after in zip(whole.batches, heard.batches, strict=True):
                changed = [name for name in vars(before) if not same_values(vars(before)[name], vars(after)[name])]
                expect(not changed, f"{', '.join(changed)} of batch {before.task} changed by the tracker")
            expect(same_values(whole.summary, heard.summary), "the summary changed by the tracker")
