"""Gumbel-Softmax on the simplex and binary Concrete on the cube, as one choice in the spec.

torch is imported inside the functions: validating a spec reads only the options and must not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ...plugins import Options, PositiveMetaparameter, Space, StructureDistribution

if TYPE_CHECKING:
    from torch import Tensor


class GumbelSoftmaxOptions(Options):
    """Keys of `prior.structure` with `type: gumbel_softmax`."""

    concentration: float = Field(
        1.0,
        gt=0,
        description="Prior odds s of every basis function under `choose: any`: 1 is uniform over subsets, 1/(K-1) "
        "sparse. Without effect under `choose: one`, where a common factor cancels.",
    )
    temperature: PositiveMetaparameter = Field(
        0.5, description="Temperature c of the relaxation: near 0 γ is almost discrete, a high one draws it inwards."
    )
    learned: bool = Field(False, description="Whether the prior's concentrations are optimised as hyperparameters.")


class GumbelSoftmax(StructureDistribution):
    """Gumbel-Softmax for `choose: one` in the coordinates log γ, binary Concrete for `choose: any` in logit γ.

    log s, uniforms and coordinates are (…, K), the temperature is (…): it has no axis of basis functions. Maddison,
    Mnih and Teh, "The Concrete distribution" (2017).
    """

    type = "gumbel_softmax"
    Options = GumbelSoftmaxOptions

    @staticmethod
    def sample(space: Space, log_concentration: Tensor, temperature: Tensor, uniform: Tensor) -> Tensor:
        """Log γ on the simplex, logit γ on the cube, shape (…, K)."""
        from ...distributions import binary_concrete, gumbel_softmax

        draw = gumbel_softmax.sample_log_gamma if space == "one" else binary_concrete.sample_logit
        return draw(log_concentration, temperature, uniform)

    @staticmethod
    def log_gamma(space: Space, coordinates: Tensor) -> Tensor:
        """The coordinates themselves on the simplex, log σ of them on the cube, shape (…, K)."""
        from ...distributions import binary_concrete

        return coordinates if space == "one" else binary_concrete.log_gamma(coordinates)

    @staticmethod
    def log_prob(space: Space, log_concentration: Tensor, temperature: Tensor, coordinates: Tensor) -> Tensor:
        """Log density over the first K − 1 of γ on the simplex, over the logits on the cube, shape (…)."""
        from ...distributions import binary_concrete, gumbel_softmax

        density = gumbel_softmax.log_prob if space == "one" else binary_concrete.log_prob
        return density(log_concentration, temperature, coordinates)

    @staticmethod
    def rounding_probabilities(space: Space, log_concentration: Tensor) -> Tensor:
        """s_l / Σ s on the simplex, s_l / (1 + s_l) on the cube, shape (…, K)."""
        from ...distributions import binary_concrete, gumbel_softmax

        if space == "one":
            return gumbel_softmax.rounding_probabilities(log_concentration)
        return binary_concrete.rounding_probabilities(log_concentration)

    @classmethod
    def vertex_log_prob(cls, space: Space, log_concentration: Tensor, chosen: Tensor) -> Tensor:
        """log s_l − log Σ s on the simplex, Σ_l log σ(±log s_l) on the cube, shape (…)."""
        import torch
        from torch.nn.functional import logsigmoid

        if space == "one":
            return torch.where(chosen, log_concentration.log_softmax(-1), 0.0).sum(-1)
        return logsigmoid(torch.where(chosen, log_concentration, -log_concentration)).sum(-1)
