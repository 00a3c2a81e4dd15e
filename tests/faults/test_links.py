"""Links, devices and other people's files at names that structflow uses: refused by name, and never touched.

Nothing below a run directory is read, overwritten or deleted through a link; the run directory itself may be one.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest
import studies
from called import call_main

from structflow.errors import StorageError
from structflow.results.read import list_runs
from structflow.results.run import Run
from structflow.store.inspection import leftovers
from structflow.store.manifest import damaged_files
from structflow.store.own_folder import OwnFolder
from structflow.store.run_directory import RunDirectory
from structflow.store.run_lock import locked

TRAIN = "setting0-round0-batch0-stage0-train"
SPEC = studies.spec(optimizer={"inner": {"steps": 5}, "restarts": 1}, evidence={"samples": 4})
NAME = "0123456789abcdef" * 2
"""Of an index of members."""


def content_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Inode and content of everything below a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


@pytest.fixture
def elsewhere(finished, tmp_path) -> Path:
    """A folder of somebody else's that holds what a command would take for its own."""
    folder = tmp_path / "elsewhere"
    for name in ("members", "evaluations", "records"):
        shutil.copytree(finished / name, folder / name)
    shutil.copytree(finished / "result.zarr", folder / "result.zarr")
    shutil.copytree(finished, folder / "earlier" / "0")
    (folder / "members" / f"{NAME}.0123456789ab.npz").write_text("precious")
    (folder / "checkpoints" / TRAIN).mkdir(parents=True)
    (folder / "checkpoints" / TRAIN / "step-000000000005.npz").write_text("precious")
    (folder / "earlier" / "0" / "plan.json").write_text("precious")
    for name in (
        "run.lock",
        "plan.json",
        "settings.json",
        "summary.json",
        "result.manifest.json",
        "opening.manifest.json",
    ):
        (folder / name).write_text("precious")
    return folder


REFUSED = {
    "gc": ("members", "evaluations", "checkpoints", "earlier", "records", "run.lock", "plan.json"),
    "verify": ("members", "evaluations", "earlier", "records", "run.lock", "plan.json", "settings.json",
               "summary.json", "result.zarr", "result.manifest.json", "opening.manifest.json"),
    "run": ("earlier", "records", "plan.json", "settings.json", "summary.json", "result.zarr", "result.manifest.json",
            "opening.manifest.json"),
    "show": ("plan.json", "summary.json", "result.manifest.json"),
}  # fmt: skip


@pytest.mark.parametrize("command", REFUSED)
def test_a_link_at_a_name_of_our_own_is_refused(cli, run, elsewhere, tmp_path, command):
    """Exit code 3 with the link, where it leads and what to do; what it leads to stays as it is, to the byte."""
    spec = studies.write(
        SPEC if command != "run" else {**SPEC, "optimizer": {**SPEC["optimizer"], "restarts": 2}}, tmp_path
    )
    before = content_of(elsewhere)
    arguments = {"verify": (run, "--repair"), "run": (spec, "-o", run, "--quiet")}.get(command, (run,))
    for name in REFUSED[command]:
        kept = run.parent / "kept"
        present = (run / name).exists()
        if present:
            (run / name).rename(kept)
        (run / name).symlink_to(elsewhere / name)
        called = cli(command, *arguments)
        assert called.code == 3, (name, called)
        assert f"{run / name} is a symbolic link to {elsewhere / name}; " in called.out + called.err, (name, called)
        assert "remove the link, or replace it by what it points to" in called.out + called.err
        assert content_of(elsewhere) == before, name
        (run / name).unlink()
        if present:
            kept.rename(run / name)
    assert cli("verify", run).code == 0


def test_a_run_directory_that_is_reached_through_a_link_is_fine(cli, run, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "link2").symlink_to(run)
    for path in (tmp_path / "link" / "run", tmp_path / "link2"):
        assert cli("verify", path).code == 0
        assert cli("gc", path).out == "nothing to remove\n"
        assert Run(path).ranking
    assert [row.status for row in list_runs(tmp_path) if row.run in ("run", "link2")] == ["finished", "finished"]


