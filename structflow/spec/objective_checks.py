"""Checks between the keys of the objective and the keys that they only make sense with."""

from __future__ import annotations

from ..errors import Problem
from ..plugins import Schedule, shown_metaparameter
from ..plugins.registry import registry
from .criterion_calls import (
    criterion_of,
    fold_count,
    given_family,
    holds_rows_out,
    is_point,
    level_factors,
    weight_family,
)
from .models import Against, Spec
from .round_spec import numbers_of_steps
from .structures import EdgeChoice, StructureSpace


def objective_problems(spec: Spec) -> list[Problem]:
    """What is wrong between the keys of the objective, as far as one stage's spec tells."""
    return [
        *attraction_problems(spec),
        *factor_problems(spec),
        *point_problems(spec),
        *hyperprior_problems(spec),
        *influence_problems(spec),
    ]


def is_zero(value: float | Schedule) -> bool:
    """Whether a metaparameter is 0 throughout."""
    return value.extremes() == (0.0, 0.0) if isinstance(value, Schedule) else value == 0.0


def attraction_problems(spec: Spec) -> list[Problem]:
    """Problems where c_comb weighs no divergence, or one that nothing can change."""
    objective = spec.objective
    if is_zero(objective.c_comb):
        return []
    if not objective.against and getattr(spec.regime, "form", None) != "repulsive":
        remedy = "list what to attract to or repel from in objective.against, or set c_comb to 0"
        message = f"got {shown_metaparameter(objective.c_comb)}, but objective.against is empty"
        return [Problem("objective.c_comb", message, remedy)]
    learned = getattr(spec.prior.structure, "learned", False)
    problems = [
        Problem(
            f"objective.against[{index}].of",
            "got prior, but prior.structure.learned is false: a divergence of a prior that is set changes nothing",
            "set prior.structure.learned to true, or of: posterior with optimizer.outer hoag",
        )
        for index, entry in enumerate(objective.against)
        if entry.of == "prior" and not learned
    ]
    if getattr(spec.regime, "form", None) == "repulsive" and not learned:
        got = shown_metaparameter(objective.c_comb)
        message = f"got {got} with regime.form repulsive, but prior.structure.learned is false"
        remedy = "set prior.structure.learned to true: it is the prior that is repelled, and q(Γ) follows it"
        problems.append(Problem("objective.c_comb", message, remedy))
    return problems


def factor_problems(spec: Spec) -> list[Problem]:
    """A problem for every factor that the criterion sets itself."""
    objective, problems = spec.objective, []
    for name, used in vars(level_factors(spec)).items():
        value = getattr(objective, name)
        if value not in (used, type(objective).model_fields[name].default):
            message = f"got {shown_metaparameter(value)}, but criterion {spec.criterion.type} sets {name} itself"
            problems.append(Problem(f"objective.{name}", message, "leave it out, or set criterion to evidence"))
    return problems


def point_problems(spec: Spec) -> list[Problem]:
    """Problems of weights that are a point: no density, and no precision learned from their own density."""
    problems: list[Problem] = []
    prior, criterion = spec.prior.weights, criterion_of(spec)
    family = weight_family(spec)
    if family.fits_curvature:
        return problems + curvature_problems(spec)
    if not given_family(spec).has_density and criterion.needs_density:
        message = f"got {spec.posterior.weights.type}, but criterion is {criterion.type}, and a point has none"
        remedy = "set criterion to map to rank by log p(y, w), or posterior.weights.type to diagonal"
        return [*problems, Problem("posterior.weights.type", message, remedy)]
    if not is_point(spec) or not prior.is_learned or holds_rows_out(spec):
        return problems
    what = f"criterion {criterion.type}" if criterion.trains_point else "posterior.weights.type point"
    if is_zero(level_factors(spec).c_reg):
        message = f"got {prior.precision}, but under {what} no prior enters, so there is nothing to learn it from"
    elif prior.hyperprior is None:
        message = f"got {prior.precision}, but under {what} its density grows without bound as weights go to 0"
    else:
        return problems
    if isinstance(prior.precision, float):
        message = message.replace(f"got {prior.precision}", "got true")
        return [*problems, Problem("prior.weights.learned", message, "set prior.weights.learned to false")]
    problems.append(Problem("prior.weights.precision", message, "set prior.weights.precision to a number"))
    return problems


def curvature_problems(spec: Spec) -> list[Problem]:
    """Problems of weights whose evidence is that of the curvature at their mode: h has to be learned from it."""
    problems, kind, criterion = [], spec.posterior.weights.type, criterion_of(spec)
    if criterion.needs_density and not (criterion.by_estimator or criterion.of_parts):
        message = f"got {kind}, but criterion is {criterion.type}, which needs a density while weights are trained"
        problems.append(Problem("posterior.weights.type", message, "set criterion to evidence, or it to diagonal"))
    outer = registry().get("hypergradients", spec.optimizer.outer.type)
    if not outer.of_curvature:
        message = f"got {outer.type}; with posterior.weights.type {kind} precisions and noise need the evidence"
        remedy = f"leave it out, or set it to {given_family(spec).default_outer}"
        problems.append(Problem("optimizer.outer", message, remedy))
    estimators = registry().of_kind("evidence_estimators")
    problems += [
        Problem(
            f"evidence.estimators[{index}]",
            f"got {options.type}, which needs a density of q; posterior.weights.type {kind} is a point in training",
            f"list {given_family(spec).default_estimator}, or leave evidence.estimators out",
        )
        for index, options in enumerate(spec.evidence.estimators)
        if estimators[options.type].plugin.needs_density
    ]
    return problems


