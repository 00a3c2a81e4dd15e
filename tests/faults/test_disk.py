"""Disks that are full or fail: nothing half-written counts, and the same command goes on once there is room."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
import studies
from called import call_main
from clusters import called, checked, continued

STUDY = studies.wide()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    studies.run(STUDY, folder / "run")
    return studies.digests(folder / "run")


def continues(folder: Path, undisturbed: dict[str, str]) -> None:
    """What is committed is intact, and the run goes on to the same end."""
    if (folder / "run" / "plan.json").exists():
        assert call_main("verify", folder / "run").code == 0
    continued(folder / "run")
    assert studies.digests(folder / "run") == undisturbed


@pytest.mark.faults
def test_a_file_size_limit(tmp_path, undisturbed):
    """Fault 11: RLIMIT_FSIZE of 2 KiB stops the first larger file; the message names it."""
    studies.write(STUDY, tmp_path)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    done = subprocess.run(
        studies.command("run", "spec.yaml", "-o", "run", "--quiet"), cwd=tmp_path, capture_output=True, text=True,
        preexec_fn=limit,
    )  # fmt: skip
    err = checked(done.returncode, 3, done.stdout, done.stderr)
    assert re.search(r"^error: can't write \S*run/", err)
    assert "File too large" in err
    shutil.rmtree(tmp_path / "run", ignore_errors=True)  # it was stopped before there was a plan
    continues(tmp_path, undisturbed)


@pytest.mark.faults
def test_a_full_disk(tmp_path, undisturbed):
    """Fault 11: a file system of 160 KiB that fills midway; with more room the run goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small file system isn't allowed here: {mounted.stderr.strip()}")
    try:
        studies.write(STUDY, disk)
        err = called("run", "spec.yaml", "-o", "run", "--quiet", cwd=disk, code=3)
        assert re.search(r"^error: can't write \S*run/", err)
        assert "No space left on device" in err
        done = studies.digests(disk / "run")
        assert 0 < len(done) < len(undisturbed)
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        continues(disk, undisturbed)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


LONG = [pytest.param(call, marks=pytest.mark.faults) for call in ("link", "replace", "rename")]


@pytest.mark.parametrize("call", ["fsync", *LONG])
def test_calls_that_fail(tmp_path, monkeypatch, cli, undisturbed, call):
    """Fault 12: an I/O error of one call, ever later, until the run gets through: exit 3, and the task isn't done."""
    studies.write(STUDY, tmp_path)
    honest = getattr(os, call)
    first, step = {"rename": (1, 1), "link": (2, 4), "fsync": (5, 29), "replace": (3, 8)}[call]
    count, at = [0], [first]

    def failing(*arguments, **keywords):
        count[0] += 1
        if count[0] == at[0]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return honest(*arguments, **keywords)

    monkeypatch.setattr(os, call, failing)
    attempts = 0
    while True:
        count[0], before = 0, committed(tmp_path / "run")
        called = cli("run", tmp_path / "spec.yaml", "-o", tmp_path / "run", "--quiet")
        if called.code == 0:
            break
        attempts += 1
        assert called.code == 3, called.err
        assert "Input/output error" in called.err
        assert before <= committed(tmp_path / "run")
        at[0] += step
    assert attempts > 0
    monkeypatch.undo()
    assert studies.digests(tmp_path / "run") == undisturbed
    assert cli("verify", tmp_path / "run").code == 0


def committed(run: Path) -> set[str]:
    return set(studies.digests(run)) if (run / "records").is_dir() else set()
