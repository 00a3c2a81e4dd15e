"""Every regime and form in a small run from spec to results: who was trained, from where, under which settings."""

from __future__ import annotations

import json

import numpy as np
import pytest
import studies
import torch

from structflow.plan.tasks import Task
from structflow.plugins import Candidate, Decision, Parent
from structflow.runner import run_task
from structflow.runner.decided import decided_batch, decided_batches
from structflow.runner.populations import trained_populations
from structflow.runner.train import fresh_start, inherited
from structflow.spec.structures import OpenSet, Structure

MODEL = studies.model([studies.EDGE, studies.LAST, studies.SKIP], h={"shape": [2]})
"""Two activations, with and without a skip connection: 4 structures."""

PRUNING = {"type": "pruning", "tolerance": 1e6, "finalists": 0}
"""No fall of the score exceeds the tolerance."""

TRAIN = "setting0-round{}-batch0-stage0-train"


def document(regime, steps=20, restarts=2, **sections):
    optimizer = {"inner": {"steps": steps}, "restarts": restarts}
    return studies.spec(model=MODEL, regime=regime, optimizer=optimizer, **sections)


def decisions(run):
    context = run.context
    rounds = range(len(context.plan.settings[0].rounds))
    batches = [decided_batches(context.directory, 0, index) for index in rounds]
    members = [[member for decided in each for member in decided.members] for each in batches]
    return [Decision(members[index], context.against(0, index)) for index in rounds]


def trained_structures(run) -> set[Structure]:
    return {each.structure for decision in decisions(run) for each in decision.candidates if each.structure is not None}


def assert_ranking_lists_everything_trained(run, restarts=2):
    """Once each, with all of its restarts."""
    ranked = [Structure.from_dict(entry["structure"]) for entry in run.ranking]
    assert len(ranked) == len(set(ranked))
    assert set(ranked) == trained_structures(run)
    assert all(entry["restarts"] == restarts for entry in run.ranking)
    assert sum(entry["probability"] for entry in run.ranking) == pytest.approx(1)
    groups = run.dataset["setting_0/trajectory"]
    names = [each.name for each in run.context.plan.settings[0].rounds]
    assert set(groups.children) == {
        name for name, decision in zip(names, decisions(run), strict=True) if decision.candidates
    }


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    return studies.run(document({"type": "growth", "max_rounds": 2}), tmp_path_factory.mktemp("grown") / "run")


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    return studies.run(document(PRUNING), tmp_path_factory.mktemp("pruned") / "run")


def test_growth_trains_neighbours_of_the_best(grown):
    """relu without skip is first by name among the two simplest; its neighbours are tanh, and relu with skip."""
    first, second = decisions(grown)[:2]
    (simplest,) = {each.structure for each in first.candidates}
    assert dict(simplest.edges) == {"x->h": ("dense:relu",), "h->y": ("linear",), "x->y": ()}
    assert {each.structure for each in second.candidates} == set(grown.context.study.space.neighbours(simplest))
    assert_ranking_lists_everything_trained(grown)
    assert grown.summary["relaxed"] is None
    scores = [each.found.score for each in studies.trained(grown)]
    parent = Parent(0, simplest, None, int(np.argmax(scores)))
    assert {(each.restart % 2, each.parent) for each in second.candidates} == {(0, parent), (1, None)}


def start_of(run, task: Task) -> tuple[dict[str, torch.Tensor], object]:
    """The parameters that a batch starts with, and its bound."""
    context = run.context
    spec = context.round_stages(task.setting, task.round)[0]
    batch = decided_batch(context.directory, task).batch
    bound = context.bound(context.population(batch, spec), spec)
    return bound.labelled(inherited(context, task, bound, fresh_start(context, task, bound))), bound


def labelled(trained) -> dict[str, torch.Tensor]:
    """The parameters of a population, by label."""
    return trained.bound.labelled(trained.parameters)


