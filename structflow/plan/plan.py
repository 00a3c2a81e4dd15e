"""The frozen list of rounds, stages and tasks of a run, computable without training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..plugins import RoundBound
from ..plugins.registry import registry
from ..spec.study import Setting, Study
from .batching import make_batches, most_batches
from .cost import Work, member_cost, members_per_batch
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
    """A round: at most `members` members in at most `slots` batches, each trained through `steps` stage by stage."""

    name: str
    relaxed: bool
    members: int
    exact: bool
    members_per_batch: int
    slots: int
    steps: tuple[int, ...]


@dataclass(frozen=True)
class SettingPlan:
    """The rounds of one point of the sweep."""

    values: dict[str, Any]
    rounds: tuple[RoundPlan, ...]


@dataclass(frozen=True)
class Plan:
    """A run before it starts. Counts are exact, or upper bounds where a regime adapts (`exact` is false)."""

    n_structures: int
    settings: tuple[SettingPlan, ...]
    execution: ExecutionPlan
    seconds: float
    batch_bytes: int

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

    def as_json(self) -> dict[str, Any]:
        """What `structflow plan --json` prints and the run directory keeps."""
        tasks = list(self.tasks())
        return {
            "n_structures": self.n_structures,
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
        """The plan that a run directory keeps."""
        settings = tuple(
            SettingPlan(
                setting["values"],
                tuple(RoundPlan(**{**each, "steps": tuple(each["steps"])}) for each in setting["rounds"]),
            )
            for setting in stored["settings"]
        )
        estimate = stored["estimate"]
        execution = ExecutionPlan(**stored["execution"])
        return cls(stored["n_structures"], settings, execution, estimate["seconds"], estimate["batch_bytes"])


def make_plan(study: Study, device: str, can_compile: bool, threads: int) -> Plan:
    """Plan a study for a `device`, where `can_compile` says whether native code can be made there.

    `threads` are the threads of one task. Compilation is worth it where the forecast of what it saves exceeds what
    it costs.
    """
    settings, works = [], []
    for setting in study.settings:
        regime = registry().get("regimes", setting.stages[0].regime.type)
        spec = setting.stages[0]
        bounds = regime.rounds(spec.regime, study.space, spec.optimizer.restarts)
        rounds = []
        for index, bound in enumerate(bounds):
            planned, work = plan_round(study, setting, regime, bound, index)
            rounds.append(planned)
            works.append(work)
        settings.append(SettingPlan(setting.values, tuple(rounds)))
    eager = sum(work.training_seconds(False, threads) for work in works)
    compiled = sum(work.training_seconds(True, threads) + work.compilation_seconds() for work in works)
    wanted = study.spec.compute.compile
    compiles = can_compile and (compiled < eager if wanted == "auto" else wanted)
    dtype = study.spec.compute.dtype
    covariance = study.spec.posterior.weights.covariance
    return Plan(
        study.space.count,
        tuple(settings),
        ExecutionPlan(device, dtype, compiles, threads),
        compiled if compiles else eager,
        max(
            planned.members_per_batch * work.cost.bytes(dtype, covariance)
            for planned, work in zip((each for setting in settings for each in setting.rounds), works, strict=True)
        ),
    )


def plan_round(study: Study, setting: Setting, regime: Any, bound: RoundBound, index: int) -> tuple[RoundPlan, Work]:
    """One round with its batches, and the work it is."""
    spec, graph = setting.stages[0], study.graph
    assignments = [dict(chosen) for chosen in study.space.shape_assignments()]
    costs = [
        member_cost(graph, graph.node_shapes(chosen), stage, study.dataset.n_train, bound.relaxed)
        for chosen in assignments
        for stage in setting.stages
    ]
    dearest = max(costs, key=lambda cost: cost.values + cost.weights**0.5)
    most = min(members_per_batch(dearest, spec), max(1, bound.most))
    alone = spec.posterior.weights.covariance == "full" and not bound.relaxed
    if bound.exact and index == 0:
        candidates = regime.decide(spec.regime, study.space, spec.optimizer.restarts, 0, [])
        slots = len(make_batches(graph, candidates, most, alone))
    else:
        kinds = min(bound.most, study.space.count if alone else len(assignments))
        slots = most_batches(bound.most, kinds, most)
    programs = min(slots, study.space.count if alone else len(assignments)) * len(setting.stages)
    steps = tuple(stage.optimizer.inner.steps for stage in setting.stages)
    functions = dearest.functions if alone else sum(len(edge.functions) for edge in graph.edges)
    work = Work(dearest, bound.most, slots, programs, functions, sum(steps))
    return RoundPlan(bound.name, bound.relaxed, bound.most, bound.exact, most, slots, steps), work