def test_only_exact_names_are_deleted(cli, run):
    """gc took members/my_notes.txt, and a repair records/notes.json; also what only resembles a name of ours."""
    mine = [
        run / "members" / "my_notes.txt",
        run / "members" / f"{NAME}.0123456789ab",
        run / "members" / f"{NAME}.0123456789AB.npz",
        run / "evaluations" / f"my-{NAME}.0123456789ab.npz",
        run / "members" / f".secret.{'0' * 32}",
        run / "records" / "notes.json",
        run / "records" / f".{TRAIN}.json.{'0' * 31}",
        run / f".mine.{'0' * 32}",
        run / "checkpoints" / "notes" / "step-000000000001.npz",
        run / "checkpoints" / TRAIN / "thesis.tex",
        run / "earlier" / "00" / "plan.json",
    ]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    ours = run / "checkpoints" / TRAIN / "step-000000000001.npz"
    ours.write_text("a checkpoint of a task that is finished")
    record = run / "records" / f"{TRAIN}.json"
    record.write_text("{}")
    assert cli("verify", run, "--repair").code == 0
    assert cli("gc", run).code == 0
    assert [path.read_text() for path in mine] == ["mine"] * len(mine)
    assert not ours.exists()
    assert cli("verify", run).out == f"{run} is intact\n"


def test_a_file_of_somebody_else_among_the_results_stops_their_removal(cli, run):
    notes = run / "result.zarr" / "notes.txt"
    notes.write_text("mine")
    (run / "result.zarr" / "zarr.json").write_text("{}")
    called = cli("verify", run, "--repair")
    assert called.code == 3
    assert f"{notes} was not made by structflow" in called.err
    assert notes.exists()
    notes.rename(run / "notes.txt")
    assert cli("verify", run, "--repair").code == 0


@pytest.mark.parametrize(
    "name", ["../../elsewhere/x", "/dev/zero", "result.zarr/../../x", "a\0b", "pipe", "folder", "device", "socket"]
)
def test_manifests_list_regular_files_within_the_run(tmp_path, name):
    """None of them is opened for reading: a device would never end, and a FIFO wait for a writer."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        manifest = {"format": "structflow manifest 3", "files": {name: [5, "0" * 64]}}
        (tmp_path / "m.json").write_text(json.dumps(manifest))
        (problem,) = damaged_files(OwnFolder(tmp_path), "m.json")
    expected = {"pipe": "is a FIFO", "folder": "is a folder", "device": "is a symbolic link to /dev/zero"}
    assert expected.get(name, "is a socket" if name == "socket" else "is not the path of a file in") in problem


@pytest.mark.parametrize("arrays", ["/etc/passwd", "../other/members/x.npz", f"members/{'0' * 32}.npz/../x", "a\0"])
def test_an_index_names_only_a_file_of_its_own(run, arrays):
    """Sealed anew, as by somebody who means it."""
    from structflow.store.sealed_json import sealed, unsealed

    (path,) = (run / "members").glob("*.json")
    index = {**unsealed(path.read_bytes()), "arrays": arrays}
    path.write_text(sealed(json.dumps(index)))
    store = RunDirectory(run).members
    with pytest.raises(StorageError, match=rf"{path.name} names"):
        store.arrays([index["entries"][0]["key"]])


@pytest.mark.parametrize(
    "name", ["records/{task}.json", "run.lock", "plan.json", "summary.json", "opening.manifest.json"]
)
@pytest.mark.parametrize("kind", ["FIFO", "folder"])
def test_what_is_no_file_is_refused_at_once(cli, run, name, kind):
    """Opening a FIFO that nobody writes to waits for ever."""
    path = run / name.format(task=TRAIN)
    path.unlink()
    os.mkfifo(path) if kind == "FIFO" else path.mkdir()
    called = cli("verify", run, "--repair")
    assert called.code == 3
    assert f"{path} is a {kind}" in called.out + called.err
    assert path.exists()


def test_a_lock_never_overwrites_what_isn_t_one(run, tmp_path):
    """A hard link, a large file, or notes at its name; an empty one is taken."""
    lock, precious = run / "run.lock", tmp_path / "precious"
    precious.write_text(lock.read_text())
    lock.unlink()
    os.link(precious, lock)
    with pytest.raises(StorageError, match=r"has other names \(hard links\)"), locked(run):
        pass
    lock.unlink()
    for text in ("my notes", "x" * 5000):
        lock.write_text(text)
        with (
            pytest.raises(StorageError, match=r"(that|which) structflow didn't write"),
            locked(run),
        ):
            pass
        assert lock.read_text() == text
    lock.write_text("")
    with locked(run):
        assert str(os.getpid()) in lock.read_text()
    assert json.loads(precious.read_text())["pid"]


def test_a_huge_file_is_not_read(run):
    """Of a terabyte, in a file without blocks."""
    for name in ("summary.json", "result.manifest.json", f"records/{TRAIN}.json"):
        with (run / name).open("r+b") as file:
            file.truncate(2**40)
    directory = RunDirectory(run)
    for read in (directory.read_summary, lambda: directory.record(TRAIN)):
        with pytest.raises(StorageError, match=r"has 1,?099,?511,?627,?776 bytes"):
            read()


def test_a_folder_that_becomes_a_link_meanwhile(run, elsewhere, monkeypatch):
    """Between the listing and the deletion: every folder on the way is opened anew without following links."""
    attempt = run / "members" / f"{NAME}.0123456789ab.npz"
    attempt.write_text("of nobody")
    (leftover,) = leftovers(RunDirectory(run))
    (run / "members").rename(run / "moved")
    (run / "members").symlink_to(elsewhere / "members")
    before = content_of(elsewhere)
    with pytest.raises(StorageError, match="is a symbolic link to"):
        leftover.remove()
    assert content_of(elsewhere) == before


def test_a_damaged_index_loses_no_members(cli, run):
    """A digit changed in the name of its arrays: `gc` would have taken the true ones."""
    (index,) = (run / "members").glob("*.json")
    (arrays,) = (run / "members").glob("*.npz")
    index.write_text(index.read_text().replace(arrays.name, arrays.name[:-5] + "x.npz"))
    assert cli("gc", run).out == "nothing to remove\n"
    assert arrays.exists()


FIGURES = {(): "ranking.png", ("--structure",): "structure.png"}


@pytest.mark.parametrize("options", FIGURES)
def test_a_figure_doesn_t_follow_a_link_in_the_run(cli, run, tmp_path, options):
    """Its name is one of our own where none is given; a link elsewhere is the user's word."""
    (tmp_path / "precious").write_text("mine")
    (run / FIGURES[options]).symlink_to(tmp_path / "precious")
    called = cli("plot", run, *options)
    assert called.code == 3
    assert f"{run / FIGURES[options]} is a symbolic link to {tmp_path / 'precious'}" in called.err
    assert (tmp_path / "precious").read_text() == "mine"
    (tmp_path / "link.png").symlink_to(tmp_path / "figure.png")
    assert cli("plot", run, *options, "-o", tmp_path / "link.png").code == 0
    assert (tmp_path / "figure.png").exists()


