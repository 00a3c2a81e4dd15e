"""What the inner objective takes at every step of a stage, as a function of the number of the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..objective.bound import Bound, Noise
from ..objective.noise import NoiseSource, noise_source
from .linear_structures import Level
from .metaparameters import MetaparameterTables
from .minibatch_stream import MinibatchStream
from .minibatches import minibatch_rows
from .step import Constants, LevelName, StepInputs

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

    `weights` (M, rows) weigh the rows of every member in a level; without them each counts 1. Of a table larger than
    memory they are a sample, each of which stands for `row_weight` rows, and steps take minibatches from `stream`.
    """

    x: Tensor
    y: Tensor
    weights: dict[LevelName, Tensor] = field(default_factory=dict)
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

    def part(self, rows: np.ndarray) -> TrainingData:
        """Some of the rows in memory, by number."""
        chosen = torch.from_numpy(rows).to(self.x.device)
        x, y = (values.index_select(self.row_axis, chosen) for values in (self.x, self.y))
        weights = {level: value.index_select(1, chosen) for level, value in self.weights.items()}
        return replace(self, x=x, y=y, weights=weights)


@dataclass(frozen=True)
class Minibatching:
    """How rows in memory are drawn: everything at once, or `batch_size` rows keyed by seed and stage."""

    batch_size: int | None
    seed: int
    stage: str


class Sources(NamedTuple):
    """Where the noise of a phase comes from."""

    normals: NoiseSource
    uniforms: NoiseSource

    @classmethod
    def of(cls, bound: Bound, keys: np.ndarray, phase: str, device: torch.device) -> Sources:
        """The noise of a bound's members, whose Philox keys are (M, 2)."""
        return cls(*(noise_source(layout, keys, phase).to(device) for layout in (bound.normals, bound.uniforms)))

    def block(self, samples: int) -> int:
        """Draws of so many samples that one call makes."""
        length = 4 * samples * (self.normals.call.numel() + self.uniforms.call.numel())
        return max(1, min(NOISE_STEPS, NOISE_NUMBERS // max(length, 1)))

    def draw(self, numbers: Sequence[int], samples: int, execution: Execution) -> Noise:
        """The noise of several draws, (T, S, length) each."""
        steps = torch.tensor([*numbers], device=execution.device)
        how = (steps, samples, execution.dtype, execution.compiled)
        return Noise(self.normals.normals(*how), self.uniforms.uniforms(*how))


@dataclass(frozen=True)
class StageSetup:
    """What a stage trains with: the members' Philox keys (M, 2), rows, tables of metaparameters and `samples` a step.

    log s of q(Γ) and p(Γ) stays within ± `largest_log_concentration`.
    """

    keys: np.ndarray
    data: TrainingData
    tables: MetaparameterTables
    samples: int
    minibatching: Minibatching
    execution: Execution
    largest_log_concentration: float | None = None

    def level(self, step: int) -> Level:
        """What L is made of at a step."""
        c_reg = float(self.tables.column("c_reg")[step]) if self.tables.steps else 1.0
        return Level(self.data.x, self.data.y, c_reg, self.data.weights.get("inner"), self.data.row_weight)


NO_NOISE = Noise(torch.zeros(0), torch.zeros(0))


@dataclass
class StageInputs:
    """Metaparameters, noise and rows of every step, and what is the same in all of them.

    Noise comes from counters, so the inputs of a step can be recomputed at any time; a block of steps is drawn at once.
    """

    setup: StageSetup
    constants: Constants
    sources: Sources
    outer_sources: Sources
    drawn: int = -1
    noise: Noise = NO_NOISE
    outer_drawn: tuple[int, int] = (-1, 0)
    outer_noise: Noise = NO_NOISE

    @classmethod
    def of(cls, bound: Bound, setup: StageSetup, whitening: dict[str, Tensor]) -> StageInputs:
        """The inputs of a bound's population."""
        execution = setup.execution
        against = bound.against.to(execution.device, execution.dtype)
        constants = Constants(against, bound.population.indices.to(execution.device), whitening)
        train, outer = (Sources.of(bound, setup.keys, phase, execution.device) for phase in ("train", "outer"))
        return cls(setup, constants, train, outer)

    @property
    def block(self) -> int:
        """Steps whose noise is drawn in one call: enough to make the call cheap, few enough to be small."""
        return self.sources.block(self.setup.samples)

    @property
    def rows(self) -> int:
        """Rows of one step."""
        data = self.setup.data
        if data.stream is not None:
            return data.stream.order.batch_size
        return min(self.setup.minibatching.batch_size or data.rows, data.rows)

    @property
    def draws_rows(self) -> bool:
        """Whether a step sees some of the rows only."""
        return self.setup.data.stream is not None or self.rows < self.setup.data.rows

    def at(self, step: int) -> StepInputs:
        """What a step of θ takes."""
        block, setup = self.block, self.setup
        if step // block != self.drawn:
            self.drawn = step // block
            steps = range(self.drawn * block, min((self.drawn + 1) * block, setup.tables.steps))
            self.noise = self.sources.draw(steps, setup.samples, setup.execution)
        data, noise = setup.data, self.noise.at(step % block)
        if data.stream is not None:
            x, y = data.stream.at(step)
            return self._inputs(step, noise, replace(data, x=x, y=y))
        if self.rows < data.rows:
            batching = setup.minibatching
            data = data.part(minibatch_rows(batching.seed, batching.stage, step, data.rows, self.rows))
        return self._inputs(step, noise, data)

    def of_outer(self, step: int, iteration: int, samples: int) -> StepInputs:
        """The same for a hypergradient after a step of θ: all rows in memory, with noise of its own each time."""
        block = self.outer_sources.block(samples)
        if (iteration // block, samples) != self.outer_drawn:
            self.outer_drawn = (iteration // block, samples)
            first = self.outer_drawn[0] * block
            numbers = range(first, min(first + block, max(self.setup.tables.steps, iteration + 1)))
            self.outer_noise = self.outer_sources.draw(numbers, samples, self.setup.execution)
        return self._inputs(step, self.outer_noise.at(iteration % block), self.setup.data)

    def of_measure(self, sources: Sources, sample: int) -> StepInputs:
        """What the objective takes at the last step's metaparameters, for a sample of noise from other sources.

        Samples 2k and 2k + 1 have opposite noise: −z for z, 1 − u for u. Rows are as many as those of a step, drawn
        from the rows in memory.
        """
        noise = sources.draw([sample // 2], self.setup.samples, self.setup.execution).at(0)
        if sample % 2:
            noise = Noise(-noise.normals, 1 - noise.uniforms)
        data = self.setup.data
        if self.draws_rows:
            batching = self.setup.minibatching
            size = min(self.rows, data.rows)
            chosen = minibatch_rows(batching.seed, f"{batching.stage}/measure", sample // 2, data.rows, size)
            data = data.part(np.resize(chosen, self.rows))
        return self._inputs(self.setup.tables.steps - 1, noise, data)

    def _inputs(self, step: int, noise: Noise, data: TrainingData) -> StepInputs:
        """With these rows, which stand for all."""
        whole, execution = self.setup.data, self.setup.execution
        factor = torch.tensor(whole.row_weight * whole.rows / data.rows, dtype=execution.dtype, device=execution.device)
        return StepInputs(self.setup.tables.values[step], noise, data.x, data.y, factor, data.weights, self.constants)
