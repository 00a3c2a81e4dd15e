"""Runs that remove single weights: the regime `weight_pruning`, and curves of relevance after training."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import studies
import torch

from structflow.builtin.regimes.weight_pruning import WeightPruning, WeightPruningOptions
from structflow.errors import CallError, SpecError
from structflow.plugins import Candidate, MemberRecord, Parent, Removal
from structflow.report.text import print_summary
from structflow.results.run import Run
from structflow.runner.decided import StoredMember, trainings
from structflow.spec.structures import StructureSpace

FULL = {"weights": {"covariance": "full"}}
SHARES = [0.3, 0.6]


def pruned(**sections: Any) -> dict[str, Any]:
    """The small study under `weight_pruning`: 9 weights a structure (2·2 + 2 and 2 + 1), of which 3 and 5 go."""
    regime = {"type": "weight_pruning", "criterion": "graves", "shares": SHARES, "tolerance": None}
    return studies.spec(**{"regime": regime, **sections})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return studies.run(pruned(), tmp_path_factory.mktemp("pruned") / "run")


def trained_rounds(run: Run) -> list[list[StoredMember]]:
    """The members of every round."""
    tasks = trainings(run.context.plan, 0)
    by_round = itertools.groupby(tasks, key=lambda task: task.round)
    return [[each for task in same for each in studies.trained(run, task.name)] for _, same in by_round]


def masks_of(member: StoredMember) -> dict[str, np.ndarray]:
    """1 for every weight that is kept, 0 for the others, by the names of their means."""
    return {
        name.replace("/kept/", "/mean/"): kept.ravel()
        for name, kept in member.arrays.items()
        if name.startswith("parameter/kept/")
    }


def test_weights_go_round_by_round(run: Run) -> None:
    """All 9 weights of both structures, then 6 and 4 of the better one; what was removed stays removed, at zero."""
    rounds = trained_rounds(run)
    left = [[each.found.removal.left for each in members if each.found.removal] for members in rounds]
    assert left == [[9] * 4, [6] * 2, [4] * 2]
    assert len({each.candidate.structure for each in rounds[1]}) == 1
    before: dict[int, dict[str, np.ndarray]] = {}
    for members in rounds[1:]:
        for each in members:
            masks = masks_of(each)
            for name, kept in masks.items():
                assert set(np.unique(kept)) <= {0.0, 1.0}
                mean = each.arrays[name].ravel()
                assert (mean[kept == 0] == 0).all()
                assert (mean[kept == 1] != 0).all()
                if before:
                    assert (kept <= before[each.candidate.restart][name]).all()
        before = {each.candidate.restart: masks_of(each) for each in members}


def test_the_order_is_that_of_the_criterion_on_the_parent(run: Run) -> None:
    """Of the members of round 1 the three weights of the least |μ|/√α in round 0 are gone."""
    whole, pruned_once, *_ = trained_rounds(run)
    parents = {(each.candidate.structure, each.candidate.restart): each.arrays for each in whole}
    for member in pruned_once:
        parent, masks = parents[member.candidate.structure, member.candidate.restart], masks_of(member)
        ratio = [np.abs(parent[name]) / np.exp(parent[name.replace("/mean/", "/log_sd/")]) for name in masks]
        least = np.argsort(np.concatenate([each.ravel() for each in ratio]))[:3]
        assert sorted(np.flatnonzero(np.concatenate(list(masks.values())) == 0).tolist()) == sorted(least.tolist())


def test_rounds_are_shown_with_what_is_left(run: Run) -> None:
    stages = run.summary["stages"]
    assert [stage["round"] for stage in stages] == ["whole", "without-0.3", "without-0.6"]
    assert [stage["removal"]["left"] for stage in stages] == [9, 6, 4]
    assert all(math.isfinite(stage["removal"]["metrics"]["test"]["rmse"]) for stage in stages)


def test_a_module_and_predictions_have_the_weights_at_zero(tmp_path: Path) -> None:
    """log p(y, w) with a prior of variance 10⁶ rises by 7.8 nats for each of the 5 of 9 weights that go: 4 are left.

    The module has 5 zeros, and predicts what the run does, whose posterior is a point.
    """
    regime = {"type": "weight_pruning", "criterion": "optimal_brain_damage", "shares": [0.55], "tolerance": None}
    sections = {"objective": {"preset": "map"}, "prior": {"weights": {"precision": 1e-6}}}
    found = studies.run(pruned(regime=regime, **sections), tmp_path / "run")
    assert found.summary["stages"][1]["removal"]["left"] == 4
    pruned_one = found.pruned()
    module = pruned_one.module(torch.float64)
    assert sum(int((value == 0).sum()) for value in module.parameters()) == 5
    inputs = found.context.study.dataset.test()[0]
    expected = pruned_one.predict(inputs).mean
    np.testing.assert_allclose(module(torch.from_numpy(inputs)).detach().numpy(), expected, rtol=1e-9, atol=1e-9)


def test_pruned_networks_have_a_table_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ranking and the mixture are those of the run without pruning, whatever the pruned network's score is.

    With a prior of variance 10⁶ every weight that goes adds log(10³ √(2π)) = 7.8 nats to log p(y, w): the pruned one
    is ahead by tens of nats, and stood at probability 1 beside the whole ones.
    """
    sections = {"objective": {"preset": "map"}, "prior": {"weights": {"precision": 1e-6}}}
    regime = {"type": "weight_pruning", "criterion": "optimal_brain_damage", "shares": [0.55], "tolerance": None}
    whole = studies.run(studies.spec(**sections), tmp_path / "whole")
    found = studies.run(pruned(regime=regime, **sections), tmp_path / "pruned")
    assert [entry["structure"] for entry in found.ranking] == [entry["structure"] for entry in whole.ranking]
    for one, other in zip(found.ranking, whole.ranking, strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=0.05)
        assert "pruned" not in one
    assert math.fsum(entry["probability"] for entry in found.ranking) == pytest.approx(1)
    (entry,) = found.summary["pruned"]
    assert entry["score"] > found.ranking[0]["score"] + 20
    assert dict(entry["pruned"]) == {"criterion": "optimal_brain_damage", "share": 0.55, "weights": 9, "left": 4}
    assert "probability" not in entry
    assert {tuple(part.structure["x->h"]) for part in found.predictor.parts} <= {("dense:tanh",), ("dense:relu",)}
    assert all((value != 0).all() for value in found.best.module().parameters())
    best = found.pruned()
    assert (best.score, math.isnan(best.probability)) == (entry["score"], True)
    assert best.metrics["test"] == entry["metrics"]["test"]
    with pytest.raises(CallError, match="1 pruned networks"):
        found.pruned(2)
    with pytest.raises(CallError, match="no pruned networks"):
        whole.pruned()
    assert (entry["restarts"], entry["restart_agreement"]) == (2, pytest.approx(agreement_of(found)))
    assert best.converged is entry["converged"] is False
    assert entry["still_gaining"] > 0.1
    stored = found.dataset["setting_0/pruned"]
    assert stored["left"].values.tolist() == [4]
    assert float(stored["score"][0]) == pytest.approx(entry["score"])
    assert "pruned_0" in found.dataset["setting_0/posterior"]
    monkeypatch.setenv("COLUMNS", "60")
    print_summary(found.summary, 5)
    shown = " ".join(capsys.readouterr().out.split())
    assert "4 of 9" in shown
    assert shown.count("conditional on which weights were removed") == 1  # whatever the number of parts
    table = shown.partition("networks with pruned weights")[2]
    assert "* " in table.partition("4 of 9")[0]
    assert "*: not converged, more steps would raise it" in table


