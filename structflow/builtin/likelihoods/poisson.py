"""Counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import Likelihood, Shape

if TYPE_CHECKING:
    from torch import Tensor


class Poisson(Likelihood):
    """p(y | f) = ∏_j Poisson(y_j | exp f_j): the output is the log of the rate of every target j."""

    type = "poisson"
    target = "counts"

    @classmethod
    def output_shape(cls, options: Any, n_targets: int, n_classes: int) -> Shape:
        return (n_targets,)

    def log_prob(self, parameters: dict[str, Tensor], y: Tensor, f: Tensor) -> Tensor:
        """y f − e^f − log y!."""
        return (y * f - f.exp() - (y + 1).lgamma()).sum(-1)

    @property
    def closed_form(self) -> bool:
        return True

    def expected_log_prob(self, parameters: dict[str, Tensor], y: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """For normal f: E e^f = exp(mean + variance / 2)."""
        return (y * mean - (mean + 0.5 * variance).exp() - (y + 1).lgamma()).sum(-1)

    def curvature(self, parameters: dict[str, Tensor], y: Tensor, f: Tensor) -> Tensor:
        """diag e^f."""
        return f.exp().diag_embed()

    def moments(self, parameters: dict[str, Tensor], f: Tensor) -> tuple[Tensor, Tensor]:
        rate = f.exp()
        return rate, rate
