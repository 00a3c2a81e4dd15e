"""Every reader compares what it reads with what was written, refuses with 3, and says which command repairs it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import studies

import structflow
from structflow.errors import StorageError
from structflow.results.read import list_runs
from structflow.results.run import Run
from structflow.store.array_file import load_arrays
from structflow.store.own_folder import OwnFolder

SPEC = studies.spec(
    optimizer={"inner": {"steps": 5}, "restarts": 1},
    evidence={"samples": 4},
    relevance={"criteria": ["graves"], "samples": 2},
)


def change_a_digit(path: Path) -> None:
    """The last one: JSON stays JSON, and a chunk a chunk."""
    content = path.read_bytes()
    places = [place for place, byte in enumerate(content) if byte in b"0123456789"]
    place = places[-1]
    digit = bytes([content[place] ^ 1])
    path.write_bytes(content[:place] + digit + content[place + 1 :])


def change_a_value(path: Path) -> None:
    """The last bit of the first number of the inputs, or of a parameter."""
    arrays, _ = load_arrays(OwnFolder(path.parent), path.name)
    array = next(
        array for name, array in arrays.items() if array.size and (name.startswith("parameter/") or name == "inputs")
    )
    value, content = array.tobytes(), path.read_bytes()
    assert value in content
    path.write_bytes(content.replace(value, bytes([value[0] ^ 1]) + value[1:], 1))


def readers(run: Path, spec: Path, rows: Path) -> dict[str, tuple]:
    """Commands by what they read of a finished run."""
    figure, table = run.parent / "figure.png", run.parent / "out.csv"
    extended = spec.with_name("extended.yaml")
    return {
        "show": ("show", run),
        "show --json": ("show", run, "--json"),
        "plot": ("plot", run, "-o", figure),
        "plot --structure": ("plot", run, "--structure", "-o", figure),
        "plot --relevance": ("plot", run, "--relevance", "-o", figure),
        "predict": ("predict", run, rows, "-o", table),
        "predict --best": ("predict", run, rows, "-o", table, "--best"),
        "run": ("run", spec, "-o", run, "--quiet"),
        "extend": ("run", extended, "-o", run, "--quiet"),
        "resume": ("resume", run, "--quiet"),
    }


OWN = ("records", "members", "evaluations", "checkpoints")
"""Folders of what tasks found."""

READ_BY = {
    "summary.json": ["show", "show --json", "plot", "plot --structure", "plot --relevance", "predict", "run", "resume"],
    "settings.json": ["plot --structure", "predict", "predict --best", "extend", "resume"],
    "plan.json": ["predict", "predict --best", "run", "extend", "resume"],
    "run.json": ["predict", "run", "extend"],
    "data.npz": ["predict", "predict --best", "resume"],
    "result.zarr": ["run", "resume"],
    "members": ["predict", "predict --best"],
}
"""What is damaged, and the commands that would use it."""


@pytest.mark.parametrize("damaged", READ_BY)
def test_nothing_that_was_changed_is_used(cli, run, tmp_path, damaged):
    """Exit code 3, the very file, and what to do; nothing is written."""
    spec = studies.write(SPEC, tmp_path)
    studies.write({**SPEC, "optimizer": {**SPEC["optimizer"], "restarts": 2}}, tmp_path, "extended.yaml")
    (tmp_path / "rows.csv").write_text("x0,x1\n0.5,1\n")
    path = {
        "result.zarr": run / "result.zarr" / "setting_0" / "ranking" / "score" / "c" / "0",
        "members": next((run / "members").glob("*.npz")),
    }.get(damaged, run / damaged)
    if damaged == "result.zarr":
        path.unlink()  # Zarr reads it as NaN
    elif damaged in ("data.npz", "members"):
        change_a_value(path)
    else:
        change_a_digit(path)
    before = {each: each.stat().st_mtime_ns for each in run.rglob("*") if each.name != "run.lock"}
    for name in READ_BY[damaged]:
        called = cli(*readers(run, spec, tmp_path / "rows.csv")[name])
        assert called.code == 3, (name, called)
        assert str(path) in called.err, (name, called.err)
        repairable = damaged in ("summary.json", "result.zarr", "members")
        remedy = f"structflow verify {run} --repair" if repairable else "run the spec in a new directory (-o)"
        assert remedy in called.err, (name, called.err)
    assert {each: each.stat().st_mtime_ns for each in run.rglob("*") if each.name != "run.lock"} == before
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "figure.png").exists()


def test_what_the_error_says_can_be_done(cli, run):
    """The command in the message repairs it."""
    change_a_digit(run / "summary.json")
    err = cli("show", run).err
    command = err.rpartition("structflow ")[2].split()
    assert command == ["verify", str(run), "--repair"]
    assert cli(*command).code == 0
    assert cli("show", run).code == 0


def test_from_python(run):
    """The dataset, the ranking, predictions, and the module of the best."""
    shutil.copytree(run, run.with_name("whole"))
    chunk = run / "result.zarr" / "setting_0" / "ranking" / "score" / "c" / "0"
    chunk.unlink()
    with pytest.raises(StorageError, match=f"{chunk} is missing"):
        _ = Run(run).dataset
    assert np.isfinite(Run(run.with_name("whole")).dataset["setting_0/ranking"]["score"].values).all()
    change_a_digit(run / "summary.json")
    for read in (lambda: Run(run).ranking, lambda: Run(run).best, lambda: Run(run).predict([[0.0, 0.0]])):
        with pytest.raises(StorageError, match=r"summary\.json no longer holds what was written"):
            read()
    opened = Run(run.with_name("whole"))
    change_a_digit(opened.path / "settings.json")
    with pytest.raises(StorageError, match=r"settings\.json no longer holds what was written"):
        opened.best.module()


def test_a_chunk_that_was_added_is_no_better_than_one_that_was_lost(run):
    """Zarr leaves chunks of nothing but the fill value out: a file at the place of one would be read."""
    array = run / "result.zarr" / "setting_0" / "timing" / "seconds" / "c"
    shutil.copy(array / "0", array / "1")
    with pytest.raises(StorageError, match=f"{array / '1'} was added to the results"):
        _ = Run(run).dataset


def test_a_damaged_run_is_one_line_of_a_list(cli, run, finished, tmp_path):
    """And so is one with a link, one of an earlier version, and one whose summary is of another shape."""
    for name in ("a-whole", "b-changed", "c-linked", "d-plan", "e-old", "f-fifo"):
        shutil.copytree(finished, tmp_path / "runs" / name)
    runs = tmp_path / "runs"
    change_a_digit(runs / "b-changed" / "summary.json")
    (runs / "c-linked" / "plan.json").unlink()
    (runs / "c-linked" / "plan.json").symlink_to(runs / "a-whole" / "plan.json")
    change_a_digit(runs / "d-plan" / "plan.json")
    manifest = runs / "e-old" / "opening.manifest.json"
    manifest.write_text(manifest.read_text().replace("manifest 3", "manifest 2"))
    (runs / "f-fifo" / "summary.json").unlink()
    os.mkfifo(runs / "f-fifo" / "summary.json")
    rows = list_runs(runs)
    assert [row.run for row in rows] == ["a-whole", "b-changed", "c-linked", "d-plan", "e-old", "f-fifo"]
    assert [row.status for row in rows] == ["finished", *["damaged"] * 5]
    assert "summary.json no longer holds what was written" in rows[1].problem
    assert "earlier version" in rows[4].problem
    shown = cli("list", runs)
    assert shown.code == 0
    assert [line.split()[1:2] for line in shown.out.splitlines()].count(["damaged"]) == 5
    assert f"structflow verify {runs / 'b-changed'}" in shown.out.replace("\n", "")


def test_a_run_of_an_earlier_version_is_refused_in_one_sentence(cli, run):
    for name in ("opening", "result", "data"):
        path = run / f"{name}.manifest.json"
        path.write_text(path.read_text().replace("manifest 3", "manifest 2"))
    spec = studies.write(SPEC, run.parent)
    for command in (("show", run), ("verify", run), ("gc", run), ("run", spec, "-o", run), ("resume", run)):
        called = cli(*command)
        assert called.code == 3
        assert called.out == ""
        assert called.err == (
            f"error: {run / 'opening.manifest.json'} is of a run of an earlier version of structflow, which stored "
            "members differently; this version can't read it: run the spec in a new directory (-o)\n"
        )


def test_damage_to_a_certificate_is_noticed(cli, run, tmp_path):
    """And to where a streamed table is found: files that no manifest lists prove themselves."""
    from structflow.store.run_directory import RunDirectory

    directory = RunDirectory(run)
    directory.write_sealed("certificate.json", {"largest": 1.5, "of": [1, 2]})
    assert directory.read_sealed("certificate.json") == {"largest": 1.5, "of": [1, 2]}
    change_a_digit(run / "certificate.json")
    called = cli("show", run)
    assert called.code == 3
    assert f"{run / 'certificate.json'} is damaged" in called.err
    assert "structflow certify" in called.err


def test_damage_while_a_run_is_continued(run, cli, tmp_path):
    """Unfinished, with a changed digit of its settings: it isn't carried on under other settings."""
    (run / "summary.json").unlink()
    (run / "records" / "setting0-select.json").unlink()
    change_a_digit(run / "settings.json")
    called = cli("run", studies.write(SPEC, tmp_path), "-o", run, "--quiet")
    assert called.code == 3
    assert "settings.json no longer holds what was written" in called.err
    assert not (run / "records" / "setting0-select.json").exists()


FILES_A_TASK = 8


def test_a_task_leaves_few_files(tmp_path):
    """24 batches of one member: 24 to train and to evaluate, one decision, one selection; all that is left is counted.

    A record and the file of its arrays are 2; the run's own files and `result.zarr` add their share.
    """
    document = studies.spec(
        model=studies.model([{"from": "x", "to": "y", "basis": ["linear"]}]),
        optimizer={"inner": {"steps": 2}, "restarts": 24},
        evidence={"samples": 2},
        compute={"compile": False, "members_per_batch": 1, "checkpoint_seconds": 0},
    )
    run = structflow.run(document, tmp_path / "run")
    tasks = len(studies.records(run.path))
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert tasks == 50
    assert len(files) / tasks <= FILES_A_TASK
    own = [path for path in files if path.relative_to(run.path).parts[0] in OWN]
    assert len(own) <= 2 * tasks
