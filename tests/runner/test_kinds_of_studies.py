"""Every part of the spec language that changes how a run goes, in small runs from spec to ranking."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import studies

from structflow.spec.structures import Structure

LINEAR = studies.model([{"from": "x", "to": "y", "basis": ["linear"]}])


def structures(run) -> set[Structure]:
    return {Structure.from_dict(entry["structure"]) for entry in run.ranking}


def trained(run, task: str = "setting0-round0-batch0-stage0-train") -> dict[str, np.ndarray]:
    return studies.arrays(run, task)


def test_enumeration_with_shapes(tmp_path):
    """Every structure of the space is ranked once, with both restarts."""
    edges = [
        studies.EDGE,
        studies.LAST,
        {"from": "x", "to": "k", "basis": ["linear"]},
        {"from": "k", "to": "y", "choose": "one", "basis": ["linear", "dense"]},
    ]
    document = studies.spec(model=studies.model(edges, h={"shape": {"choose": [[1], [4]]}}, k={"shape": [2]}))
    run = studies.run(document, tmp_path / "run")
    assert structures(run) == set(run.context.study.space)
    assert {tuple(entry["structure"]["h"]) for entry in run.ranking} == {(1,), (4,)}
    assert all(entry["restarts"] == 2 for entry in run.ranking)


def test_the_evidence_regime_trains_what_its_restarts_round_to(tmp_path):
    """`relaxed` has the bound and q(Γ); `ranking` the distinct rounded structures, with shares that add up to one."""
    document = studies.spec(
        model=studies.model([studies.EDGE, studies.LAST, studies.SKIP], h={"shape": [2]}),
        regime={"type": "evidence"},
        optimizer={"inner": {"steps": 40}, "restarts": 4},
    )
    run = studies.run(document, tmp_path / "run")
    relaxed = run.summary["relaxed"]
    rounded = {Structure.from_dict(item) for item in relaxed["rounded"]}
    assert structures(run) == rounded
    assert len(relaxed["rounded"]) == len(relaxed["restarts"]) == 4
    assert set(relaxed) >= {"bound", "q_probability"}  # DESIGN 7
    assert sum(relaxed["q_probability"]["x->h"].values()) == pytest.approx(1)
    assert set(relaxed["q_probability"]["x->y"]) == {"skip"}
    assert relaxed["c_struct"] > 0  # an entropy of what is still open
    assert sum(entry["restart_agreement"] for entry in run.ranking) == pytest.approx(1)
    best = int(np.argmax(relaxed["restarts"]))
    assert run.dataset["setting_0/relaxed/restarts"]["score"].values[best] == max(relaxed["restarts"])
    probability = run.dataset["setting_0/relaxed/edge x->h"]["probability"]
    assert probability.dims == ("basis",)
    assert dict(zip(probability["basis"].values.tolist(), probability.values.tolist(), strict=True)) == pytest.approx(
        relaxed["q_probability"]["x->h"]
    )


def test_a_sweep_has_an_entry_for_each_setting(tmp_path):
    """Blocks are crossed, keys within a block go together; `ranking` is the first setting's (DESIGN 5, 7)."""
    document = {
        **studies.spec(model=LINEAR),
        "sweep": [
            {"prior.weights.precision": [1.0, 100.0], "seed": [1, 2]},
            {"optimizer.inner.lr": [0.01, 0.02]},
        ],
    }
    run = studies.run(document, tmp_path / "run")
    settings = run.summary["settings"]
    assert [setting["values"] for setting in settings] == [
        {"prior.weights.precision": precision, "seed": seed, "optimizer.inner.lr": rate}
        for precision, seed in ((1.0, 1), (100.0, 2))
        for rate in (0.01, 0.02)
    ]
    assert run.ranking == settings[0]["ranking"]
    assert all({"values", "ranking"} <= set(setting) for setting in settings)
    assert all(len(setting["ranking"]) == 1 for setting in settings)
    evidence = [setting["ranking"][0]["log_evidence"] for setting in settings]
    assert abs(evidence[0] - evidence[2]) > 0.01  # another prior, another evidence
    assert {f"setting_{number}" for number in range(4)} == set(run.dataset.children)


def test_one_setting_of_a_sweep_is_the_study_of_its_values(tmp_path):
    """Sweep lists enter no noise key: the second setting is what a spec with its values gives."""
    swept = studies.run({**studies.spec(), "sweep": [{"optimizer.inner.lr": [0.01, 0.05]}]}, tmp_path / "swept")
    document = studies.spec(optimizer={"inner": {"steps": 30, "lr": 0.05}, "restarts": 2})
    alone = studies.run(document, tmp_path / "alone")
    assert swept.summary["settings"][1]["ranking"] == alone.ranking


