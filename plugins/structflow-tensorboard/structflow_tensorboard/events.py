"""Writing event folders with PyTorch's writer, which needs the package tensorboard but not TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from structflow.plugins import TrackedMember, TrainedBatch

from .ranking_table import ranking_table

EVENT_FILES = "events.out.tfevents.*"


def remove_events(folder: Path) -> None:
    """Remove the event files of an earlier call, and nothing else."""
    for path in folder.rglob(EVENT_FILES):
        path.unlink()


@contextmanager
def event_writer(folder: Path) -> Iterator[Any]:
    """A `SummaryWriter` of a folder; everything is on disk when it is left."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    try:
        yield writer
    finally:
        writer.close()


def write_member(folder: Path, stages: Sequence[TrainedBatch], number: int, every: int) -> None:
    """The curves of one member over all its stages, and what it came to at the last step."""
    last = stages[-1]
    with event_writer(folder) as writer:
        for stage in stages:
            steps = stage.first_step + stage.steps
            write_curve(writer, "bound", steps, stage.bound[:, number], every)
            for name, values in stage.terms.items():
                if values.any():  # terms that the objective doesn't have are 0 throughout
                    write_curve(writer, f"terms/{name}", steps, values[:, number], every)
            if stage.report_steps is not None:
                for name, values in stage.reports.items():
                    write_curve(
                        writer, f"hypergradient/{name}", stage.first_step + stage.report_steps, values[:, number], every
                    )
        write_outcome(writer, last.members[number], int(last.first_step + last.steps[-1]))


def write_curve(writer: Any, tag: str, steps: np.ndarray, values: np.ndarray, every: int) -> None:
    """Points (P,) of one curve: every so many and the last one; of a diverged member those that are finite."""
    for index, (step, value) in enumerate(zip(steps.tolist(), values.tolist(), strict=True)):
        if (index % every == 0 or index == len(steps) - 1) and np.isfinite(value):
            writer.add_scalar(tag, value, step)


def write_outcome(writer: Any, member: TrackedMember, step: int) -> None:
    """The score, and P(a rounded γ picks a function) by edge where the member is relaxed."""
    if member.score is not None:
        writer.add_scalar("score", member.score, step)
    for edge, chances in (member.probabilities or {}).items():
        for function, chance in chances.items():
            writer.add_scalar(f"probability {edge}/{function}", chance, step)


def write_setting(
    folder: Path,
    spec: Mapping[str, Any],
    values: Mapping[str, Any],
    criterion: str,
    ranking: Sequence[Mapping[str, Any]],
) -> None:
    """The spec, the values of the sweep and the final ranking of a setting, as text; and the values as hparams."""
    with event_writer(folder) as writer:
        text = yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True)
        writer.add_text("spec", "".join(f"    {line}\n" for line in text.splitlines()))
        writer.add_text("ranking", ranking_table(ranking, criterion))
        if values:
            writer.add_text("setting", "\n".join(f"- `{key}`: {json.dumps(value)}" for key, value in values.items()))
            write_hparams(writer, values, ranking)


def write_hparams(writer: Any, values: Mapping[str, Any], ranking: Sequence[Mapping[str, Any]]) -> None:
    """The values of a setting with the score of its best structure, for TensorBoard's page HPARAMS."""
    from torch.utils.tensorboard.summary import hparams

    plain = {
        key: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for key, value in values.items()
    }
    found = {f"best/{key}": ranking[0][key] for key in ("score", "probability")} if ranking else {}
    metrics = {name: value for name, value in found.items() if value is not None}
    for summary in hparams(plain, metrics):
        writer.file_writer.add_summary(summary)
    for name, value in metrics.items():
        writer.add_scalar(name, value, 0)
