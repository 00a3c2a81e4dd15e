"""The tasks of a plan, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["decide", "train", "select", "evaluate"]


@dataclass(frozen=True)
class Task:
    """One unit of work; `name` identifies it within the run.

    decide writes the members of a round; train trains a batch through one stage; select picks the best restart of every
    structure; evaluate estimates the evidence of those picked from one batch.
    """

    kind: Kind
    setting: int
    round: int = 0
    stage: int = 0
    slot: int = 0
    parents: tuple[Task, ...] = field(default=(), compare=False, repr=False)

    @property
    def name(self) -> str:
        """Readable and usable as a file name.

        >>> Task("train", setting=0, round=1, stage=2, slot=3).name
        'setting0-round1-batch3-stage2-train'
        """
        if self.kind == "select":
            return f"setting{self.setting}-select"
        if self.kind == "decide":
            return f"setting{self.setting}-round{self.round}-decide"
        batch = f"setting{self.setting}-round{self.round}-batch{self.slot}"
        return f"{batch}-evaluate" if self.kind == "evaluate" else f"{batch}-stage{self.stage}-train"
