"""Finds the values that pydantic converts silently, which a spec should have written as what they are.

pydantic reads the text '12' and `true` as numbers, and 'yes' and 1 as booleans. Its strict mode would refuse lists
where models have tuples, so the check compares what was written with what was read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import Problem
from .key_path import KeyPath, format_path
from .plain_words import describe
from .scalars import scalar_value

WORDS_FOR_BOOLEANS = {"yes", "no", "on", "off", "y", "n", "t", "f", "true", "false", "0", "1"}


def conversions(written: Any, read: Any, path: KeyPath = ()) -> list[Problem]:
    """A problem for every value in `written` that isn't of the kind it was read as."""
    if isinstance(written, dict) and isinstance(read, Mapping):
        keys = [key for key in written if key in read]
        return [problem for key in keys for problem in conversions(written[key], read[key], (*path, key))]
    if isinstance(written, list) and isinstance(read, list | tuple):
        pairs = enumerate(zip(written, read, strict=False))
        return [problem for index, pair in pairs for problem in conversions(*pair, (*path, index))]
    if is_converted_boolean(written, read):
        return [Problem(format_path(path), f"got {describe(written)}; expected true or false")]
    if is_converted_number(written, read):
        remedy = how_to_write(written) if isinstance(written, str) else None
        return [Problem(format_path(path), f"got {describe(written)}; expected a number", remedy)]
    return []


def how_to_write(text: str) -> str | None:
    """What to do with text that Python reads as a number, and a spec doesn't; None where there is no such number."""
    if is_number(scalar_value(text)):
        return "remove the quotes"
    if not math.isfinite(float(text)):
        return None
    plain = text.strip().replace("_", "")
    number = plain if is_number(scalar_value(plain)) else repr(float(text))
    return f"write {number}, without _" if "_" in text else f"write {number}"


def is_number(value: object) -> bool:
    """Whether a value read from a spec is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_converted_boolean(written: Any, read: Any) -> bool:
    """Whether a number or a word was read as a boolean."""
    if not isinstance(read, bool) or isinstance(written, bool):
        return False
    return isinstance(written, int | float) or (isinstance(written, str) and written.lower() in WORDS_FOR_BOOLEANS)


def is_converted_number(written: Any, read: Any) -> bool:
    """Whether a boolean, or text with a number in it, was read as a number."""
    if isinstance(read, bool) or not isinstance(read, int | float):
        return False
    if not isinstance(written, str):
        return isinstance(written, bool)
    try:
        float(written)
    except ValueError:
        return False
    return True
