"""What pydantic found wrong with one value, in the words of a spec."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..data.nearest import did_you_mean
from .models import NAME_PATTERN

EXPECTED = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "dict_type": "keys with values",
    "tuple_type": "a list",
    "list_type": "a list",
    "none_required": "nothing",
    "literal_error": "",
}
"""Kinds of errors that say the value is of another kind than expected; for a literal the words stand in the error."""

MODELS = {"Schedule": "a schedule", "ShapeChoice": "{choose: [shape, …]}"}

LIMITS = {
    "greater_than": ("gt", "it must be above"),
    "greater_than_equal": ("ge", "it must be at least"),
    "less_than": ("lt", "it must be below"),
    "less_than_equal": ("le", "it must be at most"),
    "multiple_of": ("multiple_of", "it must be a multiple of"),
}


def describe(value: Any) -> str:
    """A value as a message shows it.

    >>> describe(True), describe("0.5"), describe([1, 2]), describe({"lr": 0.1})
    ('true', "'0.5' (text)", 'a list of 2', 'keys with values (lr)')
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"{shortened(repr(value))} (text)"
    if isinstance(value, Mapping):
        return f"keys with values ({shortened(', '.join(map(str, value)))})" if value else "an empty mapping"
    if isinstance(value, Sequence):
        return f"a list of {len(value)}" if value else "an empty list"
    return shortened(str(value))


def shortened(text: str) -> str:
    """At most one line."""
    return text if len(text) <= 60 else f"{text[:57]}…"


def is_mismatch(error: Mapping[str, Any]) -> bool:
    """Whether the error says that the value is of another kind than expected."""
    return error["type"] in EXPECTED


def words_of(error: Mapping[str, Any]) -> list[str]:
    """The words a literal allows."""
    return re.findall(r"'([^']*)'", error["ctx"]["expected"])


def expectation(error: Mapping[str, Any]) -> str:
    """What a mismatch expected."""
    if error["type"] == "literal_error":
        words = words_of(error)
        return f"one of {', '.join(words)}" if len(words) > 1 else words[0] if words else str(error["ctx"]["expected"])
    return MODELS.get(error.get("ctx", {}).get("class_name", ""), EXPECTED[error["type"]])


def mismatch(errors: Sequence[Mapping[str, Any]], value: Any) -> tuple[str, str | None]:
    """Message and suggestion for a value that is of none of the kinds expected."""
    expected = " or ".join(dict.fromkeys(expectation(error) for error in errors))
    words = [word for error in errors if error["type"] == "literal_error" for word in words_of(error)]
    suggestion = did_you_mean(value, words) if isinstance(value, str) else None
    if expected == EXPECTED["string_type"] and isinstance(value, int | float):
        suggestion = "put it in quotes"
    return f"got {describe(value)}; expected {expected}", suggestion


def in_plain_words(error: Mapping[str, Any]) -> str:
    """The message for any other error."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind in LIMITS:
        limit, words = LIMITS[kind]
        return f"got {describe(value)}; {words} {context[limit]:g}"
    if kind == "finite_number":
        return f"got {describe(value)}; expected a finite number"
    if kind in ("value_error", "assertion_error"):
        return str(context["error"]) if "error" in context else str(error["msg"])
    if kind == "string_pattern_mismatch":
        if context["pattern"] == NAME_PATTERN:
            allowed = "letters, digits, '_', '.' and '-', with a letter or digit first"
            return f"got {describe(value)}; a name consists of {allowed}"
        return f"got {describe(value)}; expected text like {context['pattern']}"
    if kind == "string_too_long":
        return f"got {len(value)} characters; expected at most {context['max_length']}"
    if kind == "string_too_short":
        return f"got {describe(value)}; expected at least {context['min_length']} characters"
    if kind == "too_short":
        return f"got {describe(value)}; expected at least {context['min_length']}"
    if kind == "too_long":
        return f"got {describe(value)}; expected at most {context['max_length']}"
    reason = str(error["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return f"got {describe(value)}; {reason}" if reason == error["msg"] else f"got {describe(value)}; expected {reason}"
