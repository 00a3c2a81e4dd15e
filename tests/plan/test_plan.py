"""What a plan says before anything is trained: counts, tasks, bounds and what `auto` becomes."""

from __future__ import annotations

import itertools
import json

import pytest
import studies
from regime_records import number_from, play

from structflow.plan.batching import Batch, make_batches
from structflow.plan.cost import BATCH_BYTES
from structflow.plan.plan import Plan, make_plan, with_open_set
from structflow.plugins import Candidate, MemberRecord
from structflow.plugins.registry import registry
from structflow.spec.searched import searched_space
from structflow.store.records import BatchRecord

LARGE = {
    "data": {"source": "synthetic", "rows": 404, "inputs": 13, "formula": "tanh(x0)", "noise": 0.5},
    "model": studies.model([studies.EDGE, studies.LAST], h={"shape": [50]}),
    "optimizer": {"inner": {"steps": 2000}, "restarts": 64},
    "compute": {},
}


def test_counts_of_an_enumeration():
    """2 activations × 2 widths × with or without skip = 8 structures; 3 restarts; 3 batches a width."""
    plan = studies.plan(studies.wide())
    assert (plan.n_structures, plan.n_members, plan.exact) == (8, 24, True)
    (setting,) = plan.settings
    (planned,) = setting.rounds
    assert (planned.members, planned.members_per_batch, planned.slots, planned.steps) == (24, 4, 6, (30,))
    assert sorted(task.kind for task in plan.tasks()) == sorted(
        ["decide"] + ["train"] * 6 + ["select"] + ["evaluate"] * 6
    )


def test_counts_of_a_sweep_with_stages():
    """A sweep multiplies settings, stages multiply training tasks."""
    document = {
        **studies.wide(),
        "sweep": [{"seed": [0, 1, 2]}],
        "stages": [{"optimizer": {"inner": {"steps": 5}}}, {"optimizer": {"inner": {"steps": 7}}}],
    }
    plan = studies.plan(document)
    assert (plan.n_structures, plan.n_members, len(plan.settings)) == (8, 3 * 24, 3)
    assert len(list(plan.tasks())) == 3 * (1 + 2 * 6 + 1 + 6)
    assert [stage["steps"] for stage in plan.as_json()["stages"]] == [5, 7] * 3


def test_tasks_come_after_their_parents_and_have_names_of_their_own():
    document = {**studies.wide(), "regime": {"type": "evidence"}, "stages": [{}, {}], "sweep": [{"seed": [0, 1]}]}
    document["model"] = studies.model([studies.EDGE, studies.LAST], h={"shape": [2]})
    seen = set()
    for task in studies.plan(document).tasks():
        assert task.name not in seen
        assert all(parent.name in seen for parent in task.parents)
        seen.add(task.name)


@pytest.mark.parametrize("most", [1, 4, 7, 10])
@pytest.mark.parametrize("restarts", [1, 3, 5])
def test_bounds_of_the_evidence_regime_bound(restarts, most):
    """Whatever the relaxed restarts round to, the second round has no more members and batches than planned."""
    document = studies.spec(
        model=studies.model([studies.EDGE, studies.LAST, studies.SKIP], h={"shape": [2]}),
        regime={"type": "evidence"},
        optimizer={"inner": {"steps": 3}, "restarts": restarts},
        compute={"compile": False, "members_per_batch": most},
    )
    study, plan = studies.study(document), studies.plan(document)
    assert plan.exact is (restarts == 1)  # one restart rounds to one structure
    planned = plan.settings[0].rounds[1]
    regime = registry().get("regimes", "evidence")
    for rounded in itertools.product(list(study.space), repeat=min(restarts, 3)):
        records = [
            MemberRecord(Candidate(None, number), 0, 0.0, 0.0, structure) for number, structure in enumerate(rounded)
        ]
        candidates = regime.decide(None, study.space, restarts, 1, records).candidates
        assert len(candidates) <= planned.members
        assert len(make_batches(study.graph, candidates, most)) <= planned.slots


def test_a_single_structure_is_exact_even_in_the_evidence_regime():
    document = studies.spec(
        model=studies.model([{"from": "x", "to": "y", "basis": ["linear"]}]), regime={"type": "evidence"}
    )
    assert studies.plan(document).exact is True


def test_a_plan_is_what_its_json_says():
    for document in (studies.wide(), {**studies.spec(), "sweep": [{"optimizer.inner.lr": [0.1, 0.01]}]}):
        plan = studies.plan(document)
        stored = json.loads(json.dumps(plan.as_json()))
        assert Plan.from_json(stored).as_json() == plan.as_json()


