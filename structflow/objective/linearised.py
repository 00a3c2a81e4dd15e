"""The network of every member linearised at its weights, and the normal distribution that its curvature gives them.

    f(x; w) ≈ f(x; w*) + J(x) (w − w*),   H = A + Σ_i c_i J_iᵀ Λ_i J_i,   Λ_i = −∂²log p(y_i | f_i)/∂f_i²

is the generalised Gauss-Newton matrix (Schraudolph 2002; MacKay 1992); c_i counts how often row i stands there. J comes
row by row in reverse mode, so many rows of all members at a time as fit. It depends on w* alone, so that one object
serves several values of h; what of it doesn't depend on h is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.func import vjp, vmap

from ..distributions.curved_normal import ByParts, ByRows, ByWeights, CurvedNormal, Independent
from ..plugins.weight_posterior import CurvatureKind
from .parameters import Parameters
from .weight_vectors import PopulationWeights

BLOCK_NUMBERS = 8_000_000
"""Numbers of J that are computed at a time: it bounds memory, never what is computed."""

MOST_HELD = 32_000_000
"""Numbers of J up to which it is held, where it is needed again for another h; beyond that it is recomputed."""


@dataclass(frozen=True)
class Block:
    """J (M, rows, out, n) and f (M, rows, out) of the training rows from `begin` to `end`."""

    begin: int
    end: int
    jacobian: Tensor
    outputs: Tensor


@dataclass
class Linearised:
    """The members of `vectors` at their means w*; `counts` (M, rows) are the c_i."""

    vectors: PopulationWeights
    kind: CurvatureKind
    counts: Tensor
    held: list[Block] | None = field(default=None, init=False)

    @classmethod
    def of(cls, vectors: PopulationWeights, row_weights: Tensor | None = None) -> Linearised:
        """At the means of q, with rows that count as `row_weights` (M, rows) says, or once."""
        weights = vectors.bound.weights.family
        counts = torch.full((len(vectors.used), vectors.rows), vectors.row_weight).to(vectors.x)
        if row_weights is not None:
            counts = counts * row_weights
        return cls(vectors, weights.curvature(), counts)

    @cached_property
    def width(self) -> int:
        """Numbers of the output node."""
        return int(torch.Size(self.vectors.bound.out_shape).numel())

    @cached_property
    def parts(self) -> list[tuple[Tensor, int, bool]]:
        """Numbers of members that are computed alike, the most weights of them, and whether they have more weights than
        there are numbers of output.
        """
        sizes = (self.vectors.places < self.vectors.total).sum(1)
        wide = sizes > self.vectors.rows * self.width
        found = []
        for side in (False, True):
            numbers = torch.nonzero(wide == side).flatten()
            if len(numbers):
                found.append((numbers, max(1, int(sizes[numbers].max())), side))
        return found

    def blocks(self) -> Iterator[Block]:
        """J and f of all training rows."""
        if self.held is not None:
            yield from self.held
            return
        members, size = self.vectors.used.shape
        rows = max(1, BLOCK_NUMBERS // (members * self.width * max(size, self.vectors.total)))
        fits = members * self.vectors.rows * self.width * size <= MOST_HELD
        held = []
        for begin in range(0, self.vectors.rows, rows):
            end = min(begin + rows, self.vectors.rows)
            part = torch.arange(begin, end, device=self.vectors.x.device)
            block = Block(begin, end, *linearisation(self.vectors, self.vectors.rows_of_x(part)))
            if fits and not self.is_fixed:
                held.append(block)
            yield block
        if fits and not self.is_fixed:
            self.held = held

    @cached_property
    def is_fixed(self) -> bool:
        """Whether Λ is known up to a factor for each number of the output, the same for all rows, so that sums over
        rows are needed once.
        """
        return self.vectors.bound.likelihood.is_normal

    @cached_property
    def outputs(self) -> Tensor:
        """f at w*, (M, 1, rows, *out_shape)."""
        with torch.no_grad():
            return self.vectors.outputs(self.vectors.mean.unsqueeze(1))

    def curvature_of_outputs(self, parameters: Parameters, begin: int, end: int) -> Tensor:
        """Λ of some rows, (M, rows, out, out), under the likelihood's own parameters."""
        rows = torch.arange(begin, end, device=self.vectors.x.device)
        y = self.vectors.rows_of_y(rows)
        return self.vectors.bound.output_curvature(parameters, y, self.outputs[:, :, begin:end])

    def factors_of_outputs(self, parameters: Parameters) -> Tensor:
        """λ (M, out), the diagonal of Λ, where it `is_fixed`."""
        return self.curvature_of_outputs(parameters, 0, 1)[:, 0].diagonal(dim1=-2, dim2=-1)

    @cached_property
    def sums(self) -> list[Tensor]:
        """For every part what of H doesn't depend on h, where Λ `is_fixed`.

        They are Σ_i c_i J_io J_ioᵀ for every number of the output, (M, out, n, n); of wide members √c_i J_io,
        (M, rows, out, n); under a diagonal H the diagonals, (M, out, n).
        """
        found: list[list[Tensor]] = [[] for _ in self.parts]
        for block in self.blocks():
            root = self.counts[:, block.begin : block.end, None, None].sqrt()
            scaled = (block.jacobian * root).nan_to_num(0.0, 0.0, 0.0)
            for place, (numbers, size, wide) in enumerate(self.parts):
                jacobian = scaled[numbers][..., :size]
                if self.kind == "diagonal":
                    part = jacobian.square().sum(1)
                elif wide:
                    part = jacobian
                else:
                    by_output = jacobian.transpose(1, 2)
                    part = by_output.mT @ by_output
                earlier = found[place]
                found[place] = [*earlier, part] if wide and self.kind != "diagonal" else [sum(earlier, part)]
        return [torch.cat(each, dim=1) if len(each) > 1 else each[0] for each in found]

    def normal(self, parameters: Parameters) -> CurvedNormal:
        """N(0, H⁻¹) at the h of the parameters."""
        precision = self.precision(parameters)
        curvature = self._fixed(parameters) if self.is_fixed else self._summed(parameters)
        parts = []
        for (numbers, size, wide), found in zip(self.parts, curvature, strict=True):
            own = precision[numbers, :size]
            if self.kind == "diagonal":
                parts.append(Independent(own + found))
            else:
                parts.append(ByRows.of(found, own) if wide else ByWeights.of(found, own))
        numbers = tuple(each for each, _, _ in self.parts)
        return parts[0] if len(parts) == 1 else ByParts(precision.shape[1], numbers, tuple(parts))

    def precision(self, parameters: Parameters) -> Tensor:
        """A, (M, n), 1 where there is no weight."""
        log_precision = self.vectors.with_parameters(parameters).log_precision
        return torch.where(self.vectors.used, log_precision.exp(), 1.0)

    def _fixed(self, parameters: Parameters) -> list[Tensor]:
        """GᵀG, G or the diagonal of GᵀG for every part, from sums that are there."""
        factors = self.factors_of_outputs(parameters)
        found = []
        for (numbers, _, wide), each in zip(self.parts, self.sums, strict=True):
            own = factors[numbers]
            if self.kind == "diagonal":
                found.append((own.unsqueeze(2) * each).sum(1))
            elif wide:
                found.append((own.sqrt()[:, None, :, None] * each).flatten(1, 2))
            else:
                found.append((own[:, :, None, None] * each).sum(1))
        return found

    def _summed(self, parameters: Parameters) -> list[Tensor]:
        """The same from J of all rows."""
        found: list[list[Tensor]] = [[] for _ in self.parts]
        for block in self.blocks():
            counts = self.counts[:, block.begin : block.end, None, None]
            root = root_of(counts * self.curvature_of_outputs(parameters, block.begin, block.end))
            rows = (root @ block.jacobian).nan_to_num(0.0, 0.0, 0.0).flatten(1, 2)
            for place, (numbers, size, wide) in enumerate(self.parts):
                own, earlier = rows[numbers][..., :size], found[place]
                if self.kind == "diagonal":
                    found[place] = [sum(earlier, own.square().sum(1))]
                elif wide:
                    found[place] = [*earlier, own]
                else:
                    found[place] = [sum(earlier, own.mT @ own)]
        return [torch.cat(each, dim=1) if len(each) > 1 else each[0] for each in found]