def test_the_second_stage_starts_where_the_first_ended(tmp_path):
    """A second stage that doesn't move ends with the parameters of the first, and its bound begins near there."""
    stages = [{"optimizer": {"inner": {"steps": 200, "lr": 0.05}}}, {"optimizer": {"inner": {"steps": 5, "lr": 1e-9}}}]
    run = studies.run({**studies.spec(), "stages": stages}, tmp_path / "run")
    first = trained(run)
    second = trained(run, "setting0-round0-batch0-stage1-train")
    for name in (name for name in first if name.startswith("parameter/")):
        np.testing.assert_allclose(second[name], first[name], atol=1e-6, rtol=1e-6, err_msg=name)
    bound = {
        number: sum(
            sign * arrays[f"trajectory/{term}"]
            for sign, term in ((1, "log_likelihood"), (-1, "kl_weights"), (-1, "kl_structure"))
        )
        for number, arrays in ((1, first), (2, second))
    }
    climbed = bound[1][-20:].mean(0) - bound[1][0]
    assert np.all(climbed > 5)
    assert np.all(np.abs(bound[2].mean(0) - bound[1][-20:].mean(0)) < 0.3 * climbed)
    single = studies.run(
        studies.spec(optimizer={"inner": {"steps": 200, "lr": 0.05}, "restarts": 2}), tmp_path / "single"
    )
    for name, value in trained(single).items():
        np.testing.assert_array_equal(value, first[name], err_msg=name)


def test_each_stage_has_its_own_settings(tmp_path):
    """The trajectory of each stage has its own steps; results name both."""
    stages = [{"optimizer": {"inner": {"steps": 4}}}, {"optimizer": {"inner": {"steps": 7, "samples": 2}}}]
    run = studies.run({**studies.spec(), "stages": stages}, tmp_path / "run")
    group = run.dataset["setting_0/trajectory/enumerate"]
    assert [group[f"stage_{number}"].sizes["step"] for number in (0, 1)] == [4, 7]


