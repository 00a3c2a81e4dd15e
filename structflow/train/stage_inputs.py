"""What the inner objective takes at every step of a stage, as a function of the number of the step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..objective.bound import Bound
from ..objective.noise import NoiseLayout, NoiseSource, noise_source
from .metaparameters import MetaparameterTables
from .minibatch_stream import MinibatchStream
from .minibatches import minibatch_rows
from .step import Inputs

NOISE_NUMBERS = 2_000_000
"""Random numbers drawn ahead at most, unless one step needs more."""

NOISE_STEPS = 64
"""Steps whose random numbers are drawn ahead at most."""


@dataclass(frozen=True)
class Execution:
    """Where and how the program runs."""

    device: torch.device
    dtype: torch.dtype
    compiled: bool


@dataclass(frozen=True)
class TrainingData:
    """Rows the members learn from, on the device: inputs (rows, *shape), targets (rows, …); with `own_rows` both have
    the axis of members before that of rows.

    `inner_weights` and `outer_weights` (M, rows) weigh the rows of every member in L and in Q; None is 1. Of a table
    larger than memory they are a sample, each of which stands for `row_weight` rows, and steps take their minibatches
    from `stream`.
    """

    x: Tensor
    y: Tensor
    inner_weights: Tensor | None = None
    outer_weights: Tensor | None = None
    row_weight: float = 1.0
    stream: MinibatchStream | None = None
    own_rows: bool = False

    @property
    def rows(self) -> int:
        """Number of rows in memory."""
        return self.x.shape[self.row_axis]

    @property
    def row_axis(self) -> int:
        """The axis of x and y that runs over rows."""
        return 1 if self.own_rows else 0

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights there are, by level."""
        given = {"inner": self.inner_weights, "outer": self.outer_weights}
        return {level: value for level, value in given.items() if value is not None}


@dataclass(frozen=True)
class Minibatching:
    """How rows in memory are drawn: everything at once, or `batch_size` rows keyed by seed and stage."""

    batch_size: int | None
    seed: int
    stage: str


