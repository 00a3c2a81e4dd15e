"""The command line called in this process, and one finished run that many tests look at."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import studies

from structflow.cli import main


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str


Cli = Callable[..., Called]


def call_main(*arguments: Any) -> Called:
    """What `structflow ARGUMENTS` prints and its exit code, through the program's own entry point."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    before, handler = sys.argv, signal.getsignal(signal.SIGTERM)
    sys.argv = ["structflow", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    finally:
        sys.argv = before
        signal.signal(signal.SIGTERM, handler)
    return Called(code, out.getvalue(), err.getvalue())


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Calls happen in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return call_main


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run of eight structures; tests only read it."""
    folder = tmp_path_factory.mktemp("finished")
    called = call_main("run", studies.write(studies.wide(), folder), "-o", folder / "run")
    assert called.code == 0, called.err
    return folder / "run"
