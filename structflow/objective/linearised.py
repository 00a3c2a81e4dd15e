"""The network of every member linearised at its weights, and the normal distribution that its curvature gives them.

    f(x; w) ≈ f(x; w*) + J(x) (w − w*),   H = A + Σ_i c_i J_iᵀ Λ_i J_i,   Λ_i = −∂²log p(y_i | f_i)/∂f_i²

is the generalised Gauss-Newton matrix (Schraudolph 2002; MacKay 1992); c_i counts how often row i stands there. J comes
row by row in reverse mode, so many rows of all members at a time as fit. It depends on w* alone, so that one object
serves several values of h; what of it doesn't depend on h is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import vjp, vmap

from ..distributions.curved_normal import ByParts, CurvedNormal
from ..plugins.weight_posterior import CurvatureKind
from .curvature_sums import CurvatureSums, Determined, DiagonalSums, GramSums, RowSums
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


@dataclass(frozen=True)
class Part:
    """Members by their `numbers`, of `size` weights at most; they are wide with more weights than numbers of output."""

    numbers: Tensor
    size: int
    is_wide: bool


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
    def parts(self) -> list[Part]:
        """Members that are computed alike: those with more weights than there are numbers of output, and the others."""
        sizes = (self.vectors.places < self.vectors.total).sum(1)
        wide = sizes > self.vectors.rows * self.width
        found = []
        for is_wide in (False, True):
            numbers = torch.nonzero(wide == is_wide).flatten()
            if len(numbers):
                found.append(Part(numbers, max(1, int(sizes[numbers].max())), is_wide))
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
        """Whether sums over rows are needed once: Λ is known up to a factor for each number of the output, the same for
        all rows, or doesn't depend on h.
        """
        bound = self.vectors.bound
        return bound.likelihood.is_normal or not bound.described.theta.likelihood

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
        """λ (M, out), the diagonal of Λ under normal noise; 1 where Λ is in the `sums`."""
        if not self.vectors.bound.likelihood.is_normal:
            return self.counts.new_ones((len(self.counts), 1))
        return self.curvature_of_outputs(parameters, 0, 1)[:, 0].diagonal(dim1=-2, dim2=-1)

    @cached_property
    def sums(self) -> list[CurvatureSums]:
        """For every part what of H doesn't depend on h, where there is such."""
        return self._sums_at(self.vectors.parameters)

    def _sums_at(self, parameters: Parameters) -> list[CurvatureSums]:
        """The sums over all rows of every part, with Λ at the h of the parameters."""
        found: list[Any] = [None] * len(self.parts)
        for block in self.blocks():
            rows = self._weighted(block, parameters).nan_to_num(0.0, 0.0, 0.0)
            for place, part in enumerate(self.parts):
                own = rows[part.numbers][..., : part.size]
                found[place] = self._first(part, own) if found[place] is None else found[place].plus(own)
        return found

    def _weighted(self, block: Block, parameters: Parameters) -> Tensor:
        """√c_i J_io, (M, rows, out, n), or (M, rows · out, 1, n) with the root of Λ in it where that isn't normal."""
        counts = self.counts[:, block.begin : block.end, None, None]
        if self.vectors.bound.likelihood.is_normal:
            return block.jacobian * counts.sqrt()
        curvature = self.curvature_of_outputs(parameters, block.begin, block.end)
        return (root_of(counts * curvature) @ block.jacobian).flatten(1, 2).unsqueeze(2)

    def _first(self, part: Part, rows: Tensor) -> CurvatureSums:
        """The sums of a part over its first rows."""
        if self.kind == "diagonal":
            return DiagonalSums.of(rows)
        if not part.is_wide:
            return GramSums.of(rows)
        groups, count = self.groups_of_weights(part)
        return RowSums(rows, groups, count)

    def groups_of_weights(self, part: Part) -> tuple[Tensor | None, int]:
        """The number of the precision (m, n) of each weight of the members of a part, and how many there are."""
        vectors = self.vectors
        prior, places = vectors.bound.prior, vectors.places[part.numbers, : part.size]
        if prior.learned and prior.options.grouping == "per_parameter":
            return None, 0
        ends = torch.tensor([group.size for group in vectors.bound.population.layout.groups]).cumsum(0)
        of_weight = torch.searchsorted(ends.to(places), places, right=True)
        changes = of_weight[:, 1:] != of_weight[:, :-1]
        numbers = torch.nn.functional.pad(changes.cumsum(1), (1, 0))
        if prior.options.grouping == "shared" or not prior.learned:
            numbers = torch.zeros_like(numbers)
        used = vectors.used[part.numbers, : part.size]
        count = int(numbers.where(used, 0).max()) + 1
        return numbers.where(used, count), count

    def normal(self, parameters: Parameters, damping: Tensor | None = None) -> CurvedNormal:
        """N(0, H⁻¹) at the h of the parameters; with `damping` μ (M,) of H + μ A."""
        precision = self.precision(parameters)
        if damping is not None:
            precision = precision * (1 + damping).unsqueeze(1)
        factors = self.factors_of_outputs(parameters)
        parts = [
            sums.normal(precision[part.numbers, : part.size], factors[part.numbers])
            for part, sums in zip(self.parts, self.sums if self.is_fixed else self._sums_at(parameters), strict=True)
        ]
        if len(parts) == 1:
            return parts[0]
        return ByParts(precision.shape[1], tuple(part.numbers for part in self.parts), tuple(parts))

    def determined(self, parameters: Parameters) -> Determined:
        """What the gradient of log|H| with respect to h needs from H⁻¹, where Λ `is_fixed`."""
        precision, factors = self.precision(parameters), self.factors_of_outputs(parameters)
        found = [
            sums.determined(precision[part.numbers, : part.size], factors[part.numbers])
            for part, sums in zip(self.parts, self.sums, strict=True)
        ]
        order = torch.cat([part.numbers for part in self.parts]).argsort()
        size = precision.shape[1]
        by_prior = [torch.nn.functional.pad(each.by_prior, (0, size - each.by_prior.shape[1])) for each in found]
        by_outputs = torch.cat([each.by_outputs for each in found])
        return Determined(torch.cat(by_prior).index_select(0, order), by_outputs.index_select(0, order))

    def precision(self, parameters: Parameters) -> Tensor:
        """A, (M, n), 1 where there is no weight."""
        log_precision = self.vectors.with_parameters(parameters).log_precision
        return torch.where(self.vectors.used, log_precision.exp(), 1.0)


