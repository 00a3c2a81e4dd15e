"""A log of the run that programs and people can follow line by line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from ...plugins import Options, TrackedMember, TrackedRun, Tracker, TrainedBatch


class JsonLinesOptions(Options):
    """Where the log is written."""

    file: str = Field("log.jsonl", min_length=1, description="The file; a relative path starts at the run directory.")


class JsonLines(Tracker):
    """Writes a JSON object a line: the start, every trained batch with its members, and the end.

    A run that is continued writes the file anew, with what was trained before.
    """

    type = "json_lines"
    Options = JsonLinesOptions

    def __init__(self, options: JsonLinesOptions):
        super().__init__(options)
        self.path = Path(options.file)

    def started(self, run: TrackedRun) -> None:
        from ...store.own_output import refuse_own_file

        self.path = run.path / self.path
        refuse_own_file(run.path, self.path)
        if self.path.exists() and not self.path.is_file():  # a FIFO would hold up the run until somebody reads
            raise ValueError(f"{self.path} is not a regular file; choose another with the option `file`")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("", encoding="utf-8")
        counts = {key: run.plan[key] for key in ("n_structures", "n_members", "n_tasks", "exact")}
        self._write("started", name=run.name, continued=run.continued, **counts)

    def trained(self, batch: TrainedBatch) -> None:
        self._write(
            "trained",
            task=batch.task,
            values=dict(batch.values),
            round=batch.round,
            stage=batch.stage,
            replayed=batch.replayed,
            members=[
                described(member, float(bound)) for member, bound in zip(batch.members, batch.bound[-1], strict=True)
            ],
        )

    def finished(self, summary: Mapping[str, Any]) -> None:
        best = summary["ranking"][0]["structure"] if summary["ranking"] else None
        self._write("finished", status=summary["status"], best=best, seconds=summary["seconds"])

    def failed(self, reason: str) -> None:
        self._write("failed", reason=reason)

    def _write(self, event: str, **values: Any) -> None:
        """Append one line, so that a reader sees it at once."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **values}, ensure_ascii=False, allow_nan=False) + "\n")


def described(member: TrackedMember, bound: float) -> dict[str, Any]:
    """A member as a line of the log holds it; `bound` is that of the last step, in training units."""
    return {
        "structure": member.structure,
        "restart": member.restart,
        **({} if member.fold == 0 else {"fold": member.fold}),
        "bound": bound if math.isfinite(bound) else None,
        "diverged": member.diverged,
        "score": member.score,
        **({} if member.probabilities is None else {"probabilities": member.probabilities}),
    }
