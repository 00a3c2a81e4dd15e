"""Where the machine refuses memory, the command says so in one line, whoever noticed it first."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from structflow.cli.errors import report_error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: 8 bytes\nmore"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_words(error, capsys):
    assert report_error(error, debug=False) == 3
    err = capsys.readouterr().err
    assert err.startswith("error: this machine gave the command too little memory")
    assert len(err.splitlines()) == 1


def test_other_errors_stay_what_they_are(capsys):
    assert report_error(RuntimeError("a thread"), debug=False) == 1
    assert "internal error: RuntimeError" in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.parametrize("mib", [300, 500])
def test_a_limit_that_torch_does_not_fit_into(tmp_path, mib):
    """`ulimit -v`: it was an internal error, with a traceback to look at."""
    limit = mib * 2**20
    done = subprocess.run(
        [sys.executable, "-c", "from structflow.cli import main; main()", "run", "spec.yaml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert done.returncode in (2, 3)
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
