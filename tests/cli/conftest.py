"""One finished run that many tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest
import studies
from called import call_main


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run of eight structures; tests only read it."""
    folder = tmp_path_factory.mktemp("finished")
    called = call_main("run", studies.write(studies.wide(), folder), "-o", folder / "run")
    assert called.code == 0, called.err
    return folder / "run"
