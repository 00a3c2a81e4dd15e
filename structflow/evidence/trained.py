"""A trained population, with fresh noise for evaluation, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..distributions.curved_normal import CurvedNormal
from ..model.network import Output
from ..model.population import Indices
from ..objective.bound import Bound, BoundInputs, Noise, Terms
from ..objective.laplace_evidence import LaplaceEvidence
from ..objective.linearised import Linearised, linearisation
from ..objective.noise import noise_source
from ..objective.parameters import Parameters
from ..objective.structure import StructureSamples
from ..objective.weight_vectors import PopulationWeights

CHUNK_NUMBERS = 2_000_000
"""Numbers of one node's values that an evaluation holds at a time: it bounds memory, never what is computed."""


@dataclass(frozen=True)
class TrainedPopulation:
    """Members with their trained parameters and the rows they learned from, all in float64 on one device.

    `keys` (M, 2) are the members' Philox keys; `c_temp` is the temperature of the structure prior. Where the rows are a
    sample of those they learned from, each counts `row_weight` times in the likelihood.
    """

    bound: Bound
    parameters: Parameters
    keys: np.ndarray
    x: Tensor
    y: Tensor
    c_temp: float
    row_weight: float = 1.0
    target_shift: np.ndarray | float = 0.0
    """What was taken off the targets before they were divided by their scale."""
    learned: Tensor | None = None
    """How often each row counts in what members learned, (M, rows); None for once."""
    fitted: CurvedNormal | None = None
    """N(0, H⁻¹) around the weights, where it is known already: it doesn't need the rows."""

    @property
    def rows(self) -> int:
        """Number of rows that the members learned from."""
        return round(self.row_weight * self.rows_in_memory)

    @property
    def rows_in_memory(self) -> int:
        """Number of rows of x, which are each member's own where the bound says so."""
        return self.x.shape[1 if self.bound.own_rows else 0]

    @property
    def size(self) -> int:
        """Number of members."""
        return self.bound.population.size

    @cached_property
    def weights(self) -> PopulationWeights:
        """The members' weights as vectors; raises `CallError` for relaxed members."""
        return PopulationWeights(self.bound, self.parameters, self.keys, self.x, self.y, self.row_weight)

    @property
    def is_exact(self) -> bool:
        """Whether nothing is random in predictions, so that one sample says all."""
        return self.bound.is_exact and self.curved is None

    @cached_property
    def linearised(self) -> Linearised:
        """The network of every member linearised at its weights."""
        return Linearised.of(self.weights, self.learned)

    @cached_property
    def curved(self) -> CurvedNormal | None:
        """N(0, H⁻¹) around the weights, of a posterior that fits the curvature there; None of others."""
        fits = self.bound.weights.family.plugin.fits_curvature and not self.bound.population.is_relaxed
        if not fits or self.fitted is not None:
            return self.fitted
        with torch.no_grad():
            return self.linearised.normal(self.parameters)

    @property
    def curved_evidence(self) -> Tensor | None:
        """Laplace's evidence by that curvature, (M,); None of a posterior that fits none."""
        if self.curved is None:
            return None
        return LaplaceEvidence(self.linearised).value(self.parameters, self.curved)

    def with_curvature(self) -> TrainedPopulation:
        """The same with what is known of the curvature kept, whatever becomes of the rows or the weights."""
        return replace(self, fitted=self.curved)

    def linear_predictive(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f(x; w*) (M, rows, *out_shape) and J H⁻¹ Jᵀ (M, rows, out, out) for rows x (rows, *input_shape)."""
        assert self.curved is not None
        size = max(1, self.size * max(self.weights.used.shape[1], self.weights.total))
        block = max(1, CHUNK_NUMBERS // (size * int(np.prod(self.bound.out_shape))))
        means, covariances = [], []
        for part in x.split(block) if len(x) else [x]:
            jacobian, f = linearisation(self.weights, part, own_rows=False)
            means.append(f)
            covariances.append(self.curved.covariance_of(jacobian))
        return torch.cat(means, 1).unflatten(2, self.bound.out_shape), torch.cat(covariances, 1)

    def sample_terms(self, samples: int, phase: str, row_weights: Tensor | None = None) -> Iterator[Terms]:
        """Terms of the objective (M, s) in chunks of s samples, `samples` in all; one where nothing is random.

        `phase` names the noise: the same name draws the same numbers, another one fresh ones. A sample's numbers
        depend on its number and the member's key, not on the chunks. `row_weights` (M, rows) weigh the rows.
        """
        wanted = 1 if self.bound.is_exact else samples
        yield from self._chunks(partial(self._terms, row_weights), wanted, phase, self.x)

    def row_log_likelihood(self, samples: int, phase: str) -> Tensor:
        """E_q log p(y_i | x_i, w, Γ) of every row in memory, (M, rows), over `samples` samples of the noise `phase`."""
        wanted = 1 if self.bound.is_exact else samples
        total = torch.zeros((self.size, self.rows_in_memory), dtype=torch.float64, device=self.x.device)
        drawn = 0
        for part in self._chunks(self._row_terms, wanted, phase, self.x):
            total = total + part.sum(1)
            drawn += part.shape[1]
        return total / drawn

    def row_draws(self, samples: int, phase: str) -> Iterator[Tensor]:
        """log p(y_i | x_i, w_s, Γ_s) for blocks of rows, (M, samples, rows); one sample where nothing is random.

        The noise `phase` is that of `sample_terms`, the same for every block.
        """
        wanted, axis = 1 if self.bound.is_exact else samples, 1 if self.bound.own_rows else 0
        block = max(1, CHUNK_NUMBERS // (self.size * wanted))
        for x, y in zip(self.x.split(block, axis), self.y.split(block, axis), strict=True):
            part = replace(self, x=x, y=y)
            yield torch.cat(list(part._chunks(part._row_terms, wanted, phase, x)), dim=1)

    def structure_samples(self, samples: int, phase: str) -> StructureSamples:
        """Samples of q(Γ) of a relaxed population, coordinates (M, samples, K) an edge."""
        device = self.x.device
        source = noise_source(self.bound.uniforms, self.keys, phase).to(device)
        numbers = torch.arange(samples, device=device)
        uniforms = source.uniforms(numbers, 1, torch.float64, compiled=False)[:, 0]
        return self.bound.structure.sample(self.parameters, self.bound.uniforms.unpack(uniforms))

    def outputs(self, x: Tensor, samples: int, phase: str) -> Iterator[Output]:
        """The output node for rows x (rows, *input_shape), in chunks of s samples: its mean is (M, s, rows, *shape).

        Where q fits the curvature they are those of the linearised network, f(x; w*) + J(x) δ with δ ~ N(0, H⁻¹).
        """
        if self.curved is None:
            yield from self._chunks(self._outputs, samples, phase, x)
            return
        chunk = self._samples_at_a_time(x)
        for begin in range(0, samples, chunk):
            count = min(chunk, samples - begin)
            with torch.no_grad():
                noise = self.weights.noise(self.curved.noise, count, phase, begin)
                output = Output(self._linear_outputs(x, self.curved.draw(noise)), None)
            yield output

    def _linear_outputs(self, x: Tensor, away: Tensor) -> Tensor:
        """f(x; w*) + J(x) δ for δ (M, S, n), (M, S, rows, *out_shape)."""
        weights, own = self.weights, self.bound.own_rows

        def along(direction: Tensor) -> Tensor:
            def outputs(at: Tensor) -> Tensor:
                return weights.outputs_of(at.unsqueeze(1), x, own).squeeze(1).contiguous()

            at, change = cast(tuple[Tensor, Tensor], torch.func.jvp(outputs, (weights.mean,), (direction,)))
            return at + change

        linear: Tensor = torch.func.vmap(along, in_dims=1, out_dims=1)(away)
        return linear

    def _terms(self, row_weights: Tensor | None, noise: Noise, x: Tensor, indices: Indices) -> Terms:
        against = self.bound.against.to(x.device, x.dtype)
        at = BoundInputs(noise, x, self.y, self._temperature(), indices, self.row_weight, row_weights, against)
        return self.bound.sample_terms(self.parameters, at)

    def _row_terms(self, noise: Noise, x: Tensor, indices: Indices) -> Tensor:
        return self.bound.row_log_likelihood(
            self.parameters, BoundInputs(noise, x, self.y, self._temperature(), indices)
        )

    def _outputs(self, noise: Noise, x: Tensor, indices: Indices) -> Output:
        output = self.bound.outputs(self.parameters, noise, x, self._temperature(), indices)
        mean = output.mean  # has one sample where nothing before it is random
        return Output(mean.expand(mean.shape[0], len(noise.normals), *mean.shape[2:]), output.variance)

    def _temperature(self) -> Tensor:
        return torch.tensor(self.c_temp, dtype=torch.float64, device=self.x.device)

    def _samples_at_a_time(self, x: Tensor) -> int:
        """As many samples as memory suffices for."""
        widest = max(int(np.prod(shape)) for shape in self.bound.population.layout.node_shapes.values())
        rows = x.shape[1 if self.bound.own_rows else 0]
        return max(1, CHUNK_NUMBERS // max(1, self.size * rows * widest))

    def _chunks(
        self, evaluate: Callable[[Noise, Tensor, Indices], Any], samples: int, phase: str, x: Tensor
    ) -> Iterator[Any]:
        device = x.device
        on_device = self.bound.population.indices.to(device)
        normals = noise_source(self.bound.normals, self.keys, phase).to(device)
        uniforms = noise_source(self.bound.uniforms, self.keys, phase).to(device)
        chunk = self._samples_at_a_time(x)
        for begin in range(0, samples, chunk):
            numbers = torch.arange(begin, min(begin + chunk, samples), device=device)
            with torch.no_grad():
                noise = Noise(
                    normals.normals(numbers, 1, torch.float64, compiled=False)[:, 0],
                    uniforms.uniforms(numbers, 1, torch.float64, compiled=False)[:, 0],
                )
                values = evaluate(noise, x, on_device)
            yield values  # outside: a generator would leave gradients switched off for whoever reads it
