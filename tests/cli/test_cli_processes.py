"""What is true of the process: how fast help is, what it imports, and how it ends when it is stopped midway."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import studies

LONG = studies.spec(
    optimizer={"inner": {"steps": 100}, "restarts": 8}, compute={"compile": False, "members_per_batch": 2}
)
"""Eight batches that share a program."""


def test_help_is_instant(tmp_path):
    """At most 0.3 s (DESIGN 7): the fastest of up to ten, since other work on the machine only slows it down."""
    seconds: list[float] = []
    while len(seconds) < 10 and (not seconds or seconds[-1] > 0.3):
        started = time.perf_counter()
        called = studies.call("--help", cwd=tmp_path)
        seconds.append(time.perf_counter() - started)
        assert called.returncode == 0
    assert min(seconds) <= 0.3


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["nonsense"]])
def test_help_imports_nothing_heavy(tmp_path, arguments):
    code = (
        "import sys; from structflow.cli import main; sys.argv = ['structflow', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'pandas', 'dask', 'zarr', 'xarray', 'pydantic'} & set(sys.modules)))"
    )
    called = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert called.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments", [["validate", "spec.yaml"], ["render", "spec.yaml"], ["show", "nowhere"], ["list"]]
)
def test_commands_that_train_nothing_do_without_torch(tmp_path, arguments):
    studies.write(studies.spec(), tmp_path)
    code = (
        "import sys; from structflow.cli import main; sys.argv = ['structflow', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    called = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert called.stdout.splitlines()[-1] == "False"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The digests of the long study without any interruption."""
    folder = tmp_path_factory.mktemp("undisturbed")
    studies.run(LONG, folder / "run")
    return studies.digests(folder / "run")


@pytest.mark.slow
def test_ctrl_c_with_workers_is_as_quiet(tmp_path, undisturbed):
    """A terminal sends it to all processes of the command; the workers leave it to the first."""
    studies.write(LONG, tmp_path)
    process = started(["run", "spec.yaml", "-o", "run", "--workers", "2"], tmp_path)
    wait_for_a_record(tmp_path / "run", process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues the run" in err
    assert "Traceback" not in err
    continued = studies.call("run", "spec.yaml", "-o", "run", "--workers", "1", cwd=tmp_path)
    assert continued.returncode == 0, continued.stderr
    assert studies.digests(tmp_path / "run") == undisturbed


def started(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        studies.command(*arguments), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ}, start_new_session=True, preexec_fn=studies.hear_interrupts,
    )  # fmt: skip


def wait_for_a_record(run: Path, process: subprocess.Popen[str]) -> None:
    """Until one batch is trained and others aren't."""
    deadline = time.monotonic() + 120
    while not list(run.glob("records/*-train.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.thorough
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_stopped_and_continued(cli, tmp_path, undisturbed, number, code):
    """Exit codes of DESIGN 7; the same command ends with the very records of a run that nobody stopped."""
    studies.write(LONG, tmp_path)
    arguments = ["run", "spec.yaml", "-o", "run"]
    process = started(arguments, tmp_path)
    wait_for_a_record(tmp_path / "run", process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    if code > 0:
        assert "the same command continues the run" in err
        assert "Traceback" not in err
    done = studies.digests(tmp_path / "run")
    assert 0 < len(done) < len(undisturbed)
    unfinished = cli("show", tmp_path / "run")
    assert unfinished.code == 2
    assert "isn't finished" in unfinished.err
    (row,) = [each for each in json.loads(cli("list", tmp_path, "--json").out) if each["run"] == "run"]
    assert row["status"] == "unfinished"

    modified = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "records").glob("*.json")}
    continued = cli("run", tmp_path / "spec.yaml", "-o", tmp_path / "run")
    assert continued.code == 0, continued.err
    assert "2 of 2 structures" in continued.out
    assert studies.digests(tmp_path / "run") == undisturbed
    assert {path: path.stat().st_mtime_ns for path in modified} == modified  # what was done isn't done again


def test_a_reader_that_leaves_early(tmp_path):
    """`structflow schema | head -1` says nothing on standard error."""
    process = subprocess.Popen(
        studies.command("schema"), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 1
