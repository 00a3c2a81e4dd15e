"""One training step of a population as a function of tensors alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..model.population import Indices
from ..objective.bound import Bound, Noise
from .adam import AdamState, ascend

Tensors = dict[str, Tensor]
StepTerms = tuple[Tensor, Tensor, Tensor]


def make_step(bound: Bound) -> Callable[..., StepTerms]:
    """The step that raises log p(y | …) − c_reg · KL of every member, jointly over θ and the learned h.

    The returned function updates parameters, moments and `diverged_at` in place, so that no step allocates them
    anew, and returns the terms of the bound before the update, (M,) each. `diverged_at` (M,) is the first step
    whose bound wasn't finite, or −1.
    """

    def step(
        parameters: Tensors,
        first: Tensors,
        second: Tensors,
        diverged_at: Tensor,
        number: Tensor,
        rate: Tensor,
        c_reg: Tensor,
        c_temp: Tensor,
        normals: Tensor,
        uniforms: Tensor,
        x: Tensor,
        y: Tensor,
        factor: Tensor,
        edge_indices: Any,
        group_indices: Any,
    ) -> StepTerms:
        indices, noise = Indices(edge_indices, group_indices), Noise(normals, uniforms)

        def total(candidate: Tensors) -> tuple[Tensor, StepTerms]:
            terms = bound.terms(candidate, noise, x, y, c_temp, indices, factor)
            objective = terms.log_likelihood - c_reg * (terms.kl_weights + terms.kl_structure)
            return objective.sum(), (terms.log_likelihood, terms.kl_weights, terms.kl_structure)

        terms: StepTerms
        gradients, terms = torch.func.grad(total, has_aux=True)(parameters)
        raised, moments = ascend(parameters, gradients, AdamState(first, second), rate, number)
        for name in parameters:
            parameters[name].copy_(raised[name])
            first[name].copy_(moments.first[name])
            second[name].copy_(moments.second[name])
        finite = torch.isfinite(terms[0] - terms[1] - terms[2])
        diverged_at.copy_(torch.where((diverged_at < 0) & ~finite, number, diverged_at))
        return terms

    return step
