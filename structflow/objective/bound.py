"""The terms that both levels are made of, for every member of a population, among them those of the evidence bound

    E_q log p(y | X, w, Γ) − KL(q(w) ‖ p(w | h)) − KL(q(Γ) ‖ p(Γ | h)),

each for each member apart. Nothing here mixes members, so a gradient of the sum is every member's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from ..model.group_index import to_members
from ..model.layout import FunctionBlock
from ..model.network import Output, Weights
from ..model.population import Indices, Population
from ..model.start import started
from ..plugins import Likelihood, StructureDistribution
from ..plugins.registry import registry
from ..spec.graph import OUTPUT
from ..spec.models import Posterior, Prior
from .divergence import AgainstSet, AgainstTensors
from .fold_likelihoods import members_by_density
from .guarded_distribution import GuardedDistribution
from .guarded_likelihood import GuardedLikelihood
from .guarded_weights import GuardedPosterior, GuardedPrior
from .kept_weights import KeptWeights
from .noise import NoiseField, NoiseLayout, draw_once
from .parameters import Hyper, Named, Parameter, Parameters, Role, Theta, Tree, by_label, of_labels
from .structure import NOTHING, StructureDraw, StructureTerms
from .weights_divergence import WeightsDivergence
from .weights_posterior import Draw, WeightsPosterior
from .weights_prior import WeightsPrior


class Terms(NamedTuple):
    """Terms of the bound for each member, (M,), or for each member and sample, (M, S)."""

    log_likelihood: Tensor
    kl_weights: Tensor
    kl_structure: Tensor
    divergence: Tensor
    """From the set P that c_comb weighs; 0 where there is none."""
    log_hyperprior: Tensor
    """log p(h); 0 where there is none."""

    @property
    def bound(self) -> Tensor:
        """log likelihood − KLs: the bound with every c = 1."""
        return self.log_likelihood - self.kl_weights - self.kl_structure


class Noise(NamedTuple):
    """Rows of numbers for one step, (S, length) each."""

    normals: Tensor
    uniforms: Tensor

    def at(self, step: int) -> Noise:
        """One step's of several steps', (T, S, length) each."""
        return Noise(self.normals[step], self.uniforms[step])


class BoundInputs(NamedTuple):
    """What the terms take beside the parameters.

    `x` (rows, *input_shape) and `y` (rows, …) are all rows or a minibatch, which stand for `factor` = m / rows times as
    many; `c_temp` is the temperature of the structure prior. `row_weights` (M, rows) weigh the rows of each member in
    the likelihood; `against` is the set P, `Bound.against` in the dtype and on the device of the parameters.
    """

    noise: Noise
    x: Tensor
    y: Tensor
    c_temp: Tensor
    indices: Indices
    factor: Tensor | float = 1.0
    row_weights: Tensor | None = None
    against: AgainstTensors | None = None


@dataclass(frozen=True)
class Distributions:
    """What a spec says of the distributions; `start_temperature` is that of q(Γ) where it is learned."""

    likelihood: Likelihood
    structure: type[StructureDistribution]
    prior: Prior
    posterior: Posterior
    start_temperature: float


class Bound:
    """Binds a population to its likelihood, priors and variational family.

    With `integrate` false all weights are sampled, also those whose expectation is known: what predictions need.
    It holds no tensors: parameters, noise, data and index tensors are given, so that `terms` can be compiled once
    and used for every population of the same signature.

    With `of_folds`, the likelihood in the units of every fold by its number, members have rows of their own: wherever
    x (rows, *input_shape) and y (rows, …) are said, they are then (M, rows, *input_shape) and (M, rows, …).
    """

    def __init__(
        self,
        population: Population,
        distributions: Distributions,
        integrate: bool = True,
        against: AgainstSet = NOTHING,
        of_folds: Mapping[int, Likelihood] | None = None,
    ):
        likelihood, prior, posterior = distributions.likelihood, distributions.prior, distributions.posterior
        self.population = population
        self.likelihood = GuardedLikelihood(likelihood)
        self.own_rows = of_folds is not None
        of_fold = {fold: GuardedLikelihood(each) for fold, each in (of_folds or {}).items()}
        self.likelihoods = [of_fold.get(member.fold, self.likelihood) for member in population.members]
        self.out_shape = population.layout.node_shapes[OUTPUT]
        self.same_density = members_by_density(self.likelihoods, self.out_shape)
        family = GuardedPosterior(registry().get("weight_posteriors", posterior.weights.type), posterior.weights)
        of_prior = GuardedPrior(registry().get("weight_priors", prior.weights.type), prior.weights)
        known = integrate and family.plugin.is_normal and of_prior.plugin.closed_form
        integrated = integrated_groups(population, self.likelihood, not family.plugin.independent)
        self.weights = WeightsPosterior(population, family, integrated if known else [False] * len(integrated))
        self.prior = WeightsPrior(population, of_prior)
        self.divergence = WeightsDivergence(self.weights, self.prior)
        self.structure = StructureTerms(
            population,
            GuardedDistribution(distributions.structure),
            prior.structure,
            posterior.structure.temperature,
            distributions.start_temperature,
            against,
        )
        self.against = self.structure.against_tensors()
        self.normals = NoiseLayout(tuple(self.weights.noise_fields()))
        self.uniforms = NoiseLayout(tuple(self.structure.noise_fields()))
        scales = [each.target_scale.tolist() for each in (self.likelihoods if self.own_rows else [likelihood])]
        settings = (prior, posterior, likelihood.type, likelihood.options, scales, self.weights.integrated)
        self.settings = repr((*settings, against.form, self.own_rows))

    @property
    def signature(self) -> str:
        """Everything static that a compiled program of `terms` depends on, besides shapes."""
        return f"{self.population.signature}|{self.settings}"

    @property
    def is_exact(self) -> bool:
        """Whether nothing is sampled, so that one sample gives the bound itself."""
        return not self.normals.fields and not self.uniforms.fields

    def start(self, keys: np.ndarray, keys_of_h: np.ndarray | None = None) -> Parameters:
        """Starting θ and h in float64; the means start from noise of the members' keys (M, 2).

        Where h starts at random, members of one row of `keys_of_h`, by default of `keys`, start with one h.
        """
        layout = self.population.layout
        fields = [
            NoiseField(f"{group.name}/{name}", index.slots, shape)
            for group, index in zip(layout.groups, self.population.groups, strict=True)
            for name, shape in group.shapes.items()
        ]
        noise = draw_once(NoiseLayout(tuple(fields)), keys, "start")
        means = []
        for group in layout.groups:
            normals = {name: noise[f"{group.name}/{name}"] for name in group.shapes}
            means.append(group.join(started(group, normals)))
        likelihood = {
            name: torch.from_numpy(value).repeat(self.population.size, *(1,) * value.ndim)
            for name, value in self.likelihood.parameters(self.out_shape).items()
        }
        structure, log_temperature = self.structure.start()
        return Tree(
            Theta(self.weights.start(means), structure, log_temperature, likelihood),
            Hyper(self.prior.start(keys if keys_of_h is None else keys_of_h), self.structure.start_hyperparameters()),
        )

    def terms(self, parameters: Parameters, at: BoundInputs) -> Terms:
        """Terms averaged over samples, (M,); the KL of the weights in closed form."""
        draw, output, structure = self._forward(parameters, at.noise, at.x, at.c_temp, at.indices, at.against)
        log_likelihood = at.factor * self._log_likelihood(parameters, at.y, output, at.row_weights).mean(1)
        kl = self._weights_kl(parameters, draw, at.x, at.indices, sampled=False)
        none = torch.zeros_like(kl)
        return Terms(
            log_likelihood,
            kl,
            none if structure.log_ratio is None else structure.log_ratio.mean(1),
            none if structure.divergence is None else structure.divergence.mean(1),
            self.prior.log_hyperprior(parameters, at.x, at.indices.groups),
        )

    def sample_terms(self, parameters: Parameters, at: BoundInputs) -> Terms:
        """Terms of every sample, (M, S), whose means over samples are those of `terms`.

        The KLs are log q − log p at the sample, which makes the sum constant where q is the exact posterior; they
        are closed forms for what is integrated.
        """
        draw, output, structure = self._forward(parameters, at.noise, at.x, at.c_temp, at.indices, at.against)
        log_likelihood = at.factor * self._log_likelihood(parameters, at.y, output, at.row_weights)
        kl = self._weights_kl(parameters, draw, at.x, at.indices, sampled=True)
        kl = kl if kl.ndim == 2 else kl.unsqueeze(1)
        none = torch.zeros_like(kl)
        values = (
            log_likelihood,
            kl,
            none if structure.log_ratio is None else structure.log_ratio,
            none if structure.divergence is None else structure.divergence,
            self.prior.log_hyperprior(parameters, at.x, at.indices.groups).unsqueeze(1),
        )
        shape = torch.broadcast_shapes(*(value.shape for value in values))
        return Terms(*(value.expand(shape) for value in values))

    def row_log_likelihood(self, parameters: Parameters, at: BoundInputs) -> Tensor:
        """log p(y_i | f_i) of every sample and row, or its expectation over what is integrated: (M, S, rows)."""
        output = self._forward(parameters, at.noise, at.x, at.c_temp, at.indices)[1]
        return self._row_log_likelihood(parameters, at.y, output)

    def log_likelihood_of_outputs(self, parameters: Parameters, y: Tensor, outputs: Tensor) -> Tensor:
        """log p(y_i | f_i), (M, S, rows), of outputs (M, S, rows, *out_shape) for the targets y (rows, …)."""
        return self._row_log_likelihood(parameters, y, Output(outputs, None))

    def output_curvature(self, parameters: Parameters, y: Tensor, outputs: Tensor) -> Tensor:
        """−∂²log p(y_i | f_i)/∂f_i², (M, rows, out, out), at outputs (M, 1, rows, *out_shape) for targets y."""
        own, of_y = parameters.theta.likelihood, 0 if self.own_rows else None

        def of_part(likelihood: GuardedLikelihood, numbers: Sequence[int] | slice) -> Tensor:
            given = {name: value[numbers] for name, value in own.items()}
            found: Tensor = vmap(likelihood.curvature, (0, of_y, 0))(
                given, y[numbers] if self.own_rows else y, outputs[numbers, 0]
            )
            return found

        if len(self.same_density) == 1:
            return of_part(self.likelihoods[0], slice(None))
        parts = [of_part(self.likelihoods[numbers[0]], numbers) for numbers in self.same_density]
        return torch.cat(parts)[np.argsort(np.concatenate(self.same_density)).tolist()]

    def outputs(self, parameters: Parameters, noise: Noise, x: Tensor, c_temp: Tensor, indices: Indices) -> Output:
        """Mean and variance of the output node for every member, sample and row."""
        return self._forward(parameters, noise, x, c_temp, indices)[1]

    @cached_property
    def described(self) -> Tree[Parameter]:
        """What each parameter is."""
        names, (of_q, of_temperature, of_prior) = self.likelihood.parameters(self.out_shape), self.structure.described
        likelihood = {name: Parameter(f"likelihood/{name}", Role.LIKELIHOOD) for name in names}
        groups = enumerate(self.weights.groups)
        return Tree(
            Theta(self.weights.described, of_q, of_temperature, likelihood),
            Hyper(self.prior.described, of_prior),
            tuple(Parameter(f"kept/{group.name}", Role.MASK, number) for number, group in groups),
        )

    @cached_property
    def by_label(self) -> dict[str, Parameter]:
        """What each parameter is, by its label."""
        return by_label(self.described, self.described)

    def labelled(self, parameters: Parameters) -> Named:
        """The parameters by their labels."""
        return by_label(self.described, parameters)

    def of_labels(self, values: Mapping[str, Tensor]) -> Parameters:
        """The parameters that are given by label."""
        return of_labels(self.described, values)

    def _forward(
        self,
        parameters: Parameters,
        noise: Noise,
        x: Tensor,
        c_temp: Tensor,
        indices: Indices,
        against: AgainstTensors | None = None,
    ) -> tuple[Draw, Output, StructureDraw]:
        kept = KeptWeights.of(parameters, self.weights)
        normals = self.normals.unpack(noise.normals)
        draw = self.weights.draw(parameters if kept is None else kept.masked(parameters), normals)
        draw = draw if kept is None else kept.draw(draw)
        structure = self.structure.draw(parameters, self.uniforms.unpack(noise.uniforms), c_temp, against)
        network = self.population.network
        output = network.forward(draw.weights, draw.variances, structure.gamma, x, indices.edges, self.own_rows)
        if any(columns is not None for columns in draw.columns):
            output = Output(output.mean, self._linear_variance(draw, structure.gamma, x, indices))
        return draw, output, structure

    def _weights_kl(self, parameters: Parameters, draw: Draw, like: Tensor, indices: Indices, sampled: bool) -> Tensor:
        """KL(q(w) ‖ p(w | h)) of every member, (M,), or log q − log p at its samples, (M, S)."""
        kept = KeptWeights.of(parameters, self.weights)
        held = parameters if kept is None else kept.masked(parameters)
        precision = self.prior.log_precision(parameters, like, indices.groups)
        of_factors = self.divergence.sampled if sampled else self.divergence.expected
        parts = zip(self.weights.factors, of_factors(held, precision, draw, kept), strict=True)
        found = [to_members(part, indices.groups[factor.groups[0]]) for factor, part in parts]
        return reduce(torch.add, found) if found else like.new_zeros(self.population.size)

    def _linear_variance(self, draw: Draw, gamma: Sequence[Tensor | None], x: Tensor, indices: Indices) -> Tensor:
        """Var f of f linear in weights of covariance C Cᵀ: Σ_k (f(C_k) − f(0))² over the columns of every factor."""
        network, none = self.population.network, [None] * len(draw.weights)

        def output(weights: Sequence[Weights]) -> Tensor:
            return network.forward(weights, none, gamma, x, indices.edges, self.own_rows).mean

        zeros = [{name: torch.zeros_like(value) for name, value in weights.items()} for weights in draw.weights]
        offset, parts = output(zeros), []
        for factor in self.weights.factors:
            columns = [*zeros]
            for number in factor.groups:
                columns[number] = draw.columns[number] or {}
            parts.append((output(columns) - offset).square().sum(1, keepdim=True))
        return reduce(torch.add, parts)

    def _log_likelihood(
        self, parameters: Parameters, y: Tensor, output: Output, row_weights: Tensor | None = None
    ) -> Tensor:
        """log p(y | f), or its expectation over what is integrated, summed over rows with their weights: (M, S)."""
        by_row = self._row_log_likelihood(parameters, y, output)
        return (by_row if row_weights is None else by_row * row_weights.unsqueeze(1)).sum(-1)

    def _row_log_likelihood(self, parameters: Parameters, y: Tensor, output: Output) -> Tensor:
        """The log likelihood of every row, (M, S, rows)."""
        own = parameters.theta.likelihood
        if len(self.same_density) == 1:
            return self._log_likelihood_of_rows(self.likelihoods[0], own, y, output)
        found = []
        for numbers in self.same_density:
            of_part = {name: value[numbers] for name, value in own.items()}
            variance = None if output.variance is None else output.variance[numbers]
            at = Output(output.mean[numbers], variance)
            found.append(self._log_likelihood_of_rows(self.likelihoods[numbers[0]], of_part, y[numbers], at))
        order = np.argsort(np.concatenate(self.same_density)).tolist()
        return torch.cat(found)[order]

    def _log_likelihood_of_rows(self, likelihood: GuardedLikelihood, own: Named, y: Tensor, output: Output) -> Tensor:
        """The same under one likelihood."""
        of_y = 0 if self.own_rows else None
        if output.variance is None:
            log_prob = vmap(vmap(likelihood.log_prob, (None, None, 0)), (0, of_y, 0))
            return log_prob(own, y, output.mean)
        shape = torch.broadcast_shapes(output.mean.shape, output.variance.shape)
        expected = vmap(vmap(likelihood.expected_log_prob, (None, None, 0, 0)), (0, of_y, 0, 0))
        mean, variance = output.mean.expand(shape), output.variance.expand(shape)
        return expected(own, y, mean, variance)


def integrated_groups(population: Population, likelihood: GuardedLikelihood, correlated: bool) -> list[bool]:
    """Which weight groups need no sampling, because the likelihood's expectation over them is known.

    They belong to one function that is linear in its weights and ends in the output node. Where weights are
    `correlated` under q it is all of them or none, and only where γ isn't random. Weights that
    the spec ties are sampled even where one of their functions is alone in the batch: what is computed of a member
    doesn't depend on its batch-mates.
    """
    layout = population.layout

    def ends_linearly(block: FunctionBlock) -> bool:
        return block.function.linear_in_weights and layout.graph.edges[block.edge].target == OUTPUT

    integrated = [
        likelihood.closed_form
        and all(ends_linearly(layout.block(*user)) for user in group.users)
        and (correlated or not group.tied)
        for group in layout.groups
    ]
    if correlated:
        return [all(integrated) and not population.is_relaxed] * len(integrated)
    return integrated
