"""Joint ascent of Q over θ and h."""

from __future__ import annotations

from typing import Any

from ...errors import Problem
from ...plugins import Hypergradient, factors_agree, shown_metaparameter


class OneLevel(Hypergradient):
    """Maximise Q jointly over θ and h: the two-level problem has the same solutions where its conditions hold.

    They are c_train > 0, c_prior / c_train = c_reg, the same data on both levels, and no divergence of the posterior of
    the structure in Q.
    """

    type = "one_level"
    levels = 1

    @staticmethod
    def conflicts(spec: Any) -> list[Problem]:
        from ...spec.criterion_calls import holds_rows_out, level_factors  # the spec's models load the plugins

        objective = spec.objective
        advice = "set optimizer.outer to hoag"
        problems = [
            Problem(
                f"objective.against[{index}].of",
                "got posterior: that divergence acts on h only through θ*, and optimizer.outer one_level has no θ*",
                f"{advice}, or set of: prior",
            )
            for index, entry in enumerate(objective.against)
            if entry.of == "posterior" and objective.c_comb != 0
        ]
        holds_out = holds_rows_out(spec)
        if holds_out and spec.prior.weights.is_learned:
            problems.append(
                Problem(
                    "criterion",
                    f"under {spec.criterion.type} the levels see different rows, so optimizer.outer one_level "
                    f"can't learn prior.weights.precision {spec.prior.weights.precision}",
                    f"{advice}, or set prior.weights.precision to a number",
                )
            )
        if not holds_out and not factors_agree(level_factors(spec)):
            values = (objective.c_train, objective.c_prior, objective.c_reg)
            c_train, c_prior, c_reg = map(shown_metaparameter, values)
            problems.append(
                Problem(
                    "objective.c_prior",
                    f"got c_train {c_train}, c_prior {c_prior}, c_reg {c_reg}; optimizer.outer one_level needs "
                    "c_train > 0 and c_prior / c_train = c_reg",
                    f"set c_train above 0 and c_prior to c_reg · c_train, or {advice}",
                )
            )
        return problems
