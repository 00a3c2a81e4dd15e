"""The examples of the page about Python run one after another, as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.mark.thorough
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    assert len(blocks) >= 8
    names: dict[str, Any] = {}
    for block in blocks:
        lines_before = text[: block.start(1)].count("\n")
        exec(compile("\n" * lines_before + block[1], str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert "weights.x_to_h.dense_" in printed
    assert "optimizer.restart" in printed
    assert (tmp_path / "diabetes.pt2").exists()
    assert names["low"].shape == names["high"].shape == (5, 1)