def agreement_of(run: Run) -> float:
    """The share of the two restarts within a nat of the better one, from the records of the last round."""
    scores = [each.found.score for each in trained_rounds(run)[1]]
    return sum(score >= max(scores) - 1 for score in scores) / len(scores)


def test_restarts_of_a_pruned_network_are_those_of_its_share(run: Run) -> None:
    """Two restarts, of which every share has its own members: of two shares it said four."""
    (entry,) = run.summary["pruned"]
    assert entry["restarts"] == 2
    assert entry["restart_agreement"] in (0.5, 1.0)


def test_it_stops_when_the_score_falls() -> None:
    """Scores −10 (whole), −10.5 and −12: within 1 nat the next round goes on, after −12 it passes through."""
    space = studies.study(studies.spec()).space
    structure = next(iter(space))
    options = WeightPruningOptions(shares=(0.2, 0.4, 0.6))
    records = [record(structure, 0, -10.0)]
    first = WeightPruning.decide(options, space, 1, 1, records)
    assert first.candidates == [
        Candidate(structure, 0, parent=Parent(0, structure, None, 0), removed=Removal("graves", 0.2))
    ]
    records.append(record(structure, 1, -10.5))
    assert len(WeightPruning.decide(options, space, 1, 2, records).candidates) == 1
    records.append(record(structure, 2, -12.0))
    assert WeightPruning.decide(options, space, 1, 3, records).candidates == []
    patient = WeightPruningOptions(shares=(0.2, 0.4, 0.6), tolerance=None)
    assert len(WeightPruning.decide(patient, space, 1, 3, records).candidates) == 1


