"""When a rising bound has stopped rising, judged by some restarts and measured by others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Watch:
    """One half of the restarts, which judges, beside the other one, which is measured.

    `best` (M,) is the largest mean bound so far, met at step `at` (M,), and `measured` (M, r') what the bounds of the
    other half were then. A member that has `stopped` (M,) rose last `patience` or more steps before; nothing changes
    it any more.
    """

    best: Tensor
    at: Tensor
    measured: Tensor
    stopped: Tensor

    @classmethod
    def begin(cls, judging: Tensor, measured: Tensor) -> Self:
        """At the start, from the bounds of both halves, (M, r') each."""
        import torch

        at = torch.zeros(len(judging), dtype=torch.int64, device=judging.device)
        return cls(mean_of(judging), at, measured, torch.zeros_like(at, dtype=torch.bool))

    def after(self, step: int, judging: Tensor, measured: Tensor, patience: int) -> Self:
        """With the bounds after so many steps."""
        import torch

        mean = mean_of(judging)
        better = (mean > self.best) & ~self.stopped
        at = torch.where(better, step, self.at)
        return type(self)(
            torch.where(better, mean, self.best),
            at,
            torch.where(better.unsqueeze(1), measured, self.measured),
            self.stopped | (step - at >= patience),
        )


@dataclass(frozen=True)
class CrossedWatch:
    """Two halves of the restarts, each of which chooses the step at which the other one is measured.

    The largest of several noisy means is too large on average; a mean at a step that other restarts chose is not.
    """

    first: Watch
    second: Watch

    @classmethod
    def begin(cls, bounds: Tensor) -> Self:
        """At the start, from the bounds of all restarts, (M, r)."""
        first, second = halves(bounds)
        return cls(Watch.begin(first, second), Watch.begin(second, first))

    def after(self, step: int, bounds: Tensor, patience: int) -> Self:
        """With the bounds after so many steps."""
        first, second = halves(bounds)
        return type(self)(
            self.first.after(step, first, second, patience), self.second.after(step, second, first, patience)
        )

    @property
    def stopped(self) -> Tensor:
        """Which members have stopped, (M,)."""
        return self.first.stopped & self.second.stopped

    @property
    def bounds(self) -> Tensor:
        """The bounds of all restarts, each half where the other one was best, (M, r)."""
        import torch

        return torch.cat([self.second.measured, self.first.measured], dim=1)


def halves(values: Tensor) -> tuple[Tensor, Tensor]:
    """(M, r) → (M, ⌊r/2⌋) and the rest."""
    half = values.shape[1] // 2
    return values[:, :half], values[:, half:]


def mean_of(bounds: Tensor) -> Tensor:
    """The mean over restarts, (M,); −∞ where one has diverged."""
    import torch

    return bounds.mean(1).nan_to_num(nan=-torch.inf, posinf=-torch.inf)
