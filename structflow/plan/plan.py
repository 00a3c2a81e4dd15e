"""The frozen list of rounds, stages and tasks of a run, computable without training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import JsonValue, TypeAdapter

from ..plugins import Candidate, Decision, RoundBound
from ..spec.criterion_calls import fold_count, weight_family
from ..spec.models import Spec
from ..spec.regime_calls import regime_decision, regime_rounds
from ..spec.round_spec import steps_in
from ..spec.searched import open_set, searched_space
from ..spec.structures import StructureSpace
from ..spec.study import Setting, Study
from .batching import make_batches, most_batches
from .cost import (
    STARTUP_SECONDS,
    MemberCost,
    Work,
    batch_work,
    evaluation_work,
    member_cost,
    members_per_batch,
    steps_worth,
)
from .tasks import Task


@dataclass(frozen=True)
class ExecutionPlan:
    """What `auto` settings were decided to be; a run that is continued uses the same."""

    device: str
    dtype: str
    compile: bool
    threads: int


@dataclass(frozen=True)
class RoundPlan:
    """A round: at most `members` members in at most `slots` batches, each trained through `steps` stage by stage.

    `metaparameters` are keys of the spec's objective that have other values in this round.
    """

    name: str
    relaxed: bool
    members: int
    exact: bool
    members_per_batch: int
    slots: int
    steps: tuple[int, ...]
    metaparameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SettingPlan:
    """The rounds of one point of the sweep, and the regime that decides who is trained in them."""

    values: dict[str, JsonValue]
    rounds: tuple[RoundPlan, ...]
    regime: str = ""


@dataclass(frozen=True)
class Plan:
    """A run before it starts. Counts are exact, or upper bounds where a regime adapts (`exact` is false).

    `n_structures` counts the different structures among which the regime chooses, those that are equal once; it is an
    upper bound where `n_structures_exact` is false.
    """

    n_structures: int
    settings: tuple[SettingPlan, ...]
    execution: ExecutionPlan
    seconds: float
    batch_bytes: int
    n_structures_exact: bool = True

    @property
    def exact(self) -> bool:
        """Whether every round has exactly the members it is planned with."""
        return all(each.exact for setting in self.settings for each in setting.rounds)

    @property
    def n_members(self) -> int:
        """Members over all settings and rounds."""
        return sum(each.members for setting in self.settings for each in setting.rounds)

    def tasks(self) -> Iterator[Task]:
        """Every task, parents before children."""
        for setting_index, setting in enumerate(self.settings):
            last: tuple[Task, ...] = ()
            trained: list[Task] = []
            for round_index, each in enumerate(setting.rounds):
                decide = Task("decide", setting_index, round_index, parents=last)
                yield decide
                last = ()
                for slot in range(each.slots):
                    parent = decide
                    for stage in range(len(each.steps)):
                        parent = Task("train", setting_index, round_index, stage, slot, (parent,))
                        yield parent
                    last += (parent,)
                trained += last
            select = Task("select", setting_index, parents=tuple(trained))
            yield select
            for task in trained:
                yield Task("evaluate", setting_index, task.round, task.stage, task.slot, (select,))

    @cached_property
    def by_name(self) -> dict[str, Task]:
        """Every task by its name, in the order of `tasks`: made once, since every task of a run is looked up."""
        return {task.name: task for task in self.tasks()}

    def as_json(self) -> dict[str, JsonValue]:
        """What `structflow plan --json` prints and the run directory keeps."""
        tasks = list(self.tasks())
        return {
            "n_structures": self.n_structures,
            "n_structures_exact": self.n_structures_exact,
            "n_members": self.n_members,
            "n_tasks": len(tasks),
            "exact": self.exact,
            "stages": [
                {
                    "setting": setting_index,
                    "round": each.name,
                    "stage": stage,
                    "relaxed": each.relaxed,
                    "members": each.members,
                    "batches": each.slots,
                    "steps": steps,
                    "exact": each.exact,
                    "metaparameters": dict(each.metaparameters),
                }
                for setting_index, setting in enumerate(self.settings)
                for each in setting.rounds
                for stage, steps in enumerate(each.steps)
            ],
            "estimate": {"seconds": round(self.seconds, 1), "batch_bytes": self.batch_bytes},
            "execution": asdict(self.execution),
            "settings": [asdict(setting) for setting in self.settings],
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Plan:
        """The plan that a run directory keeps; what follows from its rounds is left out."""
        return TypeAdapter(cls).validate_python({**stored, **stored["estimate"]})


def make_plan(study: Study, device: str, can_compile: bool, threads: int, extends: ExecutionPlan | None = None) -> Plan:
    """Plan a study for a `device`, where `can_compile` says whether native code can be made there.

    `threads` are those of one task at most: see `fastest`. A run that `extends` another one is executed as that was.
    """
    settings, works, costs = [], [], []
    for setting in study.settings:
        spec = setting.stages[0]
        rounds = []
        for index, bound in enumerate(regime_rounds(spec, study.space)):
            planned, work, cost = plan_round(study, setting, bound, index)
            rounds.append(planned)
            works.append(work)
            costs.append(planned.members_per_batch * cost.bytes(spec))
        settings.append(SettingPlan(setting.values, tuple(rounds), spec.regime.type))
    execution = extends or fastest(works, study.spec, device, can_compile, threads)
    space = searched_space(study.space, study.settings[0].stages[0].regime)
    return Plan(
        space.count,
        tuple(settings),
        execution,
        forecast(works, execution.compile, execution.threads),
        max(costs),
        space.count_is_exact,
    )


def forecast(works: Sequence[Work], compiled: bool, threads: int) -> float:
    """Seconds that a run takes on an idle machine of the kind that docs/benchmarks.md describes."""
    return STARTUP_SECONDS + sum(
        work.training_seconds(compiled, threads) + work.preparation_seconds(compiled) + work.evaluation_seconds(threads)
        for work in works
    )


def ways_of(modes: Sequence[bool], threads: int) -> list[tuple[bool, int]]:
    """Compiled or not, with one thread and with all."""
    return [(mode, number) for mode in modes for number in dict.fromkeys((1, threads))]


def fastest(works: Sequence[Work], spec: Spec, device: str, can_compile: bool, threads: int) -> ExecutionPlan:
    """Compiled or not, and on how many of at most `threads`: what the forecast says is the fastest.

    Of small studies one thread is: two would wait for each other longer than they work.
    """
    wanted = spec.compute.compile
    modes = [False, True] if wanted == "auto" else [wanted]
    ways = ways_of([mode and can_compile for mode in modes], threads)
    compiled, number = min(ways, key=lambda way: forecast(works, *way))
    return ExecutionPlan(device, spec.compute.dtype, compiled, number)


def plan_round(study: Study, setting: Setting, bound: RoundBound, index: int) -> tuple[RoundPlan, Work, MemberCost]:
    """One round with its batches, the work it is, and what its largest member holds."""
    spec, graph = setting.stages[0], study.graph
    space = searched_space(study.space, spec.regime)
    assignments = [dict(chosen) for chosen in space.shape_assignments()]
    costs = [
        member_cost(graph, graph.node_shapes(chosen), stage, study.dataset.n_train, bound.relaxed)
        for chosen in assignments
        for stage in setting.stages
    ]
    largest = max(costs, key=lambda cost: cost.values + cost.weights**0.5)
    copies = fold_count(spec) + 1
    bound = replace(bound, most=bound.most * copies)
    most = max(copies, min(members_per_batch(largest, spec), max(1, bound.most)) // copies * copies)
    alone = trains_alone(spec, bound.relaxed)
    kinds = 1 if bound.relaxed else min(bound.most // copies, space.count if alone else len(assignments))
    if bound.exact and index == 0:
        decision = with_open_set(regime_decision(spec, study.space, 0, []), study.space, spec.regime)
        slots = len(make_batches(graph, with_folds(decision.candidates, spec), most, alone, copies))
    elif bound.relaxed:  # all members over one open set
        slots = -(-bound.most // most)
    else:
        slots = most_batches(bound.most, kinds, most)
    programs = min(slots, space.count if alone else len(assignments)) * len(setting.stages)
    steps = tuple(steps_in(stage, bound.name, bound.relaxed) or 0 for stage in setting.stages)
    step = batch_work(graph, spec, study.dataset.n_train, bound.most / max(1, slots), bound.relaxed, alone)
    one = batch_work(graph, spec, study.dataset.n_train, 1, bound.relaxed, alone)
    rows, restarts = (study.dataset.n_train, study.dataset.n_test), spec.optimizer.restarts
    evaluation = evaluation_work(one, spec, rows, bound.most * len(steps), -(-bound.most // (copies * restarts)))
    work = Work(step, slots, programs, steps_worth(spec) * sum(steps), evaluation)
    planned = RoundPlan(
        bound.name, bound.relaxed, bound.most, bound.exact, most, slots, steps, dict(bound.metaparameters)
    )
    return planned, work, largest


def trains_alone(spec: Spec, relaxed: bool) -> bool:
    """Whether members share batches only with others of their structure, in a relaxed round or another."""
    return weight_family(spec).joint and not relaxed


def with_folds(candidates: Sequence[Candidate], spec: Spec) -> list[Candidate]:
    """Every candidate once for all rows (fold 0) and once for each fold that is held out, the folds side by side."""
    return [replace(each, fold=fold) for each in candidates for fold in range(fold_count(spec) + 1)]


def with_open_set(decision: Decision, space: StructureSpace, options: Any) -> Decision:
    """A decision in which relaxed members over everything are over what the regime's options leave open."""
    left = open_set(space, options)
    return replace(
        decision,
        candidates=[
            replace(each, open=left) if each.structure is None and each.open is None else each
            for each in decision.candidates
        ],
    )
