"""Checks between keys that are each fine by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from ..errors import PluginError, Problem
from ..plugins import Hypergradient, Schedule
from ..plugins.calling import Calling, conflicts_of
from ..plugins.registry import registry
from .criterion_calls import criterion_of, fold_count, fold_problems, weight_prior, with_metaparameters
from .estimator_labels import estimator_labels
from .models import Spec
from .objective_checks import factor_problems, objective_conflicts, objective_problems
from .regime_calls import regime_rounds
from .relevance_checks import criterion_problems, repeated_criteria
from .round_spec import numbers_of_steps, steps_problems
from .searched import open_problems
from .structures import StructureSpace


def cross_key_problems(spec: Spec, n_stages: int) -> list[Problem]:
    """What is wrong between the keys of one stage's spec."""
    problems = objective_problems(spec) + schedule_problems(spec, n_stages) + metric_problems(spec)
    problems += repeated(spec.evidence.estimators, "evidence.estimators")
    return problems + prior_conflicts(spec) + repeated_criteria(spec)


def schedule_problems(spec: Spec, n_stages: int) -> list[Problem]:
    """A problem for every list of values that is longer than what it runs over: its last values would never be used."""
    lengths = {"steps": numbers_of_steps(spec)[0], "stages": n_stages}
    keys = {"steps": "optimizer.inner.steps is", "stages": "the number of stages is"}
    return [
        Problem(
            f"{place}.values",
            f"got {len(schedule.values)} values, but {keys[schedule.over]} {lengths[schedule.over]}",
            f"give at most one value for each of the {schedule.over}",
        )
        for place, schedule in schedules_in(spec)
        if schedule.values is not None and len(schedule.values) > lengths[schedule.over]
    ]


def schedules_in(value: Any, place: str = "") -> Iterator[tuple[str, Schedule]]:
    """Every schedule of a model with its dotted path."""
    if isinstance(value, Schedule):
        yield place, value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            inside = f"{place}." if place else ""
            yield from schedules_in(getattr(value, name), f"{inside}{field.alias or name}")
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from schedules_in(item, f"{place}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from schedules_in(item, f"{place}.{key}")


def repeated(listed: Sequence[Any], place: str) -> list[Problem]:
    """A problem for every estimator or metric that is listed before with the same options."""
    names = estimator_labels(listed)
    return [
        Problem(f"{place}[{index}]", f"{name!r} is listed before", "list each once, or give it other options")
        for index, name in enumerate(names)
        if name in names[:index]
    ]


def metric_problems(spec: Spec) -> list[Problem]:
    """A problem for every metric that is listed before, or that isn't for targets of this kind."""
    target = registry().get("likelihoods", spec.model.likelihood.type).target
    problems = repeated(spec.metrics, "metrics")
    for index, options in enumerate(spec.metrics):
        fits = registry().get("metrics", options.type).targets
        if target not in fits:
            likelihood = spec.model.likelihood.type
            message = f"got {options.type}, which is for {' or '.join(fits)} targets; {likelihood} has {target} ones"
            problems.append(Problem(f"metrics[{index}]", message, "leave it out"))
    return problems


def prior_conflicts(spec: Spec) -> list[Problem]:
    """A problem for every estimator of evidence that needs a normal prior of the weights where it is another one."""
    if weight_prior(spec).is_normal:
        return []
    plugins = registry().of_kind("evidence_estimators")
    message = f"it needs a normal prior of the weights; prior.weights.type is {spec.prior.weights.type}"
    return [
        Problem(f"evidence.estimators[{index}]", message, "leave it out, or set prior.weights.type to normal")
        for index, options in enumerate(spec.evidence.estimators)
        if plugins[options.type].plugin.needs_normal_prior
    ]


def batch_problems(spec: Spec, n_train: int) -> list[Problem]:
    """A problem if a minibatch would hold more rows than there are."""
    batch_size = spec.optimizer.inner.batch_size
    if batch_size is None or batch_size <= n_train:
        return fold_problems(spec, n_train)
    message = f"got {batch_size}, but there are {n_train} training rows"
    return [Problem("optimizer.inner.batch_size", message, "leave it out to use all rows in every step")]


def stream_problems(spec: Spec) -> list[Problem]:
    """What a table whose rows are not in memory can't be used for."""
    problems = []
    if spec.optimizer.inner.batch_size is None:
        message = "is not given, and the table is read by minibatch (data.stream); expected a number of rows"
        problems.append(Problem("optimizer.inner.batch_size", message, "try 256, or set data.stream: false"))
    if fold_count(spec):
        message = f"got {spec.criterion.type}, which holds rows of memory out; the table is read by minibatch"
        remedy = "set criterion to evidence, or data.stream to false"
        problems.append(Problem("criterion", message, remedy))
    return problems


def conflicts(spec: Spec, space: StructureSpace | None) -> list[Problem]:
    """What the optimiser can't solve under these settings, and, for a known space, what the regime can't search."""
    problems: list[Problem] = []
    try:
        outer = registry().get("hypergradients", spec.optimizer.outer.type)
        problems += inner_problems(spec, outer) + conflicts_of(outer, spec) + criterion_problems(spec)
        problems += conflicts_of(criterion_of(spec), spec)
        if space is not None:
            problems += open_problems(spec, space) or search_problems(spec, space)
    except PluginError as error:
        problems.append(Problem("", str(error), "choose another one until it is fixed"))
    return problems


def inner_problems(spec: Spec, outer: type[Hypergradient]) -> list[Problem]:
    """What doesn't fit the inner optimiser: its own conflicts, or a hypergradient that needs other steps."""
    options = spec.optimizer.inner
    inner = registry().get("inner_optimizers", options.type)
    problems = conflicts_of(inner, spec)
    remedy = "set it to sgd with a learning rate that suits, or optimizer.outer to"
    with Calling(inner, "momentum"):
        is_plain = inner.momentum(options) is not None
    if outer.follows_path and not is_plain:
        message = f"got {options.type}; optimizer.outer {outer.type} differentiates through plain gradient steps"
        problems.append(Problem("optimizer.inner.type", message, f"{remedy} greedy or hoag"))
    elif outer.looks_back and not inner.has_step_sizes:
        message = f"got {options.type}, whose steps have no sizes, number by number, for optimizer.outer {outer.type}"
        problems.append(Problem("optimizer.inner.type", message, f"{remedy} hoag"))
    return problems


def search_problems(spec: Spec, space: StructureSpace) -> list[Problem]:
    """What the regime can't search, or the objective can't be asked of what it searches."""
    regime = registry().get("regimes", spec.regime.type)
    problems = conflicts_of(regime, spec, space)
    if problems:
        return problems
    rounds = regime_rounds(spec, space)
    problems += steps_problems(spec, rounds)
    problems += objective_conflicts(spec, space, any(each.relaxed for each in rounds))
    own = [dict(each.metaparameters) for each in rounds if each.metaparameters]
    return problems + (round_problems(with_metaparameters(spec, own[0])) if own else [])


def round_problems(spec: Spec) -> list[Problem]:
    """What is wrong with the objective that a regime gives to a round, as problems of the regime."""
    outer = registry().get("hypergradients", spec.optimizer.outer.type)
    return [
        Problem("regime.along", f"in a round of its path {problem.path} {problem.message}", problem.suggestion)
        for problem in [*factor_problems(spec), *conflicts_of(outer, spec)]
    ]
