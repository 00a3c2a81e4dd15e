"""What people read: tables that fit a terminal, whole names, ties, warnings and a figure."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import studies
import summaries

from structflow.errors import CallError
from structflow.report.figure import save_ranking_figure
from structflow.report.progress import StepCounter
from structflow.report.text import print_findings, print_plan, print_runs, print_summary
from structflow.results.models import SettingSummary, Summary
from structflow.results.read import RunRow
from structflow.runner.doctor import Finding
from structflow.runner.progress import Progress
from structflow.store.run_directory import RunDirectory


def entry(rank: int, name: str, width: int, tied: bool = False) -> dict:
    found = summaries.ranking_entry(
        {"x->h": [name], "h->y": ["linear"], "x->y": [] if rank % 2 else ["skip"], "h": [width]},
        -1234.5 - rank,
        rank=rank,
        score_se=0.25,
        evidence={"elbo": -1234.5 - rank},
        probability=0.5**rank,
        tied_with_best=tied,
        restart_agreement=0.75,
        metrics={"train": {"rmse": 1.0, "log_likelihood": -1.0}, "test": {"rmse": 1.25, "log_likelihood": None}},
    )
    return found.model_dump()


RANKING = [entry(number, f"dense:softplus{number}", number * 10, number == 2) for number in range(1, 13)]
SUMMARY = summaries.summary(ranking=RANKING, warnings=["one thing to know"]).model_dump()


def show(summary: dict, most: int) -> None:
    print_summary(Summary.model_validate(summary), most)


def test_a_summary_fits_80_columns(capsys, monkeypatch):
    """Names of choices are never cut; edges without a choice are left out; a tie is marked."""
    monkeypatch.setenv("COLUMNS", "80")
    show(SUMMARY, most=10)
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "dense:softplus1 " in out
    assert "10 of 12 structures" in out
    assert "h->y" not in out
    assert any(line.split()[0] == "2=" for line in out.splitlines() if line.split())
    assert "1234.5" not in out
    assert "-1235.50" in out
    assert "warning: one thing to know" in out


def with_calibration(summary: dict) -> dict:
    """Every structure with a calibration error of 0.0625 on both kinds of rows."""
    changed = copy.deepcopy(summary)
    for each in changed["ranking"]:
        for metrics in each["metrics"].values():
            metrics["calibration_error"] = 0.0625
    return changed


def with_many_choices(summary: dict) -> dict:
    """Seven choices, of which the last two are the same in the first four structures."""
    changed = copy.deepcopy(summary)
    for number, each in enumerate(changed["ranking"]):
        each["structure"] = {
            "x->h1": ["dense:relu" if number % 2 else "dense:tanh"],
            "x->h2": ["dense:softplus" if number % 3 else "dense:tanh"],
            "h1->y": ["linear"] if number % 4 else [],
            "x->y": ["linear", "polynomial:2"] if number % 3 else [],
            "h1": [10 * number + 5],
            "h2->y": ["linear"] if number < 4 else ["polynomial:2"],
            "h2": [3 if number < 4 else 4],
        }
    return changed


@pytest.mark.parametrize("columns", [80, 200])
def test_many_choices_are_stacked_where_they_do_not_fit(capsys, monkeypatch, columns):
    """Neither a choice nor a metric is cut or left out; what all rows share is said once, below them."""
    monkeypatch.setenv("COLUMNS", str(columns))
    summary = with_many_choices(SUMMARY)
    for each in summary["ranking"]:
        each["metrics"]["test"]["log_likelihood"] = -1.125
    show(summary, most=4)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= columns for line in lines)
    assert not any("…" in line for line in lines)
    row = next(line for line in lines if line.split()[:1] == ["2="])
    assert "dense:relu" in row
    assert row.split()[-2:] == ["1.250", "-1.125"]
    assert any("linear + polynomial:2" in line for line in lines)
    assert any("x->y linear + polynomial:2" in line for line in lines) == (columns == 80)
    assert "in all rows shown: h2->y linear, h2 3" in lines
    assert any(line.startswith("nats ± standard error; =: ties") for line in lines)
    assert "∅: none, or without effect" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_wide_tables_of_numbers_are_printed_in_parts(capsys, monkeypatch, columns):
    """Of eight estimators none is cut."""
    monkeypatch.setenv("COLUMNS", str(columns))
    summary = copy.deepcopy(SUMMARY)
    names = [f"estimator{number}(samples=20)" for number in range(8)]
    for each in summary["ranking"]:
        each["evidence"] = {name: -1000.5 - number for number, name in enumerate(names)}
        each["evidence_se"] = dict.fromkeys(names, 0.25)
    show(summary, most=2)
    out = capsys.readouterr().out
    assert all(len(line) <= columns for line in out.splitlines()) or columns == 40  # the ranking itself needs more
    for number in range(8):
        assert f"estimator{number}" in out
        assert f"-{1000.5 + number:.2f} ± 0.25" in out


@pytest.mark.parametrize(("columns", "shown"), [(80, False), (100, True)])
def test_the_calibration_error_is_shown_where_it_fits(capsys, monkeypatch, columns, shown):
    """Three choices leave no room for it in 80 columns; nothing else is left out."""
    monkeypatch.setenv("COLUMNS", str(columns))
    show(with_calibration(SUMMARY), most=9)
    out = capsys.readouterr().out
    assert all(len(line) <= columns for line in out.splitlines())
    assert ("0.06250" in out) == ("calib." in out) == shown
    assert "log lik." in out
    assert "dense:softplus1 " in out


def test_one_choice_leaves_room_for_the_calibration_error(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    summary = with_calibration(SUMMARY)
    for each in summary["ranking"]:
        each["structure"] = {"x->h": each["structure"]["x->h"]}
    show(summary, most=10)
    out = capsys.readouterr().out
    assert "0.06250" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_metrics_under_noise_are_a_table_of_the_best_structure(capsys, monkeypatch):
    """Test rows if there are any; a line without noise first; nothing where the spec doesn't ask for it."""
    monkeypatch.setenv("COLUMNS", "80")
    show(SUMMARY, most=3)
    assert "noise" not in capsys.readouterr().out
    summary = copy.deepcopy(SUMMARY)
    noisy = {
        "inputs": {"0.5": {"rmse": 2.5, "log_likelihood": -3.0}},
        "weights": {"1": {"rmse": 9.0, "log_likelihood": None}},
    }
    summary["ranking"][0]["robustness"] = {"train": noisy, "test": noisy}
    show(summary, most=3)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["structure", "1", "under", "noise"] in lines
    assert lines.index(["nothing", "1.250"]) < lines.index(["inputs", "0.5", "2.500", "-3.000"])
    assert ["weights", "1", "9.000"] in lines