@dataclass
class StageInputs:
    """Metaparameters, noise and rows of every step, and what is the same in all of them (`rest`).

    Noise comes from counters, so the inputs of a step can be recomputed at any time; a block of steps is drawn at once.
    """

    normals: NoiseSource
    uniforms: NoiseSource
    outer_normals: NoiseSource
    outer_uniforms: NoiseSource
    tables: MetaparameterTables
    samples: int
    data: TrainingData
    minibatching: Minibatching
    execution: Execution
    rest: tuple[Any, ...]
    drawn: int = -1
    noise: tuple[Tensor, Tensor] = field(default_factory=lambda: (torch.zeros(0), torch.zeros(0)))
    outer_drawn: tuple[int, int] = (-1, 0)
    outer_noise: tuple[Tensor, Tensor] = field(default_factory=lambda: (torch.zeros(0), torch.zeros(0)))

    @classmethod
    def of(
        cls,
        bound: Bound,
        keys: np.ndarray,
        data: TrainingData,
        tables: MetaparameterTables,
        samples: int,
        minibatching: Minibatching,
        execution: Execution,
        whitening: dict[str, Tensor],
    ) -> StageInputs:
        """The inputs of a bound's population whose members have these Philox keys (M, 2)."""
        device = execution.device

        def source(layout: NoiseLayout, phase: str) -> NoiseSource:
            return noise_source(layout, keys, phase).to(device)

        indices = bound.population.indices.to(device)
        against = {name: value.to(device, execution.dtype) for name, value in bound.against.items()}
        rest = (against, indices.edges, indices.groups, whitening)
        return cls(
            source(bound.normals, "train"), source(bound.uniforms, "train"),
            source(bound.normals, "outer"), source(bound.uniforms, "outer"),
            tables, samples, data, minibatching, execution, rest,
        )  # fmt: skip

    @property
    def whitening(self) -> dict[str, Tensor]:
        """The matrices of the coordinates, in the precision of training."""
        whitening: dict[str, Tensor] = self.rest[-1]
        return whitening

    @property
    def block(self) -> int:
        """Steps whose noise is drawn in one call: enough to make the call cheap, few enough to be small."""
        return block_of(self.normals, self.uniforms, self.samples)

    @property
    def rows(self) -> int:
        """Rows of one step."""
        if self.data.stream is not None:
            return self.data.stream.order.batch_size
        return min(self.minibatching.batch_size or self.data.rows, self.data.rows)

    @property
    def draws_rows(self) -> bool:
        """Whether a step sees some of the rows only."""
        return self.data.stream is not None or self.rows < self.data.rows

    def at(self, step: int) -> Inputs:
        """What `Objectives.terms` takes after the parameters, at a step of θ."""
        block = self.block
        if step // block != self.drawn:
            self.drawn = step // block
            steps = self._numbers(range(self.drawn * block, min((self.drawn + 1) * block, self.tables.steps)))
            self.noise = self._draw(self.normals, self.uniforms, steps, self.samples)
        normals, uniforms = (rows[step % block] for rows in self.noise)
        x, y, weights = self.data.x, self.data.y, self.data.weights
        if self.data.stream is not None:
            x, y = self.data.stream.at(step)
        elif self.rows < self.data.rows:
            batching = self.minibatching
            chosen = minibatch_rows(batching.seed, batching.stage, step, self.data.rows, self.rows)
            batch = torch.from_numpy(chosen).to(self.execution.device)
            x, y = (values.index_select(self.data.row_axis, batch) for values in (x, y))
            weights = {level: value.index_select(1, batch) for level, value in weights.items()}
        return (self.tables.values[step], normals, uniforms, x, y, self._factor(self.rows), weights, *self.rest)

    def of_outer(self, step: int, iteration: int, samples: int) -> Inputs:
        """The same for a hypergradient after a step of θ: all rows in memory, with noise of its own each time."""
        block = block_of(self.outer_normals, self.outer_uniforms, samples)
        if (iteration // block, samples) != self.outer_drawn:
            self.outer_drawn = (iteration // block, samples)
            first = self.outer_drawn[0] * block
            numbers = self._numbers(range(first, min(first + block, max(self.tables.steps, iteration + 1))))
            self.outer_noise = self._draw(self.outer_normals, self.outer_uniforms, numbers, samples)
        normals, uniforms = (rows[iteration % block] for rows in self.outer_noise)
        data = self.data
        factor = self._factor(data.rows)
        return (self.tables.values[step], normals, uniforms, data.x, data.y, factor, data.weights, *self.rest)

    def of_measure(self, normals: NoiseSource, uniforms: NoiseSource, sample: int) -> Inputs:
        """What the objective takes at the last step's metaparameters, for a sample of noise from other sources.

        Samples 2k and 2k + 1 have opposite noise: −z for z, 1 − u for u. Rows are as many as those of a step, drawn
        from the rows in memory.
        """
        pair = self._numbers([sample // 2])
        z, u = (rows[0] for rows in self._draw(normals, uniforms, pair, self.samples))
        if sample % 2:
            z, u = -z, 1 - u
        data, weights = self.data, self.data.weights
        x, y = data.x, data.y
        if self.draws_rows:
            batching = self.minibatching
            size = min(self.rows, data.rows)
            chosen = minibatch_rows(batching.seed, f"{batching.stage}/measure", sample // 2, data.rows, size)
            batch = torch.from_numpy(np.resize(chosen, self.rows)).to(self.execution.device)
            x, y = (values.index_select(data.row_axis, batch) for values in (x, y))
            weights = {level: value.index_select(1, batch) for level, value in weights.items()}
        return (self.tables.values[self.tables.steps - 1], z, u, x, y, self._factor(self.rows), weights, *self.rest)

    def _draw(
        self, normals: NoiseSource, uniforms: NoiseSource, numbers: Tensor, samples: int
    ) -> tuple[Tensor, Tensor]:
        dtype, compiled = self.execution.dtype, self.execution.compiled
        return normals.normals(numbers, samples, dtype, compiled), uniforms.uniforms(numbers, samples, dtype, compiled)

    def _numbers(self, numbers: range | list[int]) -> Tensor:
        return torch.tensor(list(numbers), device=self.execution.device)

    def _factor(self, rows: int) -> Tensor:
        return torch.tensor(
            self.data.row_weight * self.data.rows / rows, dtype=self.execution.dtype, device=self.execution.device
        )


def block_of(normals: NoiseSource, uniforms: NoiseSource, samples: int) -> int:
    """Draws of so many samples that one call makes."""
    length = 4 * samples * (normals.call.numel() + uniforms.call.numel())
    return max(1, min(NOISE_STEPS, NOISE_NUMBERS // max(length, 1)))
