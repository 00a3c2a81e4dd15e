"""The part of the hypergradient that h has on Q directly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ...errors import Problem
from ...plugins import Hypergradient, OuterGradient, TwoLevelOptions, factors_agree, shown_metaparameter

if TYPE_CHECKING:
    from ...plugins import TwoLevelPoint


class FirstOrderOptions(TwoLevelOptions):
    """Keys of `optimizer.outer` with `type: first_order`."""

    despite_bias: bool = Field(
        False,
        description="Go on where c_prior / c_train isn't c_reg and the answer therefore ignores c_prior: to show that.",
    )


class FirstOrder(Hypergradient):
    """∂Q/∂h at fixed θ: a first-order approximation that leaves out how θ* follows h.

    It is the whole derivative where ∇_θ Q vanishes at θ*, that is where Q is a multiple of L plus terms in h alone.
    Elsewhere it is biased: h enters Q only through the KL, so its fixed point is the same for every c_prior.
    """

    type = "first_order"
    Options = FirstOrderOptions
    levels = 2
    flat = True

    @staticmethod
    def conflicts(spec: Any) -> list[Problem]:
        from ...spec.criterion_calls import holds_rows_out, level_factors  # the spec's models load the plugins

        objective, outer = spec.objective, spec.optimizer.outer
        advice = "set optimizer.outer to hoag, which follows θ*"
        problems = []
        if holds_rows_out(spec):
            problems.append(
                Problem(
                    "criterion",
                    f"under {spec.criterion.type} Q doesn't depend on h directly, so optimizer.outer first_order never "
                    "moves h",
                    advice,
                )
            )
            return problems
        problems += [
            Problem(
                f"objective.against[{index}].of",
                "got posterior: that divergence acts on h only through θ*, which optimizer.outer first_order ignores",
                advice,
            )
            for index, entry in enumerate(objective.against)
            if entry.of == "posterior" and objective.c_comb != 0
        ]
        if not factors_agree(level_factors(spec)) and not outer.despite_bias:
            problems.append(
                Problem(
                    "objective.c_prior",
                    f"got c_train {shown_metaparameter(objective.c_train)}, c_prior "
                    f"{shown_metaparameter(objective.c_prior)}, c_reg {shown_metaparameter(objective.c_reg)}; "
                    "optimizer.outer first_order has the same fixed point for every c_prior, so it can't answer for "
                    "c_prior / c_train ≠ c_reg",
                    f"{advice}; or set optimizer.outer.despite_bias to see the bias",
                )
            )
        return problems

    @staticmethod
    def cost(options: FirstOrderOptions, samples: int) -> float:
        return 1.2 * options.samples / samples

    @staticmethod
    def gradient(options: FirstOrderOptions, point: TwoLevelPoint) -> OuterGradient:
        import torch

        of_q = point.outer_gradient()
        return OuterGradient(torch.where(point.of_theta, torch.zeros_like(of_q), of_q))