def hyperprior_problems(spec: Spec) -> list[Problem]:
    """A problem for a hyperprior of a precision that isn't learned, or where Q is the held-out likelihood alone."""
    if spec.prior.weights.hyperprior is None:
        return []
    if holds_rows_out(spec):
        message = f"got one, but under criterion {spec.criterion.type} Q is the held-out log likelihood alone"
        return [Problem("prior.weights.hyperprior", message, "leave it out")]
    if spec.prior.weights.is_learned:
        return []
    message = f"got one, but prior.weights.precision {spec.prior.weights.precision} is not learned"
    return [Problem("prior.weights.hyperprior", message, "set prior.weights.learned to true, or leave it out")]


def influence_problems(spec: Spec) -> list[Problem]:
    """A problem for every hyperparameter that nothing could move."""
    problems = []
    c_reg, outer = level_factors(spec).c_reg, spec.optimizer.outer
    learned = spec.prior.weights.is_learned
    relaxed_learned = getattr(spec.prior.structure, "learned", False)
    if is_zero(c_reg) and not is_point(spec) and learned:
        message = f"got {spec.prior.weights.precision}, but objective.c_reg is 0, so no prior enters L"
        problems.append(Problem("prior.weights.precision", message, "set prior.weights.precision to a number"))
    if is_zero(c_reg) and relaxed_learned:
        message = "got true, but c_reg is 0 (objective.c_reg or criterion), so no prior enters L"
        problems.append(Problem("prior.structure.learned", message, "set prior.structure.learned to false"))
    every, steps = getattr(outer, "every", 1), numbers_of_steps(spec)[0]
    if every > steps and (learned or relaxed_learned):
        message = f"got {every}, but optimizer.inner.steps is {steps}: hyperparameters would never move"
        problems.append(Problem("optimizer.outer.every", message, "lower it, or train for more steps"))
    if not is_zero(spec.objective.c_comb) and not learned and not relaxed_learned:
        problems += [
            Problem(
                f"objective.against[{index}].of",
                "got posterior, but neither prior.weights.precision nor prior.structure is learned: nothing could move",
                "set prior.structure.learned to true",
            )
            for index, entry in enumerate(spec.objective.against)
            if entry.of == "posterior"
        ]
    return problems


def objective_conflicts(spec: Spec, space: StructureSpace, relaxes: bool) -> list[Problem]:
    """What the objective asks that the graph doesn't have; `relaxes` says whether the regime has relaxed rounds."""
    objective = spec.objective
    problems = []
    if not is_zero(objective.c_comb) and not relaxes:
        got = shown_metaparameter(objective.c_comb)
        message = f"got {got}, but regime.type {spec.regime.type} trains discrete structures only"
        remedy = "set regime to evidence, or objective.c_comb to 0: only a relaxed structure has a divergence"
        problems.append(Problem("objective.c_comb", message, remedy))
    if fold_count(spec) and relaxes:
        message = f"got {spec.criterion.type}, but regime.type {spec.regime.type} relaxes the structure"
        remedy = "set regime to enumeration or to growth with form: discrete, which score discrete structures"
        problems.append(Problem("criterion", message, remedy))
    edges = {edge.key: edge for edge in space.edges}
    for index, entry in enumerate(objective.against):
        problems += against_problems(f"objective.against[{index}]", entry, edges)
    return problems


def against_problems(place: str, entry: Against, edges: dict[str, EdgeChoice]) -> list[Problem]:
    """Names and numbers of one distribution of P that don't fit the edges."""
    problems = []
    given = {**entry.concentration, **entry.structure}
    kind = "concentration" if entry.concentration else "structure"
    for key, values in given.items():
        where, edge = f"{place}.{kind}.{key}", edges.get(key)
        if edge is None:
            problems.append(Problem(where, f"the model has no edge {key!r}", f"the edges are {', '.join(edges)}"))
        elif kind == "concentration" and len(values) != len(edge.names):
            message = f"got {len(values)} numbers; expected one for each of the {len(edge.names)} functions"
            problems.append(Problem(where, message, f"in this order: {', '.join(edge.names)}"))
        elif kind == "structure":
            unknown = [name for name in values if name not in edge.names]
            if unknown:
                message = f"the edge has no function {', '.join(map(repr, unknown))}"
                problems.append(Problem(where, message, f"its functions are {', '.join(edge.names)}"))
            elif edge.space == "one" and len(values) != 1:
                message = f"got {len(values)} functions, but the edge chooses one"
                problems.append(Problem(where, message, "name one function"))
    return problems
