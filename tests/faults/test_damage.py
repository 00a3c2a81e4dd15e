"""Files lost or changed on disk: found by name, never read as if nothing were, made again on request."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import studies

from structflow.errors import StorageError
from structflow.results.read import read_summary
from structflow.results.run import Run

SPEC = studies.spec()


def files_of_arrays(folder: Path) -> list[Path]:
    """Files with values: those of members, and the chunks of a Zarr hierarchy."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json")


def flip(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    place = int(share * len(content))
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES = {"deleted": Path.unlink, "truncated": truncate, "a bit flipped": flip}


def test_an_undisturbed_run_is_intact(cli, run):
    called = cli("verify", run)
    assert called.code == 0
    assert called.out == f"{run} is intact\n"
    assert json.loads(cli("verify", run, "--json").out) == {"intact": True, "damage": []}


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("place", ["members", "result.zarr"])
def test_damaged_arrays_are_named_and_made_again(cli, run, finished, kind, place):
    """Fault 13: `verify` names the file, exits 3; the repair ends with the digests of the undisturbed run."""
    chunk = files_of_arrays(run / place)[0]
    DAMAGES[kind](chunk)
    called = cli("verify", run)
    assert called.code == 3
    assert str(chunk) in called.out
    repaired = cli("verify", run, "--repair")
    assert repaired.code == 0, repaired.err
    assert cli("verify", run).code == 0
    assert studies.digests(run) == studies.digests(finished)
    repaired, before = ({**read_summary(each), "seconds": None} for each in (run, finished))
    assert repaired == before


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_arrays_are_never_read(run, kind):
    """A prediction refuses, and names the file."""
    opened = Run(run)
    (chunk,) = files_of_arrays(run / "members")
    if kind == "a bit flipped":
        flip(chunk, 0.01)  # in its first array, a parameter; curves of training aren't read
    else:
        DAMAGES[kind](chunk)
    with pytest.raises(StorageError, match=str(chunk)):
        opened.predict([[0.0, 0.0]])


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("place", ["records/*-train", "members/*", "evaluations/*"])
def test_damaged_records_are_made_again(cli, run, finished, kind, place):
    """Also the indexes that say which members and evaluations there are."""
    record = sorted(run.glob(f"{place}.json"))[0]
    DAMAGES[kind](record)
    called = cli("verify", run)
    assert called.code == 3
    if kind != "deleted" or place.startswith("records"):
        assert str(record) in called.out
    else:
        assert f"{record.parent} lacks" in called.out
    assert cli("verify", run, "--repair").code == 0
    assert studies.digests(run) == studies.digests(finished)


@pytest.mark.parametrize("name", ["plan.json", "settings.json", "spec.yaml"])
def test_what_a_run_was_opened_with_cant_be_made_again(cli, run, name):
    flip(run / name)
    called = cli("verify", run, "--repair")
    assert called.code == 3
    assert str(run / name) in called.out + called.err
    assert "new directory (-o)" in called.err


@pytest.mark.parametrize("name", ["data.npz", "settings.json"])
def test_verify_advises_what_repair_and_show_do(cli, run, name):
    """Nothing can be recomputed from damaged data, so `--repair` isn't offered; a copy of the file repairs the run."""
    before = (run / name).read_bytes()
    flip(run / name)
    called = cli("verify", run)
    assert called.code == 3
    assert f"{run / name} no longer holds what was written" in called.out
    remedy = "can't be recomputed: put back a copy of the file, or run the spec in a new directory (-o)"
    assert remedy in called.out
    assert "--repair" not in called.out
    repaired = cli("verify", run, "--repair")
    assert repaired.code == 3
    assert remedy in repaired.err
    record = sorted((run / "records").glob("*-train.json"))[0]
    flip(record)
    called = cli("verify", run)
    assert remedy in called.out
    assert called.out.endswith(f"once it is put back, repair the rest with: structflow verify {run} --repair\n")
    (run / name).write_bytes(before)
    assert cli("verify", run).out.endswith(f"\nrepair it with: structflow verify {run} --repair\n")


def test_leftovers_are_listed_and_removed(cli, run):
    """Fault 14: partial files and attempts that lost are ignored; `gc --dry-run` lists exactly them."""
    record = sorted((run / "records").glob("*-train.json"))[0]
    (attempt,) = (run / "members").glob("*.npz")
    name = attempt.name.partition(".")[0]
    lost = [
        run / "members" / f"{name}.0123456789ab.npz",
        run / "members" / f".{name}.0123456789ab.npz.{'0' * 32}",
        run / "evaluations" / f"{'a' * 32}.0123456789ab.npz",
        run / "records" / f".{record.name}.{'1' * 32}",
        run / f".summary.json.{'f' * 32}",
        run / f".result.zarr.{'2' * 32}",
        run / "checkpoints" / record.stem,
    ]
    for path in lost:
        if path.parent.name == "checkpoints":
            path.mkdir(parents=True)
            shutil.copy(attempt, path / "step-000000000005.npz")
        elif path.name.startswith(".result.zarr"):
            shutil.copytree(run / "result.zarr", path)
        else:
            shutil.copy(attempt, path)
    (run / "ranking.png").write_text("a picture of the user's")
    assert cli("verify", run).code == 0
    assert cli("show", run).code == 0
    listed = json.loads(cli("gc", run, "--dry-run", "--json").out)
    assert {run / each["path"] for each in listed["files"]} == set(lost)
    assert all(path.exists() for path in lost)
    assert cli("gc", run).code == 0
    assert not any(path.exists() for path in lost)
    assert (run / "ranking.png").exists()
    assert cli("gc", run).out == "nothing to remove\n"
    assert cli("verify", run).code == 0


@pytest.mark.parametrize(("folder", "most"), [("result.zarr", 200), ("members", 2), ("records", 4)])
def test_a_lost_folder_is_one_line_and_is_made_again(cli, run, folder, most):
    """Every file of it had a line. One batch: a decision, a training and an evaluation with arrays, a selection."""
    files = len([path for path in (run / folder).rglob("*") if path.is_file()])
    assert 1 < files <= most
    if folder == "members":
        files = 1  # nobody knows their names; it is one task that lacks them
    shutil.rmtree(run / folder)
    called = cli("verify", run)
    assert called.code == 3
    assert called.out.splitlines() == [
        f"damaged: {run / folder} is missing, with {files} file(s)", f"repair it with: structflow verify {run} --repair"
    ]  # fmt: skip
    assert len(cli("verify", run, "--json").out.splitlines()) > files  # each with its task
    repaired = cli("verify", run, "--repair")
    assert (repaired.code, len(repaired.out.splitlines())) == (0, 2)
    assert cli("verify", run).out == f"{run} is intact\n"
