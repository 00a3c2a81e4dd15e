"""Every bad spec of the spec's own tests, through the commands: exit code 2, one screen, nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import studies

BAD = Path(__file__).parents[1] / "spec" / "bad"
FILES = sorted(BAD.glob("*.yaml"))
SCREEN = 40
"""Lines of a terminal's window."""


def assert_plain(text: str) -> None:
    assert 0 < len(text.splitlines()) <= SCREEN
    assert "Traceback" not in text
    assert "internal error" not in text


@pytest.fixture(autouse=True)
def untouched():
    """Nothing appears beside the specs."""
    before = sorted(BAD.rglob("*"))
    yield
    assert sorted(BAD.rglob("*")) == before


def test_there_are_at_least_thirty():
    assert len(FILES) >= 30


@pytest.mark.parametrize("name", ["run", "validate", "plan"])
@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_bad_spec(cli, file, name):
    called = cli(name, file)
    assert called.code == 2
    assert called.out == ""
    assert_plain(called.err)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_bad_spec_as_json(cli, file):
    called = cli("validate", file, "--json")
    assert (called.code, called.err) == (2, "")
    answer = json.loads(called.out)
    assert answer["valid"] is False
    assert len(answer["errors"]) >= 1
    for problem in answer["errors"]:
        assert set(problem) == {"path", "line", "message", "suggestion"}
        assert isinstance(problem["message"], str)


@pytest.mark.parametrize(
    "stem",
    [
        "not_yaml",
        "alias_bomb",
        *(pytest.param(each, marks=pytest.mark.thorough) for each in ("cycle", "data_with_text", "data_file_missing")),
    ],
)
def test_a_bad_spec_in_a_process_of_its_own(tmp_path, stem):
    called = studies.call("run", BAD / f"{stem}.yaml", cwd=tmp_path)
    assert called.returncode == 2
    assert called.stdout == ""
    assert_plain(called.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_spec_with_hundreds_of_problems_still_fits_the_screen(cli, tmp_path):
    document = studies.spec(**{f"unknown_{number}": 1 for number in range(300)})
    called = cli("run", studies.write(document, tmp_path))
    assert called.code == 2
    assert_plain(called.err)
    assert "line 38: unknown_0: unknown key" in called.err
    assert "more; `structflow validate --json` lists all" in called.err


def test_a_run_of_a_bad_spec_leaves_a_named_directory_alone(cli):
    called = cli("run", BAD / "cycle.yaml", "-o", "there/deep")
    assert called.code == 2
    assert list(Path().iterdir()) == []


def test_all_problems_are_printed(cli):
    """However many there are: 17 here."""
    Path("spec.yaml").write_text("structflow: 1\n" + "".join(f"wrong{number}: 1\n" for number in range(15)))
    err = cli("validate", "spec.yaml").err
    assert err.startswith("error: 17 problem(s)")  # with `data` and `model`, which are missing
    assert all(f"wrong{number}:" in err for number in range(15))
    assert "more" not in err
