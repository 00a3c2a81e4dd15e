"""`Run.predict` and `Run.best`: the mixture, the single structure, and the draws of y."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
import studies
import summaries

from structflow.errors import CallError
from structflow.results import prediction as prediction_module
from structflow.results.prediction import Prediction
from structflow.results.run import Run

X = np.random.default_rng(0).normal(size=(7, 2))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two activations of nearly one probability, targets far from 0 and in large units."""
    data = {"source": "synthetic", "rows": 40, "inputs": 2, "formula": "500 + 9 * x0", "noise": 30}
    return studies.run(studies.spec(data={**data, "split": {"test": 0.25}}), tmp_path_factory.mktemp("runs") / "r")


def run_with(likelihood: str, formula: str, folder: Path) -> Run:
    data = {"source": "synthetic", "rows": 60, "inputs": 2, "formula": formula}
    model = {**studies.spec()["model"], "likelihood": likelihood}
    return studies.run(studies.spec(data=data, model=model), folder)


def assert_equal(first: Prediction, second: Prediction) -> None:
    for name in ("mean", "standard_deviation", "samples"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_best_is_the_first_of_the_ranking(run: Run) -> None:
    first = run.ranking[0]
    assert run.best.structure == first["structure"]
    assert run.best.log_evidence == first["log_evidence"]
    assert run.best.log_evidence_se == first["log_evidence_se"]
    assert run.best.probability == first["probability"] > 0.5
    assert run.best.metrics == first["metrics"]
    assert run.ranked(2).structure == run.ranking[1]["structure"]


@pytest.mark.parametrize("rank", [0, 3, -1])
def test_a_rank_beyond_the_ranking_is_refused(run: Run, rank: int) -> None:
    with pytest.raises(CallError, match="ranks from 1 to 2"):
        run.ranked(rank)


def test_the_mixture_weighs_structures_by_probability(run: Run) -> None:
    """E y = Σ p_k m_k, Var y = Σ p_k (v_k + m_k²) − (E y)²."""
    probabilities = np.array([entry["probability"] for entry in run.ranking])
    assert probabilities.min() > 0.01
    parts = [run.ranked(rank).predict(X) for rank in (1, 2)]
    means = np.stack([part.mean for part in parts])
    squares = np.stack([part.standard_deviation**2 + part.mean**2 for part in parts])
    mean = np.einsum("k,kij->ij", probabilities, means)
    variance = np.einsum("k,kij->ij", probabilities, squares) - mean**2
    mixture = run.predict(X)
    np.testing.assert_allclose(mixture.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(mixture.standard_deviation, variance**0.5, rtol=1e-6)


def test_draws_have_the_moments_of_the_prediction(run: Run) -> None:
    """In original units; 4,000 draws have errors of their mean of about sd / 63."""
    for predictor in (run, run.best):
        found = predictor.predict(X, samples=4000)
        assert found.mean.shape == found.standard_deviation.shape == (7, 1)
        assert found.samples.shape == (7, 1, 4000)
        assert (abs(found.mean - 500) < 90).all()
        assert (abs(found.samples.mean(-1) - found.mean) < 4 / 63 * found.standard_deviation).all()
        np.testing.assert_allclose(found.samples.std(-1), found.standard_deviation, rtol=0.06)


def test_a_draw_is_of_one_structure_for_all_rows(run: Run) -> None:
    """Each draw of the mixture is the same draw of one of its structures, the noise included."""
    mixture = run.predict(X, samples=64).samples
    singles = [run.ranked(rank).predict(X, samples=64).samples for rank in (1, 2)]
    equal = np.stack([np.isclose(mixture, single, rtol=1e-12).all(axis=(0, 1)) for single in singles])
    assert equal.any(axis=0).all()
    assert 0 < equal[0].mean() < 1


def test_predictions_follow_from_the_seed(run: Run) -> None:
    """Neither another process, nor the number of draws, nor the rows after them change a draw."""
    found = run.predict(X, samples=16)
    assert_equal(Run(run.path).predict(X, samples=16), found)
    np.testing.assert_allclose(run.predict(X, samples=5).samples, found.samples[..., :5], rtol=1e-12)
    np.testing.assert_allclose(run.predict(X[:3], samples=16).samples, found.samples[:3], rtol=1e-12)
    assert len(np.unique(found.samples)) == found.samples.size


def test_rows_in_pieces_change_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run.predict(X, samples=8)
    monkeypatch.setattr(prediction_module, "MOST_PREDICTED_ROWS", 3)
    pieces = run.predict(X, samples=8)
    np.testing.assert_allclose(pieces.samples, whole.samples, rtol=1e-12)
    np.testing.assert_allclose(pieces.standard_deviation, whole.standard_deviation, rtol=1e-10)


def test_columns_of_a_frame_are_found_by_name(run: Run) -> None:
    """In another order and with one more, for the mixture and the best; what isn't finite is refused by its place."""
    names = list(run.context.study.dataset.input_names)
    frame = pandas.DataFrame(X, columns=names)
    moved = frame[names[::-1]].assign(other="text")
    for predictor in (run, run.best):
        assert_equal(predictor.predict(moved, samples=8), predictor.predict(X, samples=8))
        for value in (np.nan, np.inf, None):
            moved.loc[2, names[0]] = value
            with pytest.raises(CallError, match=rf"input column '{names[0]}' is (nan|inf) in row 3"):
                predictor.predict(moved, samples=8)
        moved = frame[names[::-1]].assign(other="text")
        with pytest.raises(CallError, match=f"there is no column '{names[0]}'"):
            predictor.predict(frame[names[1:]], samples=8)


def test_no_rows_give_no_predictions(run: Run) -> None:
    found = run.predict(X[:0], samples=8)
    assert found.mean.shape == (0, 1)
    assert found.samples.shape == (0, 1, 8)


def test_the_best_prediction_has_the_metrics_of_the_ranking(run: Run) -> None:
    dataset = run.context.study.dataset
    x, y = dataset.test()
    error = run.best.predict(x * dataset.input_scale + dataset.input_shift, samples=16).mean - (
        y * dataset.target_scale + dataset.target_shift
    )
    assert np.sqrt(np.mean(error**2)) == pytest.approx(run.best.metrics["test"]["rmse"], rel=1e-9)


def test_improbable_structures_are_left_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_module, "NEGLIGIBLE", 0.5)
    assert_equal(Run(run.path).predict(X), run.best.predict(X))


def test_a_predictor_outlives_its_run(run: Run, tmp_path: Path) -> None:
    """Pickled, without the rows of the data; the run directory may be gone."""
    copy = Run(Path(shutil.copytree(run.path, tmp_path / "copy")))
    predictor = copy.predictor
    shutil.rmtree(copy.path)
    assert_equal(predictor.predict(X), run.predict(X))
    assert_equal(pickle.loads(pickle.dumps(predictor)).predict(X), run.predict(X))
    assert len(predictor.scaling.inputs) == len(predictor.parts[0].trained.x) == 0


def test_draws_of_classes_point_to_one_class(tmp_path: Path) -> None:
    found = run_with("categorical", "(x0 > 0) + (x1 > 0)", tmp_path / "r").predict(X, samples=4000)
    assert found.mean.shape == (7, 3)
    np.testing.assert_allclose(found.mean.sum(1), 1)
    np.testing.assert_allclose(found.standard_deviation**2, found.mean * (1 - found.mean), rtol=1e-9)
    assert set(np.unique(found.samples)) == {0, 1}
    assert (found.samples.sum(1) == 1).all()
    np.testing.assert_allclose(found.samples.mean(-1), found.mean, atol=0.035)


@pytest.mark.parametrize(("likelihood", "formula"), [("bernoulli", "x0 > 0"), ("poisson", "(x0 > 0) + 2 * (x1 > 0)")])
def test_draws_are_of_the_kind_of_the_targets(likelihood: str, formula: str, tmp_path: Path) -> None:
    found = run_with(likelihood, formula, tmp_path / "r").predict(X, samples=4000)
    assert (found.samples == np.floor(found.samples)).all()
    assert found.samples.min() == 0
    assert (found.samples.max() == 1) == (likelihood == "bernoulli")
    np.testing.assert_allclose(found.samples.mean(-1), found.mean, atol=0.15)
    np.testing.assert_allclose(found.samples.std(-1), found.standard_deviation, rtol=0.15)


def test_wrong_calls_say_what_is_wrong(run: Run) -> None:
    with pytest.raises(CallError, match="expected \\(rows, 2\\)"):
        run.predict(np.zeros((3, 5)))
    with pytest.raises(CallError, match="samples is 0"):
        run.best.predict(X, samples=0)


def test_a_run_without_ranking_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Run(run.path)
    monkeypatch.setitem(failed.__dict__, "summary", summaries.summary())
    for call in (lambda: failed.best, lambda: failed.predict(X)):
        with pytest.raises(CallError, match="no structure has a rank"):
            call()