def test_children_start_at_their_parent_s_arrays(grown):
    """To the last bit: the weights into y of children with a parent are those the simplest structure ended with."""
    parent = labelled(next(trained_populations(grown.context, 0, 0)))
    started, bound = start_of(grown, Task("train", 0, 1))
    origin = decisions(grown)[1].candidates[0].parent.restart
    members = bound.population.members
    children = [number for number, each in enumerate(members) if each.parent is not None]
    assert len(children) == len(members) // 2  # the others start afresh
    for name in ("mean/h->y/linear", "log_sd/h->y/linear"):
        for number in children:
            torch.testing.assert_close(started[name][number], parent[name][origin], rtol=0, atol=0)
    for number in children:
        assert started["log_precision"][number] == parent["log_precision"][origin]
    relu = bound.population.groups[[group.name for group in bound.population.layout.groups].index("x->h/dense:relu")]
    slots = [int(relu.positions[number]) for number in children if "relu" in str(members[number])]
    assert slots
    kept = [slot for slot in slots if slot < len(relu.slots)]
    for slot in kept:
        weights = started["mean/x->h/dense:relu"][slot]
        torch.testing.assert_close(weights, parent["mean/x->h/dense:relu"][origin], rtol=0, atol=0)


def test_pruning_drops_one_function_a_round(pruned):
    """2 functions can be dropped, so 3 relaxed rounds and one that discretises."""
    plan = pruned.context.plan.settings[0].rounds
    assert [each.name for each in plan] == ["prune-0", "prune-1", "prune-2", "discretise"]
    *relaxed, last = decisions(pruned)
    left = [decision.candidates[0].open for decision in relaxed]
    counts = [sum(len(names) for _, names in each.edges) for each in left[1:]]
    assert left[0] is None
    assert counts == [3, 2]  # of x->h, h->y and x->y with 2 + 1 + 1 functions
    assert all(each.parent.restart == each.restart for each in relaxed[1].candidates)
    assert {each.parent for each in last.candidates} == {None}
    assert_ranking_lists_everything_trained(pruned)


def test_relaxed_results_are_those_of_the_last_relaxed_round(pruned):
    """Closed functions have probability 0, and the only one left of an edge that chooses one has 1."""
    relaxed = pruned.summary["relaxed"]
    left = dict(decisions(pruned)[2].candidates[0].open.edges)
    assert len(left["x->h"]) == 1
    (kept,) = left["x->h"]
    assert relaxed["q_probability"]["x->h"] == {name: float(name == kept) for name in ("dense:tanh", "dense:relu")}
    assert relaxed["q_probability"]["x->y"] == {"skip": 0.0}
    found = [each.found for each in studies.trained(pruned, "setting0-round2-batch0-stage0-train")]
    assert relaxed["restarts"] == [each.score for each in found]
    assert relaxed["rounded"] == [each.rounded for each in found]
    structure = Structure.from_dict(relaxed["rounded"][0])
    assert dict(structure.edges)["x->h"] == (kept,)
    task = Task("train", 0, 2)
    started, _ = start_of(pruned, task)
    parent = labelled(next(trained_populations(pruned.context, 0, 1)))
    torch.testing.assert_close(started["mean/h->y/linear"], parent["mean/h->y/linear"], rtol=0, atol=0)


def kl_at_the_end(run, name: str) -> float:
    group = run.dataset[f"setting_0/trajectory/{name}/stage_0"]
    return float(group["kl_weights"].isel(step=slice(-5, None)).mean())


@pytest.mark.thorough
def test_paths_train_under_their_metaparameters(tmp_path):
    """Growth begins at c_reg = 100 and pruning at 1, from the same start: 100 keeps weights nearer to their prior."""
    ends = {}
    for type_name, values in (("growth", [100.0, 1.0]), ("pruning", [1.0, 100.0])):
        regime = {"type": type_name, "form": "continuous", "points": 2}
        run = studies.run(document(regime, steps=60), tmp_path / type_name)
        rounds = run.context.plan.settings[0].rounds
        assert [each.name for each in rounds] == ["path-0", "path-1", "discretise"]
        specs = [run.context.round_stages(0, index)[-1] for index in range(3)]
        assert [spec.objective.c_reg for spec in specs] == pytest.approx([*values, 1.0])
        assert [spec.objective.c_prior for spec in specs] == pytest.approx([*values, 1.0])
        second = decisions(run)[1].candidates
        assert second == [Candidate(None, restart, parent=Parent(0, None, None, restart)) for restart in (0, 1)]
        assert_ranking_lists_everything_trained(run)
        found = [each for index in range(2) for each in studies.trained(run, TRAIN.format(index))]
        rounded = {Structure.from_dict(each.found.rounded) for each in found}
        assert trained_structures(run) == rounded
        stored = json.loads((run.path / "plan.json").read_text())["stages"]
        moved = [dict.fromkeys(("c_reg", "c_prior"), pytest.approx(value)) for value in values]
        assert [stage["metaparameters"] for stage in stored] == [*moved, {}]
        ends[type_name] = kl_at_the_end(run, "path-0")
    assert ends["growth"] < ends["pruning"]


