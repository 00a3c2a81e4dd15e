"""The contract of a metric of predictions."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from .likelihood import TargetKind
from .plugin import Plugin

if TYPE_CHECKING:
    import numpy as np


class Predicted(Protocol):
    """What one member predicts for some rows, in the target's original units."""

    @property
    def target(self) -> TargetKind:
        """How the targets are read: continuous, counts, classes or binary."""

    @property
    def mean(self) -> np.ndarray:
        """E y, (rows, targets): of classes their probabilities (rows, classes), of two labels that of the second."""

    @property
    def log_density(self) -> np.ndarray:
        """log (1/S) Σ_s p(y_i | f_s(x_i)) of the observed targets, (rows,), in nats."""

    @property
    def pit(self) -> np.ndarray:
        """u = P(Y < y) + v P(Y = y), v uniform on (0, 1), (rows, targets): uniform where predictions are calibrated.

        Only for a metric that `needs_pit`, and for numbers and counts.
        """

    @property
    def draws(self) -> np.ndarray:
        """S draws of y, (S, rows, targets), one for each draw of q; of classes 1 for the drawn one, (S, rows, classes).

        Only for a metric that `needs_draws`.
        """


class Metric(Plugin):
    """One number that says how good predictions are; the spec names it in `metrics`.

    `targets` are the kinds of targets that it is for, `better` says which way is better. One that is `is_default` is
    computed without being named, in the `order` that tables have. One that `needs_draws` is a mean over rows: it is
    asked for blocks of rows, and its answers are averaged. Of one that needs neither draws nor `pit`, values under
    noise and after removing weights are computed, too.
    """

    targets: ClassVar[tuple[TargetKind, ...]]
    better: ClassVar[Literal["higher", "lower"]]
    is_default: ClassVar[bool] = False
    needs_draws: ClassVar[bool] = False
    needs_pit: ClassVar[bool] = False
    order: ClassVar[int] = 100

    @staticmethod
    @abstractmethod
    def value(options: Any, predicted: Predicted, y: np.ndarray) -> float:
        """The metric for the targets y, (rows, targets): numbers in original units, or codes of labels from 0."""