def test_a_plan_takes_no_time_for_a_huge_space():
    """2^40 subsets are counted, not listed."""
    functions = [{"type": "polynomial", "degree": number} for number in range(40)]
    document = studies.spec(
        model=studies.model([{"from": "x", "to": "y", "choose": "any", "basis": functions}]),
        regime={"type": "evidence"},
    )
    assert studies.plan(document).n_structures == 2**40


@pytest.mark.parametrize(("width", "rows"), [(5, 100), (50, 404), (500, 5000)])
def test_auto_keeps_a_batch_within_its_memory(width, rows):
    """As many members as fit; the forecast of the whole batch is what the plan prints."""
    document = studies.spec(
        **{
            **LARGE,
            "data": {"source": "synthetic", "rows": rows, "inputs": 13, "formula": "x0", "noise": 0.5},
            "model": studies.model([studies.EDGE, studies.LAST], h={"shape": [width]}),
            "optimizer": {"inner": {"steps": 2000}, "restarts": 1000},
        }
    )
    plan = studies.plan(document)
    planned = plan.settings[0].rounds[0]
    assert planned.members_per_batch >= 1
    assert plan.batch_bytes <= BATCH_BYTES
    assert plan.as_json()["estimate"]["batch_bytes"] == plan.batch_bytes
    assert planned.members_per_batch * planned.slots >= planned.members


def test_compile_is_chosen_where_it_pays():
    """Seconds of training aren't worth a compilation; many minutes are. A wish of the spec stands."""
    small, large = studies.study({**studies.spec(), "compute": {}}), studies.study(studies.spec(**LARGE))
    assert make_plan(small, "cpu", True, 1).execution.compile is False
    assert make_plan(large, "cpu", True, 1).execution.compile is True
    wanted = studies.study({**studies.spec(), "compute": {"compile": True}})
    assert make_plan(wanted, "cpu", True, 1).execution.compile is True
    assert make_plan(wanted, "cpu", False, 1).execution.compile is False  # no compiler: it runs all the same
    refused = studies.study(studies.spec(**{**LARGE, "compute": {"compile": False}}))
    assert make_plan(refused, "cpu", True, 1).execution.compile is False


REGIMES = [
    {"type": "growth"},
    {"type": "growth", "beam": 3, "max_structures": 5},
    {"type": "growth", "form": "continuous", "points": 3},
    {"type": "pruning"},
    {"type": "pruning", "finalists": 3, "max_rounds": 2},
    {"type": "pruning", "form": "continuous", "points": 2},
    {"type": "evidence"},
    {"type": "enumeration"},
    {"type": "evidence", "open": {"x->h": ["dense:tanh"]}},
]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("most", [1, 3, 8])
@pytest.mark.parametrize("regime", REGIMES, ids=json.dumps)
def test_no_round_has_more_members_or_batches_than_planned(regime, most, seed):
    """With random scores and probabilities every round is decided and cut; a plan that says exact is met exactly."""
    shapes = {"shape": {"choose": [[2], [3]]}} if regime in REGIMES[:2] else {"shape": [2]}
    document = studies.spec(
        model=studies.model([studies.EDGE, studies.LAST, studies.SKIP], h=shapes),
        regime=regime,
        optimizer={"inner": {"steps": 3}, "restarts": 3},
        compute={"compile": False, "members_per_batch": most},
    )
    study, plan = studies.study(document), studies.plan(document)
    options = study.spec.regime
    space = searched_space(study.space, options)

    def finish(candidate, index):
        score = float(number_from(candidate.restart, index, str(candidate.structure), seed) % 50)
        if candidate.structure is not None:
            return MemberRecord(candidate, index, score, score)
        chances = {
            edge.key: {name: number_from(name, candidate.restart, index, seed) % 100 / 100 for name in edge.names}
            for edge in space.edges
        }
        left = space if candidate.open is None else space.restricted(candidate.open)
        rounded = left.round([[chances[edge.key][name] for name in edge.names] for edge in left.edges])
        return MemberRecord(candidate, index, score, score, rounded, chances)

    keys = {key: value for key, value in options.model_dump().items() if key != "type"}
    decisions = play(options.type, space, 3, finish, **keys)
    (setting,) = plan.settings
    assert setting.regime == options.type
    for planned, decision in zip(setting.rounds, decisions, strict=True):
        batches = make_batches(study.graph, with_open_set(decision, study.space, options).candidates, most)
        assert len(batches) <= planned.slots
        for batch in batches:
            text = batch.record([("key",)] * len(batch.members)).model_dump_json()
            assert Batch.of_record(BatchRecord.model_validate_json(text)) == batch
    trained = {each.structure for decision in decisions for each in decision.candidates if each.structure is not None}
    assert len(trained) <= plan.n_structures == space.count
