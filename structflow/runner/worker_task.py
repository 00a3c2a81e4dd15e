"""What a Dask worker does of a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from .progress import Progress, listening
from .submission import Submission

if TYPE_CHECKING:
    from distributed import Worker


def do_on_worker(submission: Submission, task: str, parents: list[tuple[str, str]]) -> tuple[str, str]:
    """`run_task` on this worker, which publishes what it begins and ends, and its progress.

    A worker of other versions, which joined after those that were there were checked, leaves the cluster instead.
    """
    from distributed import get_worker

    from .run_task import run_task  # with torch, which a scheduler that only passes this function on doesn't need

    worker = get_worker()
    refuse_other_versions_here(worker, submission)

    def publish(progress: Progress) -> None:
        worker.log_event(submission.topic, asdict(progress))

    worker.log_event(submission.topic, {"begins": task})
    try:
        with listening(publish):
            return run_task(submission.path, task, parents)
    finally:
        worker.log_event(submission.topic, {"ends": task})


def refuse_other_versions_here(worker: Worker, submission: Submission) -> None:
    """Close this worker and give its task back, where numbers that it trains would be others."""
    from distributed import Reschedule

    from .cluster_checks import other_versions, versions_here

    found = other_versions(versions_here(), submission.versions)
    if not found:
        return
    worker.log_event(submission.topic, {"refused": f"worker {worker.name} at {worker.address}", "versions": found})
    worker.loop.add_callback(worker.close, reason=f"other versions: {', '.join(found)}")
    raise Reschedule