@pytest.mark.parametrize("type_name", ["enumeration", "evidence", "growth", "pruning"])
def test_no_regime_trains_what_isn_t_open(tmp_path, type_name):
    """Only relu is open: 2 structures, with and without skip, and the plan says so."""
    regime = {"type": type_name, "open": {"x->h": ["dense:relu"]}}
    run = studies.run(document(regime, steps=5), tmp_path / "run")
    assert run.summary["n_structures"] == 2
    assert {entry["structure"]["x->h"][0] for entry in run.ranking} == {"dense:relu"}
    relaxed = [each for decision in decisions(run) for each in decision.candidates if each.structure is None]
    whole = OpenSet((("x->h", ("dense:relu",)), ("h->y", ("linear",)), ("x->y", ("skip",))))
    assert not relaxed or relaxed[0].open == whole


def test_an_interrupted_run_continues(pruned, tmp_path, monkeypatch):
    """It fails at its sixth task; the same call does the rest, and ends with the same records."""
    perform, calls = run_task.perform, []

    def fail_once(context, task, slots):
        calls.append(task.name)
        if len(calls) == 6:
            raise RuntimeError("out of luck")
        return perform(context, task, slots)

    monkeypatch.setattr(run_task, "perform", fail_once)
    with pytest.raises(RuntimeError, match="out of luck"):
        studies.run(document(PRUNING), tmp_path / "run")
    studies.run(document(PRUNING), tmp_path / "run")
    assert len(calls) == len(set(calls)) + 1
    assert studies.digests(tmp_path / "run") == studies.digests(pruned.path)


@pytest.mark.thorough
def test_workers_find_the_same(tmp_path):
    """Growth from a line to a parabola: the second round's tasks read what other processes trained."""
    functions = [{"type": "linear", "name": "line"}, {"type": "polynomial", "degree": 2, "name": "parabola"}]
    model = studies.model([{"from": "x", "to": "y", "choose": "one", "basis": functions}])
    grown = studies.spec(model=model, regime={"type": "growth"})
    called = studies.call("run", studies.write(grown, tmp_path), "--workers", 1, "-o", "run", cwd=tmp_path)
    assert called.returncode == 0, called.stderr
    here = studies.run(grown, tmp_path / "here")
    assert studies.digests(tmp_path / "run") == studies.digests(here.path)
    second = decisions(here)[1].candidates
    assert [dict(each.structure.edges)["x->y"] for each in second] == [("parabola",)] * 2
    assert [each.parent is not None for each in second] == [True, False]  # every second restart starts afresh


def test_a_repulsive_enumeration_is_repelled_from_what_it_found(tmp_path):
    """Three visits whether or not one repeats: each is `against` what the best objectives before it rounded to."""
    regime = {"type": "enumeration", "form": "repulsive", "visits": 3, "stop_at_repeat": False}
    sections = {"objective": {"c_comb": -20}, "prior": {"structure": {"learned": True}}}
    run = studies.run(document(regime, **sections), tmp_path / "run")
    assert [each.name for each in run.context.plan.settings[0].rounds] == [
        "repel-0",
        "repel-1",
        "repel-2",
        "discretise",
    ]
    found = []
    for index, decision in enumerate(decisions(run)[:3]):
        assert decision.against == tuple(dict.fromkeys(found))
        members = [each.found for each in studies.trained(run, TRAIN.format(index))]
        best = max(members, key=lambda each: each.objective)
        found.append(Structure.from_dict(best.rounded))
    assert best.objective != best.score  # Q has the divergence, the score has all c = 1
    assert trained_structures(run) == set(found)
    assert_ranking_lists_everything_trained(run)


def test_everything_diverged_passes_through_all_rounds(tmp_path):
    """No record to go on from: later rounds are empty, the run fails with the number of members trained."""
    sections = {"optimizer": {"inner": {"steps": 20, "lr": 1e30}, "restarts": 2}}
    for type_name in ("growth", "pruning"):
        run = studies.run({**document({"type": type_name}), **sections}, tmp_path / type_name)
        assert (run.ranking, run.summary["relaxed"], run.summary["status"]) == ([], None, "failed")
        assert [len(decision.candidates) for decision in decisions(run)][1:] == [0] * (len(decisions(run)) - 1)
        assert any(warning.startswith("2 of 2 members diverged") for warning in run.summary["warnings"])
