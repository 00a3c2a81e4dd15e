"""Every file in `bad/` is refused with exactly the problems that its first lines announce.

A line is `# expect | path | line | part of the message`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from structflow.errors import SpecError
from structflow.spec.load import load_study

FILES = sorted((Path(__file__).parent / "bad").glob("*.yaml"))


def announced(file: Path) -> list[tuple[str, int, str]]:
    expectations = []
    for text in file.read_text().splitlines():
        if text.startswith("# expect"):
            _, path, line, fragment = (part.strip() for part in text.split("|"))
            expectations.append((path, int(line), fragment))
    return expectations


def test_there_are_many_bad_specs():
    assert len(FILES) >= 35


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_bad_spec_is_refused_with_path_line_and_message(file: Path):
    with pytest.raises(SpecError) as raised:
        load_study(file)
    found = raised.value.problems
    expected = announced(file)
    assert [(problem.path, problem.line) for problem in found] == [(path, line) for path, line, _ in expected], str(
        raised.value
    )
    for problem, (_, _, fragment) in zip(found, expected, strict=True):
        assert fragment in f"{problem.message} {problem.suggestion}"
    assert raised.value.exit_code == 2
    assert raised.value.file == str(file)
