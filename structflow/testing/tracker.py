"""What a tracker promises: it follows a run to its end without raising."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..plugins import TrackedRun, Tracker, TrainedBatch
from ..results.run import run_study
from ..runner.driver import open_run
from ..runner.tracking import tracked_run, trained_batch
from ..spec.load import study_from_mapping
from .check import Check, Rule, checks_of, rule
from .common import RULES_OF_OPTIONS
from .default_spec import DOCUMENT
from .subject import Subject


@dataclass(frozen=True)
class Story:
    """What a tracker is told of a run that was carried out; `steps` of each task at a time."""

    run: TrackedRun
    batches: tuple[TrainedBatch, ...]
    summary: dict[str, Any]
    steps: int


@cache
def story() -> Story:
    """A small relaxed run with its last round of structures, carried out once."""
    document = {**DOCUMENT, "regime": {"type": "evidence"}}
    with TemporaryDirectory(prefix="structflow-") as folder:
        study = study_from_mapping(document, Path(folder))
        finished = run_study(study, Path(folder) / "run", None, None, lambda progress: None)
        directory, plan = open_run(study, finished.path, None)
        tasks = [task for task in plan.tasks() if task.kind == "train"]
        told = [trained_batch(directory, plan, task, False) for task in tasks]
        batches = tuple(batch for batch in told if batch is not None)
        run = replace(tracked_run(study, directory, plan), continued=False)
        return Story(run, batches, finished.summary, study.spec.optimizer.inner.steps)


@contextmanager
def told(subject: Subject, continued: bool = False) -> Iterator[tuple[Tracker, Story]]:
    """A tracker that was told of the start of a run in a folder of its own, and what there is to tell."""
    whole = story()
    with TemporaryDirectory(prefix="structflow-") as folder:
        tracker: Tracker = subject.plugin(subject.options)
        tracker.started(replace(whole.run, path=Path(folder).resolve(), continued=continued))
        yield tracker, whole


def tell(tracker: Tracker, batches: tuple[TrainedBatch, ...], steps: int) -> None:
    """The training of some batches."""
    for batch in batches:
        tracker.progressed(batch.task, steps)
        tracker.trained(batch)


@rule(
    "take every value of TrackedRun, TrainedBatch and the summary as it may be: None, NaN, no reports, relaxed members"
)
def follows_a_run(subject: Subject) -> None:
    """A run is followed from its start to its end, and nothing raises."""
    with told(subject) as (tracker, whole):
        tell(tracker, whole.batches, whole.steps)
        tracker.finished(whole.summary)


@rule("expect `started` with `continued` and batches with `replayed`: open what was written before, or begin it anew")
def follows_a_continued_run(subject: Subject) -> None:
    """A run that was begun earlier is followed too: the first batches are replayed, the others trained."""
    with told(subject, continued=True) as (tracker, whole):
        for batch in whole.batches[:1]:
            tracker.trained(replace(batch, replayed=True))
        tell(tracker, whole.batches[1:], whole.steps)
        tracker.finished(whole.summary)


@rule(
    "let `failed` close what `started` opened; it may come at any time, and a tracker may be told of another run later"
)
def follows_a_failing_run(subject: Subject) -> None:
    """A run that fails, at its start or among its batches, is followed to there."""
    for number in (0, 1):
        with told(subject) as (tracker, whole):
            tell(tracker, whole.batches[:number], whole.steps)
            tracker.failed("StorageError: no space left on device")


@rule("write what isn't finite as null or nan, and take a score of None")
def follows_diverged_members(subject: Subject) -> None:
    """Members that diverged, whose terms are NaN and scores None, and a run without a ranking, are followed too."""
    with told(subject) as (tracker, whole):
        for batch in whole.batches:
            members = tuple(replace(member, diverged=True, score=None, rounded=None) for member in batch.members)
            terms = {name: values * float("nan") for name, values in batch.terms.items()}
            tracker.trained(replace(batch, members=members, terms=terms))
        tracker.finished({**whole.summary, "ranking": [], "status": "failed"})


RULES: tuple[Rule[Subject], ...] = (
    follows_a_run,
    follows_a_continued_run,
    follows_a_failing_run,
    follows_diverged_members,
)


def checks(subject: Subject) -> list[Check]:
    """The checks of one example."""
    return checks_of(subject.prefix, subject.about, subject, (*RULES_OF_OPTIONS, *RULES))
