"""One training step of a population as a function of tensors alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..model.population import Indices
from ..objective.bound import Bound, Noise, Terms
from ..objective.levels import Metaparameters, inner_level, one_level, outer_level
from .conditioning import Coordinates
from .flat import FlatLayout
from .inner_method import InnerMethod, NumbersOfMembers, State

HYPERPARAMETER_NAMES = ("log_precision", "prior_structure")
"""First parts of the names of h; the likelihood's own parameters are raised with θ, unless Q is of the curvature."""

OF_CURVATURE = (*HYPERPARAMETER_NAMES, "likelihood")
"""The same where Q is the evidence that the curvature at θ gives."""

StepTerms = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Terms of every member, (M,) each, in the order of `Terms`."""

Inputs = tuple[Any, ...]
"""What a point of the objective takes beside the parameters: see `Objectives.terms`."""


@dataclass(frozen=True)
class Objectives:
    """The objective of a population in flat coordinates, its inputs all tensors."""

    bound: Bound
    layout: FlatLayout
    coordinates: Coordinates
    names_of_h: tuple[str, ...] = HYPERPARAMETER_NAMES
    """First parts of the names of h."""

    def terms(
        self,
        level: Literal["inner", "outer"],
        flat: Tensor,
        metaparameters: Tensor,
        normals: Tensor,
        uniforms: Tensor,
        x: Tensor,
        y: Tensor,
        factor: Tensor,
        row_weights: dict[str, Tensor],
        against: dict[str, Tensor],
        edge_indices: Any,
        group_indices: Any,
        whitening: dict[str, Tensor],
        *,
        hyper: Tensor | None = None,
    ) -> tuple[Terms, Metaparameters]:
        """The terms at coordinates (P,), with the rows of a level weighed as `row_weights` says for it.

        `hyper` (P,) holds h in place of `flat`, where it is given. `whitening` are the matrices of the coordinates,
        which another population of the same signature has its own of.
        """
        at = Metaparameters.of_row(metaparameters)
        values = self.layout.unpack(flat)
        if hyper is not None:
            named = self.layout.unpack(hyper)
            values |= {name: named[name] for name in values if is_of(name, self.names_of_h)}
        parameters = self.coordinates.plain(values, whitening)
        indices, noise = Indices(edge_indices, group_indices), Noise(normals, uniforms)
        weights = row_weights.get(level)
        return self.bound.terms(parameters, noise, x, y, at.c_temp, indices, factor, weights, against), at

    def total_inner(self, flat: Tensor, *inputs: Any) -> Tensor:
        """ΣL over members."""
        return inner_level(*self.terms("inner", flat, *inputs)).sum()

    def inner_slope(self, flat: Tensor, hyper: Tensor, *inputs: Any) -> Tensor:
        """∇ΣL along `flat`, (P,), with h from `hyper` (P,).

        What of L doesn't depend on h, such as the likelihood, drops out of a derivative by `hyper`.
        """

        def total(theta: Tensor) -> Tensor:
            return inner_level(*self.terms("inner", theta, *inputs, hyper=hyper)).sum()

        slope: Tensor = torch.func.grad(total)(flat)
        return slope

    def total_outer(self, flat: Tensor, *inputs: Any) -> Tensor:
        """ΣQ over members."""
        return outer_level(*self.terms("outer", flat, *inputs)).sum()


def is_of(name: str, names: tuple[str, ...]) -> bool:
    """Whether the name of a parameter begins with one of `names`."""
    return name.partition("/")[0] in names


def make_step(objectives: Objectives, levels: int, inner: InnerMethod) -> Callable[..., StepTerms]:
    """The step that raises every member's objective: with one level Q over θ and h together, else L over θ.

    The returned function updates the flat parameters, the optimiser's state and `diverged_at` in place, so that no step
    allocates them anew, and returns the terms before the update, (M,) each. `diverged_at` (M,) is the first step whose
    bound wasn't finite, or −1. `of_structure` says which parameters are of q(Γ) or p(Γ): they stay where they are while
    `structure_moves` is false. `of_h` stay where they are unless there is one level. Numbers with a
    finite `limit` (P,) are kept within ± of it; `member_of` (P,) says which member each belongs to.
    """

    def step(
        parameters: Tensor,
        state: State,
        diverged_at: Tensor,
        number: Tensor,
        rate: Tensor,
        structure_moves: Tensor,
        of_structure: Tensor,
        of_h: Tensor,
        limit: Tensor,
        member_of: Tensor,
        *inputs: Any,
    ) -> StepTerms:
        def total(candidate: Tensor) -> tuple[Tensor, StepTerms]:
            terms, at = objectives.terms("inner", candidate, *inputs)
            value = one_level(terms, at) if levels == 1 else inner_level(terms, at)
            kept = (terms.log_likelihood, terms.kl_weights, terms.kl_structure, terms.divergence, terms.log_hyperprior)
            return value.sum(), kept

        terms: StepTerms
        gradient, terms = torch.func.grad(total, has_aux=True)(parameters)
        held = of_structure & ~structure_moves
        if levels != 1:
            held = held | of_h
        gradient = torch.where(held, torch.zeros_like(gradient), gradient)
        numbers = NumbersOfMembers(member_of, objectives.bound.population.size)
        raised, kept = inner.ascend(parameters, gradient, state, rate, number, numbers)
        for name, value in kept.items():  # first: it may hold the parameters before the step
            state[name].copy_(value)
        parameters.copy_(torch.maximum(torch.minimum(raised, limit), -limit))
        finite = torch.isfinite(terms[0] - terms[1] - terms[2])
        diverged_at.copy_(torch.where((diverged_at < 0) & ~finite, number, diverged_at))
        return terms

    return step
