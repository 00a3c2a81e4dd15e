"""Reading spec text: what values mean, where keys stand, and what is refused how fast."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from structflow.errors import SpecError
from structflow.spec import yaml_events
from structflow.spec.document import parse_document
from structflow.spec.document_sources import document_from_mapping, read_document

from .examples import TEXT


def refused(content: bytes):
    with pytest.raises(SpecError) as raised:
        parse_document(content)
    return raised.value.problems[0]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("007", 7),
        ("0x1F", 31),
        ("-3", -3),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("off", "off"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("~", None),
        ("", None),
        ("'1e-3'", "1e-3"),
        ('"true"', "true"),
        ("! 3", "3"),
        ("-", None),
        ("=", "="),
    ],
)
def test_a_word_has_the_value_of_yaml_1_2(written, value):
    if written == "-":
        assert parse_document(b"a: [~]").data == {"a": [None]}
        return
    read = parse_document(f"a: {written}".encode()).data["a"]
    assert read == value
    assert type(read) is type(value)


def test_keys_are_text():
    assert parse_document(b"1: a\nnull: b\ntrue: c\n").data == {"1": "a", "null": "b", "true": "c"}


def test_every_key_and_element_has_its_line():
    document = parse_document(b"# comment\na:\n  b: 1\n  c:\n    - 1\n    - {d: 2}\n")
    assert document.lines == {"": 2, "a": 2, "a.b": 3, "a.c": 4, "a.c[0]": 5, "a.c[1]": 6, "a.c[1].d": 6}
    assert document.line_of("a.c[1].d.e[3]") == 6
    assert document.line_of("elsewhere") == 2


def test_the_pure_python_parser_gives_the_same(monkeypatch):
    fast = parse_document(TEXT.encode())
    monkeypatch.setattr(yaml_events, "Loader", yaml_events.yaml.SafeLoader)
    assert parse_document(TEXT.encode()) == fast
    assert refused(b"a: 1\na: 2\n").line == 2


@pytest.mark.parametrize(
    ("content", "line", "fragment"),
    [
        (b"", 1, "empty"),
        (b"# nothing\n", 1, "empty"),
        (b"text", 1, "expected keys"),
        (b"a: 1\nb: \xff\n", 2, "isn't UTF-8"),
        (b"a: 1\n\nb: \0\n", 3, "NUL"),
        (b"a: 1\nb: \x07\n", 2, "control character"),
        ("a: é\nb: \x07\n".encode(), 2, "control character"),
        (b"a: 1\nb: *x\n", 2, "aliases"),
        (b"a: 1\n*x : 2\n", 2, "aliases"),
        (b"a: !!python/object/apply:os.system ['echo']\n", 1, "tags"),
        (b"a: !custom 1\n", 1, "tags"),
        (b"a: 1\n---\nb: 2\n", 2, "second document"),
        (b"a: " + b"9" * 5000, 1, "digits"),
        (b"a: [" + b"1," * 200_000 + b"]", 1, "more than"),
        (b"a: " + b"[" * 500_000, 1, "levels of nesting"),
        (b"{a: " * 200_000, 1, "levels of nesting"),
        (b"- " * 300_000, 1, "levels of nesting"),
        (b"a: 1\n" * 150_000, 2, "given twice"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_a_spec_may_not_hold_is_refused_with_its_line_at_once(content, line, fragment):
    start = time.process_time()
    problem = refused(content)
    assert fragment in problem.message
    assert problem.line == line
    assert time.process_time() - start < 1


def test_a_byte_order_mark_is_ignored():
    assert parse_document(b"\xef\xbb\xbfa: 1").data == {"a": 1}


def test_a_large_file_is_refused_at_once(tmp_path: Path):
    file = tmp_path / "large.yaml"
    file.write_bytes(b"a: [" + b"1, " * 3_500_000 + b"]")
    start = time.process_time()
    with pytest.raises(SpecError, match="larger than") as raised:
        read_document(file)
    assert time.process_time() - start < 1
    assert raised.value.problems[0].line == 1


def test_a_missing_file_suggests_the_nearest(tmp_path: Path):
    (tmp_path / "boston.yaml").write_text(TEXT)
    with pytest.raises(SpecError, match=r"did you mean 'boston\.yaml'"):
        read_document(tmp_path / "bostn.yaml")
    with pytest.raises(SpecError, match="no folder"):
        read_document(tmp_path / "nowhere" / "boston.yaml")


def test_a_folder_suggests_the_spec_inside(tmp_path: Path):
    with pytest.raises(SpecError, match="this is a folder"):
        read_document(tmp_path)
    (tmp_path / "boston.yaml").write_text(TEXT)
    with pytest.raises(SpecError, match=r"boston\.yaml"):
        read_document(tmp_path)


def test_other_paths_that_cannot_be_read(tmp_path: Path):
    for name in ("a\0b", "x" * 300):
        with pytest.raises(SpecError, match="can't be read"):
            read_document(tmp_path / name)


def test_data_in_memory_become_plain_data():
    assert document_from_mapping({"a": (1, Path("b")), 3: None}).data == {"a": [1, "b"], "3": None}
    cyclic: dict[str, object] = {}
    cyclic["a"] = cyclic
    for mapping in ({"a": object()}, {"a": {1, 2}}, {"a": "\0"}, {"a": "\ud800"}, cyclic, [1]):
        with pytest.raises(SpecError):
            document_from_mapping(mapping)