def test_minibatches(tmp_path):
    """Batches of 10 of 30 rows train another way to a similar model, twice to the same bits."""
    document = studies.spec(optimizer={"inner": {"steps": 60, "batch_size": 10}, "restarts": 2})
    run, again = studies.run(document, tmp_path / "run"), studies.run(document, tmp_path / "again")
    assert studies.digests(run.path) == studies.digests(again.path)
    whole = studies.run(studies.spec(optimizer={"inner": {"steps": 60}, "restarts": 2}), tmp_path / "whole")
    assert run.ranking[0]["log_evidence"] != whole.ranking[0]["log_evidence"]
    assert run.ranking[0]["log_evidence"] == pytest.approx(whole.ranking[0]["log_evidence"], abs=15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes(tmp_path, dtype):
    run = studies.run(studies.spec(compute={"compile": False, "dtype": dtype}), tmp_path / "run")
    assert json.loads((run.path / "plan.json").read_text())["execution"]["dtype"] == dtype
    assert run.summary["status"] == "finished"


def test_single_and_double_precision_agree(tmp_path):
    """To the 1e-4 that issue-level checks allow float32, relative to the evidence."""
    single = studies.run(studies.spec(), tmp_path / "single")
    double = studies.run(studies.spec(compute={"compile": False, "dtype": "float64"}), tmp_path / "double")
    twins = {Structure.from_dict(entry["structure"]): entry for entry in double.ranking}
    for entry in single.ranking:
        twin = twins[Structure.from_dict(entry["structure"])]
        assert entry["log_evidence"] == pytest.approx(twin["log_evidence"], rel=1e-4)


@pytest.mark.parametrize(
    ("likelihood", "formula", "metric"),
    [("poisson", "exp(x0)", "rmse"), ("bernoulli", "x0 > 0", "accuracy")],
)
def test_likelihoods_of_counts_and_events(tmp_path, likelihood, formula, metric):
    """Targets made from x0 alone: counts ⌊exp(x0)⌋ and signs; the fitted mean orders rows as x0 does."""
    x = np.random.default_rng(1).normal(size=(60, 2))
    y = np.floor(np.exp(x[:, 0])) if likelihood == "poisson" else (x[:, 0] > 0).astype(float)
    np.savez(tmp_path / "table.npz", x=x, y=y)
    document = studies.spec(
        data={"source": "npz", "path": str(tmp_path / "table.npz"), "split": {"test": 0.25}},
        model={**LINEAR, "likelihood": {"type": likelihood}},
        optimizer={"inner": {"steps": 200, "lr": 0.05}, "restarts": 1},
        robustness={"weights": [0.5], "samples": 4},
    )
    run = studies.run(document, tmp_path / "run")
    found = run.ranking[0]["metrics"]["test"]
    assert metric in found
    assert 0 <= found["calibration_error"] < 0.5
    noisy = run.ranking[0]["robustness"]["test"]["weights"]["0.5"]
    assert set(noisy) == set(found) - {"calibration_error"}
    assert noisy["log_likelihood"] < found["log_likelihood"]
    mean = run.predict(x).mean[:, 0]
    assert np.corrcoef(mean, x[:, 0])[0, 1] > 0.6


def test_everything_diverged(tmp_path):
    """DESIGN 7: an empty ranking, status failed, a warning; the records are all there."""
    document = studies.spec(optimizer={"inner": {"steps": 30, "lr": 1e30}, "restarts": 2})
    run = studies.run(document, tmp_path / "run")
    assert run.ranking == []
    assert run.summary["status"] == "failed"
    warning = next(each for each in run.summary["warnings"] if each.startswith("4 of 4 members diverged"))
    when = r"4 of 4 members diverged and were left out, the first at step [1-9]\d*"
    assert re.fullmatch(f"{when}; try a smaller optimizer.inner.lr", warning)
    found = [each.found for each in studies.trained(run)]
    assert all(each.diverged_at >= 0 for each in found)
    assert [each.score for each in found] == [None] * 4
    assert run.dataset["setting_0/ranking"].sizes["structure"] == 0
    assert np.isnan(run.dataset["setting_0/restarts"]["score"].values).all()


def test_everything_diverged_in_the_evidence_regime(tmp_path):
    document = studies.spec(regime={"type": "evidence"}, optimizer={"inner": {"steps": 30, "lr": 1e30}, "restarts": 2})
    run = studies.run(document, tmp_path / "run")
    assert (run.ranking, run.summary["relaxed"], run.summary["status"]) == ([], None, "failed")


def test_one_setting_that_diverged_leaves_the_others(tmp_path):
    document = {**studies.spec(), "sweep": [{"optimizer.inner.lr": [0.01, 1e30]}]}
    run = studies.run(document, tmp_path / "run")
    assert run.summary["status"] == "finished"
    assert len(run.ranking) == 2
    assert run.summary["settings"][1]["ranking"] == []
    assert any(
        warning.startswith("optimizer.inner.lr 1e+30: 4 of 4 members diverged") for warning in run.summary["warnings"]
    )


def test_a_member_that_diverges_leaves_the_others(tmp_path):
    """exp(w x) of inputs near 10^3 overflows; the linear function beside it is ranked as if it were alone."""
    x = np.linspace(-2000.0, 2000.0, 40)[:, None]
    np.savez(tmp_path / "table.npz", x=x, y=x[:, 0] / 2000)
    data = {"source": "npz", "path": str(tmp_path / "table.npz"), "standardize": {"inputs": False}}
    both = [{"type": "linear"}, {"type": "dense", "activation": "exp"}]
    edge = {"from": "x", "to": "y", "choose": "one", "basis": both}
    run = studies.run(studies.spec(data=data, model=studies.model([edge])), tmp_path / "run")
    assert run.summary["status"] == "finished"
    (entry,) = run.ranking
    assert entry["structure"] == {"x->y": ["linear"]}
    assert entry["probability"] == 1.0
    warning = next(each for each in run.summary["warnings"] if each.startswith("2 of 4 members diverged"))
    assert "at step 0: the objective isn't finite where training starts" in warning
    assert "data.standardize" in warning
    assert "lr" not in warning  # no learning rate can help
    alone = studies.model([{"from": "x", "to": "y", "choose": "one", "basis": [{"type": "linear"}]}])
    expected = studies.run(studies.spec(data=data, model=alone), tmp_path / "alone").ranking[0]["log_evidence"]
    assert entry["log_evidence"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_a_structure_without_anything_to_learn(tmp_path, covariance):
    """`zero` under fixed noise has no parameters at all: its evidence is the likelihood of y = 0."""
    document = studies.spec(
        data={"source": "synthetic", "rows": 20, "inputs": 2, "formula": "x0", "standardize": {"targets": False}},
        model={
            "likelihood": {"type": "gaussian", "noise": 0.5},
            **studies.model([{"from": "x", "to": "y", "basis": ["zero", "linear"]}]),
        },
        prior={"weights": {"precision": 1.0}},
        posterior={"weights": {"covariance": covariance}},
    )
    run = studies.run(document, tmp_path / "run")
    found = {entry["structure"]["x->y"][0]: entry["log_evidence"] for entry in run.ranking}
    y = run.context.study.dataset.targets
    assert found["zero"] == pytest.approx(float(np.sum(-0.5 * (y / 0.5) ** 2 - np.log(0.5 * np.sqrt(2 * np.pi)))))