def test_no_output_replaces_a_file_of_the_run(cli, run, tmp_path):
    """Also by a link elsewhere that leads back."""
    (tmp_path / "rows.csv").write_text("x0,x1\n0,0\n")
    (tmp_path / "out.csv").symlink_to(run / "records" / f"{TRAIN}.json")
    for output in (run / "plan.json", run / "records" / "new.csv", tmp_path / "out.csv"):
        called = cli("predict", run, tmp_path / "rows.csv", "-o", output)
        assert called.code == 2
        assert f"{output} is one of the files that the run in {run} consists of" in called.err
    assert cli("verify", run).code == 0
    assert cli("predict", run, tmp_path / "rows.csv", "-o", run / "predictions.csv").code == 0


@pytest.mark.parametrize("kind", ["link", "FIFO", "ours", "outside"])
def test_the_log_of_a_tracker_leads_nowhere_else(tmp_path, capsys, kind):
    """It is left out with a warning, and the run goes on; a FIFO would have held it up."""
    (tmp_path / "run").mkdir()
    (tmp_path / "precious").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    file = {"link": "log.jsonl", "FIFO": "log.jsonl", "ours": "plan.json", "outside": str(tmp_path / "pipe")}[kind]
    if kind == "link":
        (tmp_path / "run" / "log.jsonl").symlink_to(tmp_path / "precious")
    if kind == "FIFO":
        os.mkfifo(tmp_path / "run" / "log.jsonl")
    (tmp_path / "run" / "run.lock").touch()  # or the folder would be somebody else's
    (tmp_path / "run" / "settings.json").touch()
    run = studies.run({**SPEC, "trackers": [{"type": "json_lines", "file": file}]}, tmp_path / "run")
    (warning,) = [each for each in run.summary["warnings"] if "json_lines" in each]
    assert {"link": "symbolic link", "ours": "consists of", "outside": "regular file"}.get(kind, "FIFO") in warning
    assert (tmp_path / "precious").read_text() == "mine"
    assert call_main("verify", tmp_path / "run").code == 0


def test_init_writes_through_no_link(cli, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "spec.yaml").symlink_to(tmp_path / "elsewhere.yaml")  # not there yet
    called = cli("init", tmp_path / "study")
    assert called.code == 2
    assert "is there already" in called.err
    assert not (tmp_path / "elsewhere.yaml").exists()