def record(structure: Any, round_index: int, score: float) -> MemberRecord:
    return MemberRecord(Candidate(structure, 0), round_index, score, score)


def test_only_the_best_structures_lose_weights() -> None:
    space: StructureSpace = studies.study(studies.spec()).space
    one, two = space
    records = [record(one, 0, -10.0), record(two, 0, -9.0)]
    for most, expected in ((1, [two]), (2, [two, one])):
        options = WeightPruningOptions(structures=most)
        assert [c.structure for c in WeightPruning.decide(options, space, 1, 1, records).candidates] == expected


def test_curves_are_in_the_summary_and_the_arrays(tmp_path: Path) -> None:
    """One structure's curves for two criteria and three shares; the order has every weight once."""
    relevance = {"criteria": ["graves", "belsley"], "shares": [0, 0.5, 1], "samples": 8, "input_noise": [0.5]}
    found = studies.run(studies.spec(relevance=relevance, posterior=FULL), tmp_path / "run")
    (entry,) = found.summary["relevance"]
    assert entry["structure"] == found.ranking[entry["rank"] - 1]["structure"]
    for curve in entry["criteria"].values():
        assert curve["removed"] == [0, 4, 9]  # round(4.5) is even
        assert (
            len(curve["bound"])
            == len(curve["metrics"]["test"]["rmse"])
            == len(curve["input_noise"]["0.5"]["rmse"])
            == 3
        )
    same = [curve["bound"][2] for curve in entry["criteria"].values()]
    assert same[0] == pytest.approx(same[1])
    arrays = found.dataset[f"setting_0/relevance/structure_{entry['rank'] - 1}"]
    assert dict(arrays.sizes) == {"criterion": 2, "share": 3, "weight": 9, "input_noise": 1}
    assert [sorted(row) for row in arrays["removed_at"].values.tolist()] == [list(range(9))] * 2
    assert arrays["test_rmse"].sel(criterion="graves").values.tolist() == pytest.approx(
        entry["criteria"]["graves"]["metrics"]["test"]["rmse"]
    )
    assert studies.run(studies.spec(), tmp_path / "none").summary["relevance"] == []


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"relevance": {"criteria": ["belsley"]}}, "posterior.weights.type: got diagonal"),
        ({"relevance": {"criteria": ["graves", "graves"]}}, "'graves' is listed before"),
        ({"relevance": {"criteria": ["graves"], "shares": [0.5, 0.2]}}, "expected shares that rise"),
        (
            {
                "relevance": {"criteria": ["graves"]},
                "objective": {"preset": "map"},
                "prior": {"weights": {"precision": 1.0}},
            },
            "posterior.weights.type: got point",
        ),
        ({"regime": {"type": "weight_pruning", "criterion": "gravis"}}, "there is no criterion 'gravis'"),
        ({"regime": {"type": "weight_pruning", "criterion": "belsley"}}, "posterior.weights.type: got diagonal"),
    ],
)
def test_what_can_t_be_is_refused(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message.replace("(", "\\(")):
        studies.study(studies.spec(**sections))


def test_weights_removed_from_a_linear_model_stay_at_zero(tmp_path: Path) -> None:
    """It is trained in coordinates that mix its weights; the module of its means predicts what the mixture does."""
    edge = {"from": "x", "to": "y", "basis": [{"type": "polynomial", "degree": 4}]}
    found = studies.run(
        pruned(
            model=studies.model([edge]),
            regime={"type": "weight_pruning", "criterion": "graves", "shares": [0.5], "tolerance": None},
            optimizer={"inner": {"steps": 60, "lr": 0.02}, "restarts": 1},
        ),
        tmp_path / "run",
    )
    (member,) = trained_rounds(found)[1]
    masks = masks_of(member)
    assert sum(int((kept == 0).sum()) for kept in masks.values()) == 4  # of 2·4 + 1 weights, rounded down
    for name, kept in masks.items():
        assert not member.arrays[name].ravel()[kept == 0].any()
