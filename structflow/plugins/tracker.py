"""The contract of a tracker: it is told how a run goes and passes it on, and never changes what is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .plugin import Plugin

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class TrackedRun:
    """A run as it begins, or goes on.

    `path` is the run directory, absolute, and `name` the spec's; `spec` is the resolved spec as plain data, `settings`
    holds the values of every point of the sweep by dotted key (one empty mapping without a sweep). `plan` is what
    `structflow plan --json` prints. `continued` says that an earlier call has begun the run.
    """

    path: Path
    name: str
    spec: Mapping[str, Any]
    settings: tuple[Mapping[str, Any], ...]
    plan: Mapping[str, Any]
    continued: bool


@dataclass(frozen=True)
class TrackedMember:
    """One trained member: what it was, and what it came to.

    `structure` is what it chose, as in the ranking, None for a relaxed one; `name` is its canonical text, `relaxed`
    for a relaxed one. `fold` is 0 where no rows are held out. `diverged` says that its bound wasn't finite at some
    step. After the last stage `score` is the number that restarts are compared by (None where it diverged), and of a
    relaxed member `probabilities` holds P(a rounded γ picks the function) by edge and function, and `rounded` the
    structure that it rounds to.
    """

    structure: Mapping[str, Any] | None
    name: str
    restart: int
    fold: int = 0
    diverged: bool = False
    score: float | None = None
    probabilities: Mapping[str, Mapping[str, float]] | None = None
    rounded: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class TrainedBatch:
    """M members that one task has trained through stage `stage` of `stages`, in a round of a point of the sweep.

    `steps` (P,) are the steps at which `terms` were kept, from 0 in each stage; `first_step` is the number of steps of
    the stages before. Every term, such as `log_likelihood` and `kl_weights`, is (P, M), in nats and in the units the
    members were trained in. `reports` is what a method of two levels reports, (T, M) each, at the steps of θ in
    `report_steps` (T,). `replayed` says that an earlier call of a continued run has trained the batch.
    """

    task: str
    setting: int
    values: Mapping[str, Any]
    round: str
    stage: int
    stages: int
    batch: int
    members: tuple[TrackedMember, ...]
    first_step: int
    steps: np.ndarray
    terms: Mapping[str, np.ndarray]
    report_steps: np.ndarray | None = None
    reports: Mapping[str, np.ndarray] = field(default_factory=dict)
    replayed: bool = False

    @property
    def bound(self) -> np.ndarray:
        """L with all c = 1, (P, M): E log p(y | X, w, Γ) − KL of the weights − KL of the structure."""
        bound: np.ndarray = self.terms["log_likelihood"] - self.terms["kl_weights"] - self.terms["kl_structure"]
        return bound


class Tracker(Plugin):
    """Follows a run in the process that drives it; the spec lists trackers in `trackers`, each told in that order.

    Every method may be left out. All calls come from one thread, one after another: `started`, then `progressed` and
    `trained` as tasks go on and are committed, at last `finished` or `failed`. In one process the order is always the
    same, with workers it is that of completion; a continued run first tells of the batches that were there, in the
    order of the plan. A run that is finished already tells nothing. A tracker that raises is left out for the rest of
    the run, with a warning.
    """

    def __init__(self, options: Any):
        self.options = options

    def started(self, run: TrackedRun) -> None:
        """The run begins, or goes on."""

    def progressed(self, task: str, steps: int) -> None:
        """A training task has done so many steps of its stage; told after every few dozen."""

    def trained(self, batch: TrainedBatch) -> None:
        """The record of a training task is committed; slots that stay empty are not told of."""

    def finished(self, summary: Mapping[str, Any]) -> None:
        """All is done and written; `summary` is what `structflow show --json` prints."""

    def failed(self, reason: str) -> None:
        """The run ends early; the same command may continue it. `reason` is one line."""
