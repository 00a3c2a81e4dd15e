"""A progress bar over all tasks of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..data.opening import watching
from ..plan.plan import Plan
from ..runner.progress import Listener
from ..runner.progress import Progress as News
from ..store.run_directory import RunDirectory
from ..words import counted

EVALUATION_STEPS = 100
"""What a task that isn't training counts for, in steps."""


class StepCounter:
    """Turns news of tasks into steps done, each task counted up to its own number of steps.

    `total` and `completed` are the steps of all tasks, `finished` the number of tasks that are done.
    """

    def __init__(self, plan: Plan, directory: RunDirectory):
        self.sizes = {}
        for task in plan.tasks():
            steps = plan.settings[task.setting].rounds[task.round].steps
            self.sizes[task.name] = steps[task.stage] if task.kind == "train" else EVALUATION_STEPS
        self.done = {name: size if directory.is_committed(name) else 0 for name, size in self.sizes.items()}
        self.total, self.completed = sum(self.sizes.values()), sum(self.done.values())
        self.ended = {name for name, size in self.sizes.items() if self.done[name] == size}

    def hear(self, news: News) -> None:
        """Take in one piece of news."""
        if news.task not in self.sizes:
            return
        size, before = self.sizes[news.task], self.done[news.task]
        self.done[news.task] = size if news.finished else min(size, max(before, news.steps))
        self.completed += self.done[news.task] - before
        if news.finished:
            self.ended.add(news.task)

    @property
    def finished(self) -> int:
        """Tasks that are done."""
        return len(self.ended)


@contextmanager
def progress_bar(directory: RunDirectory, plan: Plan, quiet: bool) -> Iterator[Listener]:
    """A listener that draws a bar on standard error; one that does nothing when `quiet`."""
    counter = StepCounter(plan, directory)
    if quiet or counter.completed == counter.total:
        yield lambda news: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[tasks]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )

    def tasks() -> str:
        return f"{counter.finished:,} of {len(counter.sizes):,} tasks"

    members = f"{counted(plan.n_members, 'member')} of {counted(plan.n_structures, 'structure')}"
    with Progress(*columns, console=Console(stderr=True)) as bar:
        shown = bar.add_task(members, total=counter.total, completed=counter.completed, tasks=tasks())

        def listener(news: News) -> None:
            counter.hear(news)
            bar.update(shown, completed=counter.completed, tasks=tasks())

        yield listener


@contextmanager
def reading_bar(quiet: bool) -> Iterator[None]:
    """Draws a bar on standard error while a table larger than memory is passed over, unless `quiet`."""
    if quiet:
        yield
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeRemainingColumn()
    )  # fmt: skip
    bar = Progress(*columns, console=Console(stderr=True))

    def watcher(done: int, rows: int) -> None:
        bar.start()  # no earlier: a bar that has nothing to show leaves an empty line where it isn't on a terminal
        shown = bar.task_ids[0] if bar.task_ids else bar.add_task("reading the table once")
        bar.update(shown, total=rows, completed=done)

    try:
        with watching(watcher):
            yield
    finally:
        if bar.task_ids:
            bar.stop()