def test_text_without_a_terminal_is_not_cut(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    summary = copy.deepcopy(SUMMARY)
    for each in summary["ranking"]:
        each["structure"]["x->h"] = ["a_function_with_a_long_name_" + each["structure"]["x->h"][0]]
    show(summary, most=3)
    assert "a_function_with_a_long_name_dense:softplus3" in capsys.readouterr().out


def test_names_with_brackets_are_not_markup(capsys):
    summary = copy.deepcopy(SUMMARY)
    for number, each in enumerate(summary["ranking"]):
        each["structure"]["x->h"] = [f"[bold]f{number}"]
    summary["warnings"] = ["the list [1, 2] of [red]"]
    show(summary, most=3)
    out = capsys.readouterr().out
    assert "[bold]f0" in out
    assert "[1, 2] of [red]" in out


def test_a_part_of_the_possible_structures(capsys):
    """It is said to be a part, and what all of it has in common is named."""
    show({**SUMMARY, "ranking": SUMMARY["ranking"][:1]}, most=10)
    out = capsys.readouterr().out
    assert "1 of 1 structure in the ranking; 12 are possible" in out
    assert "x->h: dense:softplus1 " in out


def test_settings_are_named(capsys):
    shared = {name: SUMMARY[name] for name in SettingSummary.model_fields if name in SUMMARY}
    settings = [{**shared, "values": {"seed": seed}} for seed in (0, 1)]
    show({**SUMMARY, "settings": settings}, most=3)
    out = capsys.readouterr().out
    assert out.index("setting: seed 0") < out.index("dense:softplus1") < out.index("setting: seed 1")


def test_metrics_keep_their_zeros(capsys):
    """1.25 and 14 with four digits each, so that columns line up."""
    summary = copy.deepcopy(SUMMARY)
    summary["ranking"][0]["metrics"]["test"]["rmse"] = 14
    show(summary, most=3)
    out = capsys.readouterr().out
    assert "14.00" in out
    assert "1.250" in out


def test_an_empty_ranking(capsys):
    show({**SUMMARY, "ranking": [], "status": "failed"}, most=10)
    assert "run study: failed" in capsys.readouterr().out


def test_a_plan_with_bounds_says_so(capsys):
    print_plan(studies.plan({**studies.spec(), "regime": {"type": "evidence"}}))
    out = capsys.readouterr().out
    assert "≤" in out
    assert "discretise" in out


def test_runs(capsys):
    print_runs([RunRow("a", "unfinished")], Path("runs"))
    assert "unfinished" in capsys.readouterr().out


def test_progress_counts_each_task_once(tmp_path):
    """30 steps for each of 6 batches, 100 for each of 8 other tasks; late or repeated news changes nothing."""
    plan = studies.plan(studies.wide())
    counter = StepCounter(plan, RunDirectory(tmp_path))
    assert (counter.total, counter.completed, counter.finished) == (6 * 30 + 8 * 100, 0, 0)
    counter.hear(Progress("setting0-round0-batch0-stage0-train", 20))
    counter.hear(Progress("setting0-round0-batch0-stage0-train", 10))
    assert counter.completed == 20
    for task in plan.tasks():
        counter.hear(Progress(task.name, 0, finished=True))
        counter.hear(Progress(task.name, 0, finished=True))
    assert counter.completed == counter.total
    assert counter.finished == 6 + 8


def test_a_figure_of_many_structures_and_of_one(tmp_path):
    for number, ranking in enumerate((RANKING, RANKING[:1])):
        target = tmp_path / f"{number}.png"
        save_ranking_figure(summaries.summary(ranking=ranking), tmp_path, target)
        assert target.read_bytes().startswith(b"\x89PNG")


def test_no_figure_of_nothing(tmp_path):
    with pytest.raises(CallError, match="no structure has a rank"):
        save_ranking_figure(summaries.summary(), tmp_path, tmp_path / "a.png")


def test_findings_keep_the_extras_of_packages(capsys):
    """`structflow[plot]` holds a bracket."""
    print_findings([Finding("plot", True, "missing: no figures", "pip install 'structflow[plot]'")])
    assert "pip install 'structflow[plot]'" in capsys.readouterr().out
