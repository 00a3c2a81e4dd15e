"""What the presets of (L, Q) make of a spec: metaparameters, posterior, folds and what structures are ranked by.

| preset | weights | L | Q | ranked by |
|---|---|---|---|---|
| evidence | as given | E_q log p(y) − c_reg KL | c_train E_q log p(y) − c_prior KL − c_comb D | log evidence |
| maximum_likelihood | a point | log p(y) | = L | log p(y) |
| map | a point | log p(y) + c_reg log p(w) | = L | log p(y, w) |
| hold_out, cross_validation | a point a fold | m/m_k log p(y outside fold k) + c_reg log p(w) | Σ_k log p(y in k) | Q |
| aic | as given | as evidence | as evidence | E_q log p(y) − k |
| bic | as given | as evidence | as evidence | E_q log p(y) − k/2 log m |

k counts the weights whose KL to the prior exceeds `threshold`, and the likelihood's own parameters. Under aic and bic a
point posterior is trained by maximum likelihood, c_reg = 0, and every weight of it counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..plugins import Metaparameter
from .models import Posterior, Spec

POINT_PRESETS = ("maximum_likelihood", "map", "hold_out", "cross_validation")
HELD_OUT_PRESETS = ("hold_out", "cross_validation")
COUNTING_PRESETS = ("aic", "bic")


@dataclass(frozen=True)
class LevelFactors:
    """c_reg of L; c_train, c_prior and c_comb of Q."""

    c_reg: Metaparameter
    c_train: Metaparameter
    c_prior: Metaparameter
    c_comb: Metaparameter


def level_factors(spec: Spec) -> LevelFactors:
    """The factors that a spec trains with."""
    objective = spec.objective
    without_prior = objective.preset == "maximum_likelihood" or (
        objective.preset in COUNTING_PRESETS and spec.posterior.weights.type == "point"
    )
    if without_prior:
        return LevelFactors(0.0, 1.0, 0.0, 0.0)
    if objective.preset in HELD_OUT_PRESETS:
        return LevelFactors(objective.c_reg, 1.0, 0.0, 0.0)
    if objective.preset == "map":
        return LevelFactors(objective.c_reg, 1.0, objective.c_reg, 0.0)
    return LevelFactors(objective.c_reg, objective.c_train, objective.c_prior, objective.c_comb)


def metaparameters_of(spec: Spec) -> dict[str, Metaparameter]:
    """Every metaparameter that a spec trains with, by name: the factors of both levels and c_temp."""
    return {**vars(level_factors(spec)), "c_temp": spec.prior.structure.temperature}


def posterior_of(spec: Spec) -> Posterior:
    """The variational family that a spec trains."""
    if spec.objective.preset not in POINT_PRESETS:
        return spec.posterior
    weights = spec.posterior.weights.model_copy(update={"type": "point", "covariance": "diagonal"})
    return spec.posterior.model_copy(update={"weights": weights})


def is_point(spec: Spec) -> bool:
    """Whether q(w) is a point."""
    return posterior_of(spec).weights.type == "point"


def fold_count(spec: Spec) -> int:
    """Folds that are held out in turn; 0 where all rows are learned from."""
    if spec.objective.preset == "cross_validation":
        return spec.objective.folds
    return 1 if spec.objective.preset == "hold_out" else 0


def with_metaparameters(spec: Spec, changed: Mapping[str, float]) -> Spec:
    """A spec with other values in its objective, which are validated."""
    if not changed:
        return spec
    objective = type(spec.objective).model_validate({**spec.objective.model_dump(by_alias=True), **changed})
    return spec.model_copy(update={"objective": objective})
