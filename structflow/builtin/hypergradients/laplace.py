"""The gradient of the evidence that the curvature at θ gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ...errors import Problem
from ...plugins import Hypergradient, OuterGradient, TwoLevelOptions

if TYPE_CHECKING:
    from ...plugins import TwoLevelPoint


class LaplaceOptions(TwoLevelOptions):
    """Keys of `optimizer.outer` with `type: laplace`."""

    every: int = Field(50, ge=1, description="Steps of θ between two looks at the curvature.")
    steps: int = Field(10, ge=1, le=1000, description="Steps of h at each of them, with the same curvature.")
    burn_in: float = Field(0.2, ge=0, lt=1, description="Share of a stage's steps in which h stays where it starts.")
    rate: float = Field(0.1, gt=0, description="Learning rate of h (Adam); it decays by cosine over the stage.")
    samples: int = Field(1, ge=1, description="Unused: nothing is random at a point.")


class Laplace(Hypergradient):
    """∂/∂h of log p(y, w* | h) + ½ n log 2π − ½ log|H| + log p(h) at fixed w* and J, for weights that are a point.

    L is log p(y, w | h), Q Laplace's evidence. The precisions of the prior and the likelihood's own parameters, such as
    the noise, belong to h: raised with the weights, they would fit the mode. The dependence of w* on h is neglected,
    as in MacKay (1992) and Immer et al., "Scalable marginal likelihood estimation for model selection in deep
    learning" (2021).
    """

    type = "laplace"
    Options = LaplaceOptions
    levels = 2
    of_curvature = True

    @staticmethod
    def conflicts(spec: Any) -> list[Problem]:
        from ...spec.criterion_calls import holds_rows_out, level_factors, weight_family, weight_prior

        problems = []
        if not weight_family(spec).fits_curvature:
            problems.append(
                Problem(
                    "optimizer.outer",
                    f"got laplace, which needs posterior.weights.type laplace; criterion {spec.criterion.type} trains "
                    f"{weight_family(spec).type} weights",
                    "set posterior.weights to laplace and criterion to evidence, or leave optimizer.outer out",
                )
            )
            return problems
        if not weight_prior(spec).is_normal:
            message = f"got {spec.prior.weights.type}; Laplace's evidence needs a normal prior of the weights"
            problems.append(Problem("prior.weights.type", message, "set it to normal"))
        if holds_rows_out(spec):
            message = f"got {spec.criterion.type}, under which Q is of rows held out; optimizer.outer laplace raises "
            problems.append(Problem("criterion", f"{message}the evidence of those learned from", "set it to evidence"))
        factors = level_factors(spec)
        for name, wanted in (("c_reg", 1.0), ("c_train", 1.0), ("c_prior", 1.0), ("c_comb", 0.0)):
            if getattr(factors, name) != wanted:
                message = f"Laplace's evidence is that of {name} = {wanted:g}, which stages and paths can't change"
                problems.append(
                    Problem(f"objective.{name}", message, "leave it out, or set posterior.weights.type to diagonal")
                )
        return problems

    @staticmethod
    def steps(options: LaplaceOptions) -> int:
        return options.steps

    @staticmethod
    def burn_in(options: LaplaceOptions) -> float:
        return options.burn_in

    @staticmethod
    def cost(options: LaplaceOptions, samples: int) -> float:
        return 10.0 + 10.0 * options.steps

    @staticmethod
    def gradient(options: LaplaceOptions, point: TwoLevelPoint) -> OuterGradient:
        import torch

        of_q = point.evidence_gradient()
        return OuterGradient(torch.where(point.of_theta, torch.zeros_like(of_q), of_q))
