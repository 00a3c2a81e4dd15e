"""The tracker `tensorboard`: which event folders there are, and when each is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from structflow.plugins import Options, TrackedMember, TrackedRun, Tracker, TrainedBatch

from .events import remove_events, write_member, write_setting
from .folders import member_folder, setting_folder


class TensorBoardOptions(Options):
    """Keys of the tracker `tensorboard`."""

    folder: str = Field(
        "tensorboard",
        min_length=1,
        description="Where event folders are written; a relative path starts at the run directory. Outside of it the "
        "run gets a folder of its own there, named for the run directory.",
    )
    members: int = Field(
        10, ge=0, le=100_000, description="Members of every trained batch that are written, those with the best score."
    )
    every: int = Field(1, ge=1, description="Of the steps that a run keeps, write every so many, and the last one.")


class TensorBoard(Tracker):
    """Writes bounds over steps, probabilities of functions and the ranking as event files of TensorBoard.

    Every member gets a folder, `ROUND/STRUCTURE/restartN`, written once the last stage of its batch is done; with a
    sweep all of it is in a folder for each setting. A run that is continued is written anew as a whole.
    """

    type = "tensorboard"
    interface = (2, 0)
    Options = TensorBoardOptions
    options: TensorBoardOptions

    def started(self, run: TrackedRun) -> None:
        wanted = run.path / self.options.folder
        inside = wanted.resolve().is_relative_to(run.path.resolve())
        self.folder = wanted if inside else wanted / run.path.name
        self.run = run
        self.stages: dict[tuple[int, str, int], list[TrainedBatch]] = {}
        remove_events(self.folder)

    def trained(self, batch: TrainedBatch) -> None:
        key = (batch.setting, batch.round, batch.batch)
        self.stages.setdefault(key, []).append(batch)
        if batch.stage < batch.stages - 1:
            return
        stages = self.stages.pop(key)
        for number in best_members(batch.members, self.options.members):
            folder = member_folder(self.folder_of(batch.setting), batch.round, batch.members[number])
            write_member(folder, stages, number, self.options.every)

    def finished(self, summary: Mapping[str, Any]) -> None:
        settings = summary["settings"] or [summary]
        for index, (values, found) in enumerate(zip(self.run.settings, settings, strict=True)):
            write_setting(self.folder_of(index), self.run.spec, values, summary["criterion"], found["ranking"])

    def folder_of(self, setting: int) -> Path:
        """The folder of a setting; without a sweep that of the run."""
        values = self.run.settings[setting]
        return setting_folder(self.folder, setting, values) if len(self.run.settings) > 1 or values else self.folder


def best_members(members: tuple[TrackedMember, ...], most: int) -> list[int]:
    """Numbers of the members with the best scores, diverged ones last and ties by name; those of folds are left out."""
    everyone = [number for number, member in enumerate(members) if member.fold == 0]

    def rank(number: int) -> tuple[float, str, int]:
        member = members[number]
        return (math.inf if member.score is None else -member.score, member.name, member.restart)

    return sorted(everyone, key=rank)[:most]
