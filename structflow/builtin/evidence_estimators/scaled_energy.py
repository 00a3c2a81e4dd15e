"""−log p(y, w | h) of every member as a function of its vector of weights, in coordinates that suit it.

With w = d ∘ z, d fixed for every member, the energy is

    U(z) = −log p(y | X, d ∘ z) − log p(d ∘ z | h);

its gradient (M, n) and its Hessian (M, n, n) are taken with respect to z. d is the standard deviation of q(w), or of
the prior where q is a point, which makes the diagonal of the Hessian about 1. In places that hold no weight U is ½ z²,
so that they change neither a mode nor a determinant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import CallError

if TYPE_CHECKING:
    from torch import Tensor

    from ...plugins import WeightVectors

CHUNK_NUMBERS = 4_000_000
"""Numbers of one node's values that are held at a time: it bounds memory, never what is computed."""

MOST_WEIGHTS = 2_000
"""Weights of a member at most, whose Hessian has the square of so many numbers and costs so many gradients."""

MOST_HELD = 250_000_000
"""Numbers of the Hessians of all members at a time: 2 GB."""


@dataclass(frozen=True)
class ScaledEnergy:
    """U of all members at once; nothing mixes them."""

    vectors: WeightVectors
    scale: Tensor
    """d, (M, n)."""

    @classmethod
    def of(cls, vectors: WeightVectors) -> ScaledEnergy:
        """U with d from q, or from the prior where q is a point."""
        import torch

        variance = torch.where(vectors.variance > 0, vectors.variance, (-vectors.log_precision).exp())
        return cls(vectors, torch.where(vectors.used, variance, 1.0).sqrt())

    def start(self) -> Tensor:
        """z at the mean of q, (M, n)."""
        return self.vectors.mean / self.scale

    def value(self, z: Tensor) -> Tensor:
        """U(z) for z (M, S, n): (M, S)."""
        import torch

        w = self.scale.unsqueeze(1) * z
        spare = torch.where(self.vectors.used.unsqueeze(1), 0.0, 0.5 * z.square()).sum(-1)
        return spare - self.vectors.log_likelihood(w) - self.vectors.log_prior(w)

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """U (M,) and ∇U (M, n) at z (M, n)."""
        import torch

        def total(point: Tensor) -> tuple[Tensor, Tensor]:
            values = self.value(point.unsqueeze(1)).squeeze(1)
            return values.sum(), values

        gradient, values = torch.func.grad(total, has_aux=True)(z)
        return values, gradient

    def hessian(self, z: Tensor) -> Tensor:
        """∇²U at z (M, n), one product with a unit vector for every column: (M, n, n)."""
        import torch

        def gradient(point: Tensor) -> Tensor:
            found: Tensor = torch.func.grad(lambda p: self.value(p.unsqueeze(1)).sum())(point)
            return found

        def product(direction: Tensor) -> Tensor:
            column: Tensor = torch.func.jvp(gradient, (z,), (direction.expand_as(z),))[1]
            return column

        columns = self.columns(product, z, self.vectors.rows)
        return 0.5 * (columns + columns.mT)

    def gauss_newton(self, z: Tensor) -> Tensor:
        """Σ_i J_iᵀ Λ_i J_i plus the Hessian of −log p(w | h): (M, n, n).

        J_i = ∂f(x_i; d ∘ z)/∂z and Λ_i = −∂²log p(y_i | f_i)/∂f_i²; the curvature of f is left out.
        """
        import torch

        vectors, (members, size) = self.vectors, z.shape
        prior = self.scale.square() * vectors.log_precision.exp()
        total = torch.diag_embed(torch.where(vectors.used, prior, 1.0))
        rows = max(1, CHUNK_NUMBERS // (members * size * vectors.widest))
        for begin in range(0, vectors.rows, rows):
            part = torch.arange(begin, min(begin + rows, vectors.rows), device=z.device)
            jacobian = self.jacobian(z, part)
            curvature = self.output_curvature(z, part)
            total = total + torch.einsum("mroi,mrop,mrpj->mij", jacobian, curvature, jacobian)
        return 0.5 * (total + total.mT)

    def jacobian(self, z: Tensor, rows: Tensor) -> Tensor:
        """J of the rows numbered `rows`, (M, rows, out, n)."""
        import torch

        def outputs(point: Tensor) -> Tensor:
            return self.vectors.outputs((self.scale * point).unsqueeze(1), rows).flatten(1)

        def product(direction: Tensor) -> Tensor:
            column: Tensor = torch.func.jvp(outputs, (z,), (direction.expand_as(z),))[1]
            return column

        jacobian: Tensor = self.columns(product, z, len(rows)).unflatten(1, (len(rows), -1))
        return jacobian

    def output_curvature(self, z: Tensor, rows: Tensor) -> Tensor:
        """Λ of the rows numbered `rows`, (M, rows, out, out)."""
        import torch

        outputs = self.vectors.outputs((self.scale * z).unsqueeze(1), rows)
        outputs = outputs.contiguous()  # a constant has one number for all rows, which has no tangent for each
        shape = outputs.shape[3:]

        def gradient(values: Tensor) -> Tensor:
            found: Tensor = torch.func.grad(lambda f: -self.vectors.row_log_likelihood(f, rows).sum())(values)
            return found

        units = torch.eye(shape.numel(), dtype=z.dtype, device=z.device).reshape(-1, *shape)
        columns = [torch.func.jvp(gradient, (outputs,), (unit.expand_as(outputs),))[1] for unit in units]
        return torch.stack([column.squeeze(1).flatten(2) for column in columns], dim=-1)

    def columns(self, product: Callable[[Tensor], Tensor], z: Tensor, rows: int) -> Tensor:
        """A linear map's products with the n unit vectors side by side, (M, k, n), a part of them at a time."""
        import torch

        members, size = z.shape
        chunk = max(1, CHUNK_NUMBERS // (members * max(size, rows * self.vectors.widest)))
        units = torch.eye(size, dtype=z.dtype, device=z.device)
        parts = [torch.func.vmap(product)(units[begin : begin + chunk]) for begin in range(0, size, chunk)]
        side_by_side: Tensor = torch.cat(parts).permute(1, 2, 0)
        return side_by_side


def too_many_weights(weights: int) -> str | None:
    """The reason why a model has no value, where it has more weights than its Hessian is worth."""
    return f"it has {weights:,} weights, and {MOST_WEIGHTS:,} are the most" if weights > MOST_WEIGHTS else None


def check_size(vectors: WeightVectors, estimator: str) -> None:
    """Raise `CallError` where a member has more weights than its Hessian is worth."""
    members, size = vectors.used.shape
    if size > MOST_WEIGHTS:
        raise CallError(
            f"evidence estimator {estimator} got structures of {size:,} weights; it takes {MOST_WEIGHTS:,} at most, "
            "because it holds their Hessian: list elbo, iwelbo or ais in evidence.estimators instead"
        )
    if members * size**2 > MOST_HELD:
        raise CallError(
            f"evidence estimator {estimator} would hold {members:,} Hessians of {size:,} × {size:,} numbers at a time; "
            f"set compute.members_per_batch to {max(1, MOST_HELD // size**2)}"
        )
