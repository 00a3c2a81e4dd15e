"""What a criterion makes of a spec: metaparameters, posterior and folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ..errors import Problem
from ..plugins import Criterion, LevelFactors, Metaparameter, WeightPosterior, WeightPrior
from ..plugins.calling import Calling, broken_contract, problems_from
from ..plugins.registry import registry
from .models import Posterior, Spec

if TYPE_CHECKING:
    import numpy as np


POINT = "point"
"""The family of q(w) that criteria train which train points, where the spec names none without a density."""


def criterion_of(spec: Spec) -> type[Criterion]:
    """The criterion that a spec names."""
    found: type[Criterion] = registry().get("criteria", spec.criterion.type)
    return found


def level_factors(spec: Spec) -> LevelFactors:
    """The factors that a spec trains with; raises `PluginError` where the criterion gives something else."""
    criterion, method = criterion_of(spec), "factors"
    given = LevelFactors(**{field.name: getattr(spec.objective, field.name) for field in fields(LevelFactors)})
    with Calling(criterion, method):
        found: Any = criterion.factors(spec.criterion, given, is_point(spec))
    if not isinstance(found, LevelFactors):
        raise broken_contract(criterion, method, type(found).__name__, "a structflow.plugins.LevelFactors")
    return found


def metaparameters_of(spec: Spec) -> dict[str, Metaparameter]:
    """Every metaparameter that a spec trains with, by name: the factors of both levels and c_temp."""
    return {**vars(level_factors(spec)), "c_temp": spec.prior.structure.temperature}


def posterior_of(spec: Spec) -> Posterior:
    """The variational family that a spec trains."""
    given = given_family(spec)
    if not criterion_of(spec).trains_point or not (given.has_density or given.fits_curvature):
        return spec.posterior
    point = registry().of_kind("weight_posteriors")[POINT].options()
    return spec.posterior.model_copy(update={"weights": point})


def given_family(spec: Spec) -> type[WeightPosterior]:
    """The family of q(w) that a spec names."""
    family: type[WeightPosterior] = registry().get("weight_posteriors", spec.posterior.weights.type)
    return family


def weight_family(spec: Spec) -> type[WeightPosterior]:
    """The family of q(w) that a spec trains."""
    family: type[WeightPosterior] = registry().get("weight_posteriors", posterior_of(spec).weights.type)
    return family


def weight_prior(spec: Spec) -> type[WeightPrior]:
    """The prior of the weights that a spec names."""
    prior: type[WeightPrior] = registry().get("weight_priors", spec.prior.weights.type)
    return prior


def is_point(spec: Spec) -> bool:
    """Whether q(w) is a point."""
    return not weight_family(spec).has_density


def fold_count(spec: Spec) -> int:
    """Sets of rows that are held out in turn; 0 where all rows are learned from."""
    criterion, method = criterion_of(spec), "fold_count"
    with Calling(criterion, method):
        found: Any = criterion.fold_count(spec.criterion)
    if type(found) is not int or found < 0:
        raise broken_contract(criterion, method, repr(found), "a whole number of folds, 0 for none")
    return found


def holds_rows_out(spec: Spec) -> bool:
    """Whether Q and the score are of rows that members don't learn from."""
    return fold_count(spec) > 0 and not criterion_of(spec).of_parts


def combined_score(spec: Spec, whole: float, parts: Sequence[float]) -> float:
    """The score of a structure from those of all rows and of parts of them; raises `PluginError` for no number."""
    criterion = criterion_of(spec)
    with Calling(criterion, "combined"):
        found: Any = criterion.combined(spec.criterion, whole, parts)
    if not isinstance(found, float):
        raise broken_contract(criterion, "combined", repr(found), "a number")
    return found


def fold_of_row(spec: Spec, rows: int, labels: np.ndarray | None) -> np.ndarray:
    """For every training row the fold that holds it out, from 1, or 0, (rows,); `labels` (rows,) are those of classes.

    Raises `PluginError` where they aren't that, or a fold holds no row or all of them.
    """
    import numpy as np

    criterion, method, folds = criterion_of(spec), "fold_of_row", fold_count(spec)
    with Calling(criterion, method):
        found = np.asarray(criterion.fold_of_row(spec.criterion, rows, labels, spec.seed))
    if found.shape != (rows,) or not np.issubdtype(found.dtype, np.integer):
        raise broken_contract(criterion, method, f"{found.shape} of {found.dtype}", f"({rows},) whole numbers")
    if set(np.unique(found)) - {0} != set(range(1, folds + 1)) or (found == found[0]).all():
        got = f"folds {np.unique(found).tolist()}"
        raise broken_contract(
            criterion, method, got, f"rows for each fold from 1 to {folds}, and none with all of them"
        )
    return found


def fold_problems(spec: Spec, rows: int) -> list[Problem]:
    """A problem where there are too few training rows to hold any out."""
    return problems_from(criterion_of(spec), "fold_problems", spec.criterion, rows)


def with_metaparameters(spec: Spec, changed: Mapping[str, float]) -> Spec:
    """A spec with other values in its objective, which are validated."""
    if not changed:
        return spec
    objective = type(spec.objective).model_validate({**spec.objective.model_dump(by_alias=True), **changed})
    return spec.model_copy(update={"objective": objective})
