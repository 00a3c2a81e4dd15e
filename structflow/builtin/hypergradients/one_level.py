"""Joint ascent of Q over θ and h."""

from __future__ import annotations

from typing import Any

from ...errors import Problem
from ...plugins import Hypergradient, Schedule


class OneLevel(Hypergradient):
    """Maximise Q jointly over θ and h: the two-level problem has the same solutions where its conditions hold.

    They are c_train > 0, c_prior / c_train = c_reg, the same data on both levels, and no repulsion or attraction
    of the posterior of the structure (c_comb = 0 here).
    """

    type = "one_level"

    @staticmethod
    def conflicts(spec: Any) -> list[Problem]:
        objective = spec.objective
        problems = []
        if objective.c_comb != 0:
            problems.append(
                Problem(
                    "objective.c_comb",
                    f"got {objective.c_comb}; optimizer.outer one_level solves the problem for c_comb 0 only",
                    "set objective.c_comb to 0 or choose another optimizer.outer",
                )
            )
        c_reg, c_train, c_prior = objective.c_reg, objective.c_train, objective.c_prior
        if isinstance(c_train, Schedule) or isinstance(c_prior, Schedule):
            smallest = c_train.extremes()[0] if isinstance(c_train, Schedule) else c_train
            consistent = c_train == c_prior and c_reg == 1 and smallest > 0
        elif isinstance(c_reg, Schedule):
            consistent = False
        else:
            consistent = c_train > 0 and abs(c_prior - c_reg * c_train) <= 1e-12 * max(c_prior, 1.0)
        if not consistent:
            problems.append(
                Problem(
                    "objective.c_prior",
                    f"got c_train {c_train}, c_prior {c_prior}, c_reg {c_reg}; optimizer.outer one_level needs "
                    "c_train > 0 and c_prior / c_train = c_reg",
                    "change objective.c_prior to c_reg · c_train or choose another optimizer.outer",
                )
            )
        return problems
