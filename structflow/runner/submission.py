"""A run as a Dask scheduler knows it, which may carry out others at the same time."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..plan.tasks import Task
from ..store.digest import digest_of_json
from ..store.run_directory import RunDirectory
from .progress import Listener, Progress

Handler = Callable[[tuple[Any, Any]], None]
"""Takes an event of the scheduler: when it was, and what."""

MARK = "@"
"""Between the run and the name of a task; in neither."""


@dataclass(frozen=True)
class Submission:
    """Path of the run directory, what tells its keys from those of other runs, and versions that workers must have."""

    path: str
    run: str
    versions: Mapping[str, str]

    @classmethod
    def of(cls, directory: RunDirectory) -> Submission:
        """That of a run: a directory that is made again at the same path is another one."""
        from .cluster_checks import versions_here  # with torch, which a scheduler doesn't need

        path = str(directory.path.resolve())
        return cls(path, digest_of_json([path, *directory.opening])[:12], versions_here())

    @property
    def topic(self) -> str:
        """The Dask topic on which workers publish what concerns this run."""
        return f"structflow-{self.run}"

    def key_of(self, task: Task) -> str:
        """The key of a task on the scheduler.

        Its kind comes first: by what comes first the scheduler groups tasks that take equally long, and moves work to
        a worker that joined by how long it takes.
        """
        return f"{task.kind}-{self.run}{MARK}{task.name}"

    def name_of(self, key: Any) -> str:
        """The name of the task that a key stands for."""
        return str(key).partition(MARK)[2]

    def owns(self, key: Any) -> bool:
        """Whether a key is of this run."""
        return f"-{self.run}{MARK}" in str(key)

    def news_for(self, listener: Listener) -> Handler:
        """A handler that passes progress on, and says which workers left since they have other versions."""

        def hear(event: tuple[Any, Any]) -> None:
            message = event[1]
            if "refused" in message:
                sys.stderr.write(
                    f"warning: {message['refused']} has other versions than this process, and leaves without doing "
                    f"anything: {', '.join(message['versions'])}\n"
                )
                return
            listener(Progress(message["task"], message["steps"], message["finished"]))

        return hear

    def warn_of_losses(self) -> Handler:
        """A handler that says which tasks were lost with a worker and are done again."""
        losses: Counter[str] = Counter()

        def hear(event: tuple[Any, Any]) -> None:
            message = event[1]
            if message.get("action") != "remove-worker" or message.get("expected"):
                return
            for task in map(self.name_of, filter(self.owns, message.get("processing-tasks", ()))):
                losses[task] += 1
                sys.stderr.write(
                    f"warning: worker {message.get('worker')} was lost while it did {task} (attempt {losses[task]}); "
                    "the task is done again elsewhere\n"
                )

        return hear
