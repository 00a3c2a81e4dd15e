"""The certificate of a study: its first members set up as a run would set them up, and every hypergradient tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..errors import CallError
from ..plan.batching import Batch, as_dict, make_batches
from ..plan.tasks import Task
from ..plugins import Candidate, metaparameter_at
from ..plugins.registry import Registration, registry
from ..runner.context import RunContext
from ..runner.decide import decide
from ..runner.driver import plan_study, refuse_another_study
from ..runner.run_task import threads
from ..spec.criterion_calls import fold_count, level_factors
from ..spec.models import Spec
from ..spec.round_spec import numbers_of_steps, with_steps
from ..spec.spec_hash import spec_hash
from ..spec.structures import Structure
from ..spec.study import Study
from ..store.names import PLAN
from ..store.run_directory import RunDirectory, without_nan
from ..train.inner_method import inner_method
from ..train.inner_method import method_of as inner_method_of
from ..train.linear_fits import start_at_posterior
from ..train.linear_structures import Level
from ..train.metaparameters import metaparameter_tables
from ..train.open_stage import OpenStage, open_stage
from ..train.stage_inputs import Minibatching, StageSetup
from .certificate import certify
from .certificate_json import certificate_as_json
from .measured_method import Method
from .optimum_problem import optimum_problem
from .steps_problem import StepsProblem, safe_rate

MOST_STEPS = 100
"""Inner steps of a certificate, unless the spec has fewer or more are asked for."""

SAMPLES = 16
"""Samples of Q where the spec's own method doesn't say."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for: methods by name, none for all that fit; None is what the spec and its size suggest."""

    methods: tuple[str, ...] = ()
    steps: int | None = None
    members: int = 2
    coordinates: int = 5
    at: Literal["steps", "optimum"] = "steps"


def certify_study(study: Study, wanted: Wanted) -> dict[str, Any]:
    """The certificate as plain data, for the first round of the first setting. Nothing is written."""
    identity = spec_hash(study.spec)
    study = in_double(study)
    spec = study.settings[0].stages[0]
    steps = wanted.steps or min(MOST_STEPS, numbers_of_steps(spec)[-1])
    samples = getattr(spec.optimizer.outer, "samples", SAMPLES)
    methods = chosen_methods(spec, wanted, steps, samples)
    context = RunContext(RunDirectory(Path()), study, plan_study(study))  # the first round asks for no record
    with threads(context.plan.execution.threads), ExitStack() as resources:
        batch, against = first_members(context, wanted.members)
        stage = resources.enter_context(opened(context, batch, against, steps))
        inner = inner_method_of(spec)
        problem = StepsProblem(stage, inner, samples, steps)
        follows = any(each.plugin is not None and each.plugin.follows_path for each in methods)
        if wanted.at == "optimum":
            optimum = optimum_problem(problem)
            found = certify(optimum, methods, wanted.coordinates, spec.seed)
            problem = optimum.steps_problem
        else:
            if follows and inner.momentum is None:
                problem = safe_rate(replace(problem, inner=inner_method("sgd")))
            found = certify(problem, methods, wanted.coordinates, spec.seed)
    certificate: dict[str, Any] = without_nan({
        "spec_hash": identity,
        "own_method": spec.optimizer.outer.type,
        "at": wanted.at,
        "inner": {
            "type": problem.inner.plugin.type,
            "momentum": problem.inner.momentum or 0.0,
            "rate": float(problem.stage.inputs.setup.tables.rate[0]),
            "steps": steps if wanted.at == "steps" else None,
            "in_place_of": inner.plugin.type if problem.inner.plugin.type != inner.plugin.type else None,
            "seconds": found.step_seconds,
        },
        "samples": samples,
        "members": [
            {"structure": as_dict(each.structure), "restart": each.restart, "fold": each.fold} for each in batch.members
        ],
        **certificate_as_json(found),
    })  # fmt: skip
    return certificate


def in_double(study: Study) -> Study:
    """The study in float64, and compiled only where the spec says so: a certificate is short."""

    def changed(spec: Spec) -> Spec:
        compiled = spec.compute.compile is True
        compute = spec.compute.model_copy(update={"dtype": "float64", "compile": compiled})
        return spec.model_copy(update={"compute": compute})

    settings = tuple(
        replace(setting, stages=tuple(changed(stage) for stage in setting.stages)) for setting in study.settings
    )
    return replace(study, spec=changed(study.spec), settings=settings)