def root_of(matrices: Tensor) -> Tensor:
    """R with RᵀR = Λ (…, out, out); negative eigenvalues count as 0."""
    if matrices.shape[-1] == 1:
        return matrices.clamp(min=0).sqrt()
    known = torch.where(matrices.isfinite().flatten(-2).all(-1)[..., None, None], matrices, 0.0)
    values, vectors = torch.linalg.eigh(known)
    return values.clamp(min=0).sqrt().unsqueeze(-1) * vectors.mT


def linearisation(vectors: PopulationWeights, x: Tensor, own_rows: bool | None = None) -> tuple[Tensor, Tensor]:
    """J (M, rows, out, n) and f (M, rows, out) at w* and rows x (rows, *input_shape).

    Where members have rows of their own, x is (M, rows, *input_shape). Weights that aren't there have a J of 0.
    """
    own = vectors.bound.own_rows if own_rows is None else own_rows
    axis = 1 if own else 0

    def of_row(row: Tensor) -> tuple[Tensor, Tensor]:
        def outputs(weights: Tensor) -> Tensor:
            return vectors.outputs_of(weights.unsqueeze(1), row.unsqueeze(axis), own).flatten(1)

        values, pull = vjp(outputs, vectors.mean)
        units = torch.eye(values.shape[1]).to(values)
        rows: Tensor = vmap(lambda unit: pull(unit.expand_as(values))[0])(units)
        return rows, values

    with torch.no_grad():
        jacobian, values = vmap(of_row, in_dims=axis)(x)
    return jacobian.permute(2, 0, 1, 3).contiguous(), values.transpose(0, 1)
