"""Commands print on terminals that lack characters of theirs, and their JSON stays what was meant."""

from __future__ import annotations

import contextlib
import io
import json
import sys

import pytest
import studies
from called import Called

from structflow.cli import main
from structflow.cli.encoding import ascii_for


def call_in(encoding: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> Called:
    """What a command writes to streams of an encoding, decoded again."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "argv", ["structflow", *map(str, arguments)])
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as error:
            code = error.code
        out.flush()
        err.flush()
    return Called(code, out.buffer.getvalue().decode(encoding), err.buffer.getvalue().decode(encoding))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "spec.yaml"], "2 structures"),
        (["plugins"], "g(x; W, b) = phi(x"),
        (["certify", "--help"], "Steps of theta; by default"),
        (["validate", "spec.yaml"], "is valid"),
        (["run", "bad.yaml"], "-> did you mean 'optimizer'?"),
    ],
)
def test_what_an_encoding_lacks_is_spelt_in_ascii(tmp_path, monkeypatch, encoding, arguments, said):
    studies.write(studies.spec(), tmp_path)
    (tmp_path / "bad.yaml").write_text("structflow: 1\noptimiser: {}\n")
    monkeypatch.chdir(tmp_path)
    called = call_in(encoding, monkeypatch, *arguments)
    assert called.code == (2 if "bad.yaml" in arguments else 0), called.err
    assert said in (called.out + called.err).replace("\n      ", "")
    assert "UnicodeEncodeError" not in called.err


def test_json_is_what_it_is_in_utf_8(monkeypatch):
    there = json.loads(call_in("utf-8", monkeypatch, "schema").out)
    here = call_in("latin-1", monkeypatch, "schema").out
    assert json.loads(here) == there
    assert here.isascii()
    assert not json.dumps(there, ensure_ascii=False).isascii()  # else this test would show nothing


def test_a_rendered_spec_loads_back(tmp_path, monkeypatch):
    """A column named λ is escaped, not replaced."""
    (tmp_path / "t.csv").write_text("λ,y\n1,2\n2,3\n4,5\n", encoding="utf-8")
    data = {"source": "csv", "path": "t.csv", "target": "y", "inputs": ["λ"]}
    path = studies.write(studies.spec(data=data), tmp_path)
    rendered = call_in("latin-1", monkeypatch, "render", path).out
    assert '"\\u03BB"' in rendered
    again = tmp_path / "again.yaml"
    again.write_text(rendered, encoding="utf-8")
    assert "λ" in call_in("utf-8", monkeypatch, "render", again).out


@pytest.mark.parametrize(
    ("character", "spelt"),
    [("θ", "theta"), ("Γ", "Gamma"), ("─", "-"), ("│", "|"), ("╭", "+"), ("é", "e"), ("字", "?")],
)
def test_spelling(character, spelt):
    assert ascii_for(character) == spelt
