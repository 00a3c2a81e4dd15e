"""A likelihood with an example, ready to be called."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap

from ..plugins import Likelihood, Shape
from .compiled import CompiledSubject, Part
from .numbers import DOUBLE, Weights, normal

ROWS = 12
SPREAD = 0.5
"""Standard deviation of the values of the output node: rates and odds stay within an order of magnitude."""


class LikelihoodSubject(CompiledSubject):
    """A likelihood of one example, over `n_targets` columns or `n_classes` classes."""

    @property
    def n_targets(self) -> int:
        """Number of target columns."""
        return int(self.example.n_targets)

    @cached_property
    def likelihood(self) -> Likelihood:
        """The likelihood of the example's targets."""
        return self.over(self.n_targets)

    def over(self, n_targets: int) -> Likelihood:
        """The same over another number of targets; continuous ones were divided by 1, 1.5, 2, … each."""
        scale = 1 + 0.5 * np.arange(n_targets) if self.plugin.target == "continuous" else np.ones(n_targets)
        made: Likelihood = self.plugin(self.options, scale)
        return made

    @cached_property
    def out_shape(self) -> Shape:
        """Shape of the output node."""
        return self.shape_over(self.n_targets)

    def shape_over(self, n_targets: int) -> Shape:
        """Shape of the output node for another number of targets."""
        shape: Shape = self.plugin.output_shape(self.options, n_targets, self.example.n_classes)
        return shape

    def parameters(self, *leading: int, n_targets: int | None = None, dtype: torch.dtype = DOUBLE) -> Weights:
        """Learned parameters away from their start, with leading axes (members)."""
        number = self.n_targets if n_targets is None else n_targets
        start = self.over(number).parameters(self.shape_over(number))
        return {
            name: (
                torch.from_numpy(np.asarray(value, dtype=np.float64))
                + 0.3 * normal(*leading, *np.shape(value), seed=60 + place)
            ).to(dtype)
            for place, (name, value) in enumerate(start.items())
        }

    def outputs(
        self, *leading: int, rows: int = ROWS, n_targets: int | None = None, dtype: torch.dtype = DOUBLE
    ) -> Tensor:
        """Values of the output node, (…, rows, *out_shape)."""
        shape = self.out_shape if n_targets is None else self.shape_over(n_targets)
        return SPREAD * normal(*leading, rows, *shape, seed=41, dtype=dtype)

    def targets(self, dtype: torch.dtype = DOUBLE, n_targets: int | None = None) -> Tensor:
        """Prepared targets (ROWS, n_targets): those of the example in turn, or as the data layer gives their kind."""
        kind, generator = self.plugin.target, np.random.default_rng(42)
        shape = (ROWS, self.n_targets if n_targets is None else n_targets)
        if self.example.targets:
            places = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))
            values = np.asarray(self.example.targets, dtype=np.float64)[places % len(self.example.targets)]
        elif kind == "classes":
            values = np.arange(ROWS).reshape(-1, 1) % self.example.n_classes
        elif kind == "binary":
            values = generator.integers(0, 2, shape)
        elif kind == "counts":
            values = generator.poisson(1.5, shape)
        else:
            values = generator.standard_normal(shape)
        return torch.from_numpy(values.astype(np.float64)).to(dtype)

    def compiled_part(self, members: int) -> tuple[Part, tuple[object, ...]]:
        """log p(y | f) and its gradient by f; and parameters, targets and values of the output node."""

        def compute(parameters: Weights, y: Tensor, f: Tensor) -> tuple[Tensor, Weights]:
            def total_and_rows(of_member: Weights, value: Tensor) -> tuple[Tensor, Tensor]:
                rows = self.likelihood.log_prob(of_member, y, value)
                return rows.sum(), rows

            by_f, rows = vmap(grad(total_and_rows, argnums=1, has_aux=True))(parameters, f)
            return rows, {"f": by_f}

        return compute, (self.parameters(members), self.targets(), self.outputs(members))
