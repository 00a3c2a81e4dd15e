"""A run as a Dask scheduler knows it, which may carry out others at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..plan.tasks import Task
from ..store.digest import digest_of_json
from ..store.run_directory import RunDirectory

MARK = "@"
"""Between the run and the name of a task; in neither."""


@dataclass(frozen=True)
class Submission:
    """Path of the run directory, what tells its keys from those of other runs, and versions that workers must have.

    What is left of a run is submitted again, as the next `wave`, where tasks were lost that nobody is to blame for.
    """

    path: str
    run: str
    versions: Mapping[str, str]
    wave: int = 0

    @classmethod
    def of(cls, directory: RunDirectory) -> Submission:
        """That of a run: a directory that is made again at the same path is another one."""
        from .cluster_checks import versions_here  # with torch, which a scheduler doesn't need

        path = str(directory.path.resolve())
        return cls(path, digest_of_json([path, *directory.identity])[:12], versions_here())

    @property
    def topic(self) -> str:
        """The Dask topic on which workers publish what concerns this run."""
        return f"structflow-{self.run}"

    def key_of(self, task: Task) -> str:
        """The key of a task on the scheduler.

        Its kind comes first: by what comes first the scheduler groups tasks that take equally long, and moves work to
        a worker that joined by how long it takes.
        """
        return f"{task.kind}-{self.run}.{self.wave}{MARK}{task.name}"

    def name_of(self, key: object) -> str:
        """The name of the task that a key stands for."""
        return str(key).partition(MARK)[2]
