"""What an unquoted word of a spec means: the core schema of YAML 1.2.

YAML 1.1, which PyYAML follows by default, reads `1e-3` as text, `yes` and `off` as booleans and `1:30` as 90.
"""

from __future__ import annotations

import re

NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
BOOLEAN = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
INTEGER = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
FLOAT = re.compile(
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)

TAGS = {
    "tag:yaml.org,2002:null": NULL,
    "tag:yaml.org,2002:bool": BOOLEAN,
    "tag:yaml.org,2002:int": INTEGER,
    "tag:yaml.org,2002:float": FLOAT,
}
"""The patterns by tag, in the order they are tried; anything else is text."""

MAX_DIGITS = 400
"""More digits than any float can hold; Python refuses to read integers ten times as long."""


def scalar_value(text: str) -> str | bool | int | float | None:
    """The value of an unquoted word; raises `ValueError` for an absurdly long integer."""
    if NULL.match(text):
        return None
    if BOOLEAN.match(text):
        return text.lower() == "true"
    if INTEGER.match(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(f"a number of {len(text)} digits; expected at most {MAX_DIGITS}")
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)
    if FLOAT.match(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