def root_of(matrices: Tensor) -> Tensor:
    """R with RᵀR = Λ (…, out, out); negative eigenvalues count as 0."""
    if matrices.shape[-1] == 1:
        return matrices.clamp(min=0).sqrt()
    known: Tensor = torch.where(matrices.isfinite().flatten(-2).all(-1)[..., None, None], matrices, 0.0)
    values, vectors = torch.linalg.eigh(known)
    root: Tensor = values.clamp(min=0).sqrt().unsqueeze(-1) * vectors.mT
    return root


def linearisation(vectors: PopulationWeights, x: Tensor, own_rows: bool | None = None) -> tuple[Tensor, Tensor]:
    """J (M, rows, out, n) and f (M, rows, out) at w* and rows x (rows, *input_shape).

    Where members have rows of their own, x is (M, rows, *input_shape). Weights that aren't there have a J of 0.
    """
    own = vectors.bound.own_rows if own_rows is None else own_rows
    axis = 1 if own else 0

    def of_row(row: Tensor) -> tuple[Tensor, Tensor]:
        def outputs(weights: Tensor) -> Tensor:
            return vectors.outputs_of(weights.unsqueeze(1), row.unsqueeze(axis), own).flatten(1)

        values, pull = cast(tuple[Tensor, Callable[[Tensor], tuple[Tensor]]], vjp(outputs, vectors.mean))
        units = torch.eye(values.shape[1]).to(values)
        rows: Tensor = vmap(lambda unit: pull(unit.expand_as(values))[0])(units)
        return rows, values

    with torch.no_grad():
        jacobian, values = vmap(of_row, in_dims=axis)(x)
    return jacobian.permute(2, 0, 1, 3).contiguous(), values.transpose(0, 1)
