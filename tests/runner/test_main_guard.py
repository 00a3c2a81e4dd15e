"""A script that starts workers without a guard is told so; with one it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import studies

from structflow.errors import ClusterError
from structflow.runner.main_guard import VARIABLE, leave_if_imported_again, starting_workers

CALL = 'structflow.run("spec.yaml", "run", workers=1)'


def script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """A script beside a small spec, carried out."""
    studies.write(studies.spec(), folder)
    (folder / "script.py").write_text(text)
    return subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.thorough
@pytest.mark.parametrize("call", [CALL, f"def main():\n    return {CALL}\nmain()"])
def test_without_a_guard(tmp_path, call):
    """One error of ours: one traceback, and no word from the processes that couldn't start."""
    called = script(tmp_path, f"import structflow\n{call}\n")
    assert called.returncode == 1
    assert called.stderr.count("Traceback") == 1
    last = called.stderr.splitlines()[-1]
    assert last.startswith("structflow.errors.CallError: this script starts worker processes")
    assert 'put the call under `if __name__ == "__main__":`' in last
    assert not (tmp_path / "run").exists()


@pytest.mark.thorough
def test_with_a_guard(tmp_path):
    called = script(tmp_path, f'import structflow\nif __name__ == "__main__":\n    print({CALL}.best.structure)\n')
    assert called.returncode == 0, called.stderr
    assert called.stdout.startswith("{'x->h'")


def test_a_worker_that_meets_the_call_leaves_word_and_ends(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mark"))
    with pytest.raises(SystemExit):
        leave_if_imported_again()
    assert (tmp_path / "mark").exists()


def test_workers_that_cannot_start_for_another_reason():
    with pytest.raises(ClusterError, match="the worker processes can't be started: no memory"), starting_workers():
        raise RuntimeError("no memory")
    leave_if_imported_again()  # nobody is asked to leave afterwards
