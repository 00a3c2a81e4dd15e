"""One of several classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import Likelihood, Shape

if TYPE_CHECKING:
    from torch import Tensor


class Categorical(Likelihood):
    """p(y = k | f) = softmax(f)_k; the output node has one value a class, y holds the class's code, (rows, 1)."""

    type = "categorical"
    target = "classes"

    @classmethod
    def output_shape(cls, options: Any, n_targets: int, n_classes: int) -> Shape:
        return (n_classes,)

    def log_prob(self, parameters: dict[str, Tensor], y: Tensor, f: Tensor) -> Tensor:
        return f.log_softmax(-1).gather(-1, y.long()).squeeze(-1)

    def curvature(self, parameters: dict[str, Tensor], y: Tensor, f: Tensor) -> Tensor:
        """diag p − p pᵀ."""
        p = f.softmax(-1)
        return p.diag_embed() - p.unsqueeze(-1) * p.unsqueeze(-2)

    def moments(self, parameters: dict[str, Tensor], f: Tensor) -> tuple[Tensor, Tensor]:
        probabilities = f.softmax(-1)
        return probabilities, probabilities * (1 - probabilities)
