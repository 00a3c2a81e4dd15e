"""log p(y, w) of weight vectors with its gradient and the products of its Hessian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ...plugins import WeightVectors

CHUNK_NUMBERS = 1_000_000
"""Numbers of one node's values that are differentiated at a time: it bounds memory, never what is computed."""


@dataclass(frozen=True)
class LogJoint:
    """log p(y, w) = (m/|B|) Σ_{i ∈ B} log p(y_i | x_i, w) + log p(w | h) on the rows B of a step, w being (M, S, n).

    B is every k-th row of the m, k = ⌈m / batch_size⌉, from another first row each step, so that all members, samples
    and runs see the same rows; k = 1 without a `batch_size`. H is the Hessian of −log p(y, w).
    """

    weights: WeightVectors
    batch_size: int | None = None

    def __post_init__(self) -> None:
        # Vectors keep what they have computed once, which must not happen within a derivative.
        self.weights.log_prior(self.weights.mean.unsqueeze(1))

    @property
    def parts(self) -> int:
        """k, the number of different B."""
        return 1 if self.batch_size is None else -(-self.weights.rows // self.batch_size)

    def rows(self, step: int) -> Tensor | None:
        """B of a step; None for all rows."""
        import torch

        if self.parts == 1:
            return None
        return torch.arange(step % self.parts, self.weights.rows, self.parts, device=self.weights.used.device)

    def on_rows(self, w: Tensor, rows: Tensor | None) -> Tensor:
        """log p(y, w) with B = `rows`, (M, S)."""
        factor = 1.0 if rows is None else self.weights.rows / len(rows)
        return factor * self.weights.log_likelihood(w, rows) + self.weights.log_prior(w)

    def value(self, w: Tensor) -> Tensor:
        """log p(y, w) on all rows, (M, S)."""
        (values,) = self._in_parts(lambda part: (self.on_rows(part, None),), w)
        return values

    def gradient(self, w: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """log p(y, w) (M, S) and its gradient (M, S, n), on the rows of a step."""
        rows = self.rows(step)
        value, gradient = self._in_parts(lambda part: self.first_order(part, rows), w)
        return value, gradient

    def product(self, w: Tensor, v: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """log p(y, w) (M, S), its gradient and H v (M, S, n), on the rows of a step."""
        rows = self.rows(step)
        value, gradient, product = self._in_parts(lambda at, along: self.second_order(at, along, rows), w, v)
        return value, gradient, product

    def first_order(self, w: Tensor, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        """log p(y, w) and ∇ log p(y, w)."""
        from torch.func import grad

        def total(at: Tensor) -> tuple[Tensor, Tensor]:
            values = self.on_rows(at, rows)
            return values.sum(), values

        gradient, values = grad(total, has_aux=True)(w)
        return values, gradient

    def second_order(self, w: Tensor, v: Tensor, rows: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """log p(y, w), ∇ log p(y, w) and H v = −∇ (vᵀ ∇ log p(y, w)): twice in reverse, faster here than forwards."""
        from torch.func import grad

        def along(at: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            values, gradient = self.first_order(at, rows)
            return (gradient * v).sum(), (values, gradient)

        product, (values, gradient) = grad(along, has_aux=True)(w)
        return values, gradient, -product

    def _in_parts(self, evaluate: Callable[..., tuple[Tensor, ...]], *vectors: Tensor) -> tuple[Tensor, ...]:
        """`evaluate` on so many samples at a time as fit, put together."""
        import torch

        size = max(1, CHUNK_NUMBERS // (len(vectors[0]) * self.weights.rows * self.weights.widest))
        parts = [evaluate(*part) for part in zip(*(vector.split(size, dim=1) for vector in vectors), strict=True)]
        return tuple(torch.cat(columns, dim=1) for columns in zip(*parts, strict=True))
