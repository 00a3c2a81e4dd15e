"""The estimators: parameters, attributes, targets of all kinds, and what they refuse."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from numpy.random import RandomState
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import structflow
from structflow import StructureClassifier, StructureRegressor, StructureSelector
from structflow.errors import CallError, SpecError
from structflow.plugins import Table
from structflow.plugins.registry import registry
from structflow.results.run import run_study
from structflow.spec.load import study_from_mapping, study_from_table

SMALL = {"spec": {"evidence": {"samples": 8}, "compute": {"compile": False}}, "restarts": 1, "steps": 40, "samples": 64}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 2)) * [1, 20] + [0, 400]
Y = 1000 + 50 * np.tanh(X[:, 0]) + 3 * RNG.normal(size=50)
LABELS = np.array(["cold", "mild", "hot"])[np.digitize(X[:, 0], [-0.5, 0.5])]


def with_model(model: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {**SMALL, "spec": {**SMALL["spec"], "model": model, **sections}}  # type: ignore[dict-item]


LINEAR = {"edges": [{"from": "x", "to": "y", "basis": ["linear"]}]}


def test_the_default_space_is_activation_by_width() -> None:
    fitted = StructureRegressor(**SMALL).fit(X, Y)
    assert isinstance(fitted, StructureSelector)
    assert {(entry["structure"]["x->h"][0], *entry["structure"]["h"]) for entry in fitted.ranking_} == {
        (activation, width) for activation in ("dense:tanh", "dense:relu") for width in (5, 20)
    }
    assert fitted.ranking_[0]["structure"] == fitted.best_structure_ == fitted.best_.structure
    assert sum(entry["probability"] for entry in fitted.ranking_) == pytest.approx(1)
    assert fitted.n_features_in_ == 2
    assert not hasattr(fitted, "feature_names_in_")


def test_parameters_describe_the_space_and_the_training() -> None:
    fitted = StructureRegressor(**{**SMALL, "restarts": 2}, activations=["sin", "gelu"], widths=[3]).fit(X, Y)
    assert {entry["structure"]["x->h"][0] for entry in fitted.ranking_} == {"dense:sin", "dense:gelu"}
    assert {entry["restarts"] for entry in fitted.ranking_} == {2}


def test_predictions_are_in_original_units() -> None:
    fitted = StructureRegressor(**with_model(LINEAR), random_state=1).fit(X, Y)
    mean, deviation = fitted.predict(X, return_std=True)
    assert mean.shape == deviation.shape == Y.shape
    assert fitted.score(X, Y) > 0.7
    assert 1 < deviation.mean() < 50
    np.testing.assert_array_equal(mean, fitted.predict(X))
    found = fitted.posterior_predictive(X[:4])
    assert found.samples.shape == (4, 1, 64)
    np.testing.assert_allclose(fitted.best_.predict(X[:4], samples=64).mean, found.mean)
    module = fitted.best_.module(torch.float64)
    np.testing.assert_allclose(module(torch.from_numpy(X)).detach().numpy()[:, 0], mean, atol=10)


def test_several_targets_keep_their_shape() -> None:
    both = np.column_stack([Y, -Y])
    fitted = StructureRegressor(**with_model(LINEAR)).fit(X, both)
    assert fitted.predict(X).shape == both.shape
    assert fitted.predict(X[:3], return_std=True)[1].shape == (3, 2)
    assert fitted.score(X, both) > 0.7
    assert StructureRegressor(**with_model(LINEAR)).fit(X, both[:, :1]).predict(X).shape == (50, 1)


def test_counts_are_a_likelihood_of_the_regressor() -> None:
    counts = RNG.poisson(np.exp(X[:, 0]))
    fitted = StructureRegressor(**with_model({**LINEAR, "likelihood": "poisson"})).fit(X, counts)
    assert (fitted.predict(X) > 0).all()
    assert (fitted.posterior_predictive(X).samples % 1 == 0).all()


def test_labels_keep_their_type_and_order() -> None:
    fitted = StructureClassifier(**{**SMALL, "steps": 150}, widths=[3], activations=["tanh"]).fit(X, LABELS)
    assert fitted.classes_.tolist() == ["cold", "hot", "mild"]
    probabilities = fitted.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert fitted.predict(X).tolist() == fitted.classes_[probabilities.argmax(1)].tolist()
    assert fitted.score(X, LABELS) > 0.7


@pytest.mark.parametrize("labels", [[3.0, -1.0], [True, False], ["yes", "no"]])
def test_two_labels_under_bernoulli_have_two_probabilities(labels: list[Any]) -> None:
    y = np.where(X[:, 0] > 0, labels[0], labels[1])
    fitted = StructureClassifier(**with_model({**LINEAR, "likelihood": "bernoulli"})).fit(X, y)
    assert fitted.predict_proba(X).shape == (50, 2)
    np.testing.assert_allclose(fitted.predict_proba(X).sum(1), 1)
    assert fitted.predict(X).dtype == y.dtype
    assert fitted.score(X, y) > 0.8


def test_names_of_columns_are_kept() -> None:
    frame = pandas.DataFrame(X, columns=["wind", "height"])
    fitted = StructureRegressor(**with_model(LINEAR)).fit(frame, Y)
    assert fitted.feature_names_in_.tolist() == ["wind", "height"]
    assert fitted.predictor_.scaling.input_names == ("wind", "height")
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame.rename(columns={"wind": "rain"}))


def test_columns_that_never_vary_are_accepted() -> None:
    """Among the inputs, and the target; one that varies only later is used as it is."""
    constant = np.column_stack([X, np.full(50, 7.0)])
    fitted = StructureRegressor(**with_model(LINEAR)).fit(constant, Y)
    assert np.isfinite(fitted.predict(constant + 1)).all()
    level = StructureRegressor(**with_model(LINEAR)).fit(X, np.full(50, 3.0))
    np.testing.assert_allclose(level.predict(X), 3.0, atol=1.0)


def test_random_state_is_the_seed() -> None:
    def predicted(seed: Any) -> Any:
        return StructureRegressor(**with_model(LINEAR), random_state=seed).fit(X, Y).predict(X[:3]).tolist()

    assert predicted(None) == predicted(0) == predicted(np.int64(0)) != predicted(5)
    assert predicted(RandomState(3)) == predicted(RandomState(3)) != predicted(0)


def test_a_fitted_estimator_is_pickled_and_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fitted = StructureClassifier(**with_model(LINEAR)).fit(X, LABELS)
    assert list(tmp_path.iterdir()) == []
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert pickle.loads(pickle.dumps(again.best_.module())) is not None


def test_it_works_in_searches_and_pipelines() -> None:
    pipeline = make_pipeline(StandardScaler(), StructureRegressor(**with_model(LINEAR)))
    search = GridSearchCV(pipeline, {"structureregressor__steps": [1, 40]}, cv=2).fit(X, Y)
    assert search.best_score_ > 0.5


def test_a_spec_may_search_by_another_regime() -> None:
    edges = [{"from": "x", "to": "y", "choose": "any", "basis": ["linear", {"type": "dense", "activation": "sin"}]}]
    fitted = StructureRegressor(**with_model({"edges": edges}, regime="evidence")).fit(X, Y)
    assert set(fitted.best_structure_["x->y"]) <= {"linear", "dense:sin"}
    assert np.isfinite(fitted.predict(X)).all()


def test_the_given_spec_is_not_changed() -> None:
    spec = {"model": {"likelihood": {"type": "gaussian", "noise": 3.0}}, "compute": {"compile": False}}
    before = repr(spec)
    estimator = StructureRegressor(spec, steps=5, restarts=1, widths=[2])
    estimator.fit(X, Y)
    assert repr(spec) == before
    assert clone(estimator).get_params()["spec"] == spec


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (StructureRegressor(with_model(LINEAR)["spec"], widths=[3]), "spec has edges"),
        (StructureRegressor({"model": {"likelihood": "categorical"}}), "got the likelihood 'categorical'; .*gaussian"),
        (StructureClassifier({"model": {"likelihood": "gaussian"}}), "expected one of .*categorical"),
        (StructureRegressor({"sweep": [{"seed": [1, 2]}]}), "has a sweep"),
        (StructureRegressor({"trackers": ["json_lines"]}), "has trackers"),
    ],
)
def test_what_does_not_fit_together_is_refused(estimator: Any, message: str) -> None:
    with pytest.raises((ValueError, SpecError), match=message):
        estimator.fit(X, Y if isinstance(estimator, StructureRegressor) else LABELS)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="got 1 class, 'a'"):
        StructureClassifier(**SMALL).fit(X, ["a"] * 50)


def test_problems_of_the_spec_are_all_named() -> None:
    with pytest.raises(SpecError) as caught:
        StructureRegressor({"optimizer": {"restart": 2}, "prio": {}}).fit(X, Y)
    assert {problem.path for problem in caught.value.problems} == {"optimizer.restart", "prio"}


def test_divergence_is_an_error_that_says_what_to_do() -> None:
    diverging = {"optimizer": {"inner": {"lr": 1e30}}, "compute": {"compile": False}}
    with pytest.raises(CallError, match=r"1 of 1 members diverged .* at step \d+; try a smaller"):
        StructureRegressor(diverging, steps=30, restarts=1, activations=["exp"], widths=[2]).fit(X, Y)


def test_a_study_of_a_table_can_be_run_and_continued(tmp_path: Path) -> None:
    """The run directory holds the rows, so it needs the table no more."""
    mapping = {"model": LINEAR, "data": {"split": {"test": 0.2}}, "compute": {"compile": False}}
    table = Table(X, Y[:, None], ("a", "b"), ("y",))
    study = study_from_table(mapping, table, ["optimizer.inner.steps=5", "optimizer.restarts=1"])
    assert study.spec.data.source == "memory"
    assert study.dataset.n_train == 40
    run = run_study(study, tmp_path / "run", None, None, lambda progress: None)
    assert structflow.Run(run.path).best.predict(X).mean.shape == (50, 1)


def test_a_spec_by_itself_has_no_rows_in_memory(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"data\.source: 'memory' stands for rows"):
        study_from_mapping({"data": {"source": "memory"}, "model": LINEAR}, tmp_path)


@pytest.mark.parametrize("kind", ["basis_functions", "likelihoods", "regimes", "structure_distributions"])
def test_options_of_plugins_can_be_pickled(kind: str) -> None:
    for registered in registry().of_kind(kind).values():
        options = registered.options()
        again = pickle.loads(pickle.dumps(options))
        assert again == options
        assert type(again) is type(options)
        assert again.model_fields_set == options.model_fields_set