def chosen_methods(spec: Spec, wanted: Wanted, steps: int, samples: int) -> list[Method]:
    """The rows: methods of two levels, the spec's own if it has one, and the reference; raises `CallError`."""
    installed = registry().of_kind("hypergradients")
    own, at_optimum = spec.optimizer.outer.type, wanted.at == "optimum"
    unknown = [name for name in wanted.methods if name not in installed]
    if unknown:
        raise CallError(f"no hypergradient named {', '.join(unknown)}; expected one of {', '.join(installed)}")
    for name in wanted.methods:
        plugin = installed[name].plugin
        if plugin.of_curvature:
            raise CallError(f"{name} raises the evidence of the curvature, not the Q of the objective: leave it out")
        if plugin.levels == 0:
            raise CallError(f"{name} has no hypergradient: it leaves h where it starts")
        if at_optimum and plugin.follows_path:
            raise CallError(f"{name} differentiates through steps, and at an optimum there are none: leave --at out")
    names = wanted.methods or tuple(
        name
        for name, each in installed.items()
        if ((each.plugin.levels == 2 and not each.plugin.of_curvature) or (each.plugin.levels == 1 and name == own))
        and not (at_optimum and each.plugin.follows_path)
    )
    methods = [method_of(installed[name], spec, steps, samples) for name in dict.fromkeys(names)]
    return [Method("implicit" if at_optimum else "unroll"), *methods]


def method_of(registration: Registration, spec: Spec, steps: int, samples: int) -> Method:
    """A method with the spec's options, or its own defaults, and as many samples and steps as all others have."""
    plugin = registration.plugin
    if plugin.levels != 2:
        return Method(registration.type, plugin)
    options = spec.optimizer.outer
    if options.type != registration.type:
        try:
            options = registration.options()
        except ValueError as error:
            raise CallError(
                f"hypergradient {registration.type} has options without a default: set optimizer.outer to it"
            ) from error
    return Method(registration.type, plugin, options.model_copy(update={"every": steps, "samples": samples}))


def first_members(context: RunContext, members: int) -> tuple[Batch, tuple[Structure, ...]]:
    """Some members of the first batch of the first round, spread over its structures; and what they are repelled from.

    Where rows are held out in turn they are of the first fold, since those that learn from all rows have no Q.
    """
    spec = context.stages(0)[0]
    decision = decide(context, Task("decide", 0, 0))
    batch = Batch.of_record(decision.batches[0])
    candidates = [each for each in batch.members if each.fold == min(1, fold_count(spec))]
    ordered = one_of_each(candidates)
    picked = sorted({round(place) for place in np.linspace(0, len(ordered) - 1, min(members, len(ordered)))})
    (smaller,) = make_batches(context.study.graph, [ordered[place] for place in picked], len(picked))
    return smaller, tuple(Structure.from_dict(dict(item)) for item in decision.against)


def one_of_each(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The first restart of every structure, where there are several structures, else all restarts."""
    firsts = {each.structure: each for each in reversed(candidates)}
    ordered = [firsts[structure] for structure in dict.fromkeys(each.structure for each in candidates)]
    return ordered if len(ordered) > 1 else list(candidates)


@contextmanager
def opened(context: RunContext, batch: Batch, against: tuple[Structure, ...], steps: int) -> Iterator[OpenStage]:
    """The members' first stage before its first of `steps` steps, as a run would open it.

    The structure moves from the first step on, and |log s| has no bound.
    """
    stages = context.round_stages(0, 0)
    spec = with_steps(stages[0], steps)
    inner = spec.optimizer.inner
    bound = context.bound(context.population(batch, spec), spec, against=against, stages=len(stages))
    without_folds = tuple(replace(member, fold=0) for member in batch.members)
    keys = context.keys(batch.members, 0, 0, 0)
    started = bound.start(keys, context.keys(without_folds, 0, 0, 0))
    execution = context.execution
    x, y = context.rows(batch.members, spec)
    folds = context.fold_weights(batch.members, spec)
    c_reg = metaparameter_at(level_factors(spec).c_reg, 0, steps, 0, len(stages))
    learned = None if folds is None else folds.learned
    level = Level(x, y, c_reg, learned, context.study.dataset.row_weight)
    parameters = start_at_posterior(bound, started, level)
    tables = metaparameter_tables(spec, 0, len(stages), execution.dtype, execution.device)
    tables = replace(tables, structure_moves=torch.ones_like(tables.structure_moves))
    name = context.plan.settings[0].rounds[0].name
    batching = Minibatching(inner.batch_size, spec.seed, f"{name}/0")
    with context.training_data(batch.members, spec, batching.stage, inner.batch_size) as data:
        yield open_stage(bound, parameters, StageSetup(keys, data, tables, inner.samples, batching, execution))


def refuse_another_run(study: Study, path: Path) -> None:
    """Raise `CallError` unless a directory holds a run of this study."""
    directory = RunDirectory(path)
    if not directory.has(PLAN):
        raise CallError(f"{path} is not a run directory; expected one made by `structflow run`")
    changes = refuse_another_study(directory, study)
    if changes.kind == "extension":
        raise CallError(f"{path} holds a run of a spec that this one extends:\n  {changes.refusal}\nrun it first")
