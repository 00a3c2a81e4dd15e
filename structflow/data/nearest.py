"""The nearest known name, for error messages about a name that isn't known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LISTED = 10
"""How many names a message lists before it says how many more there are."""


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, whatever the case of its letters; None if none is close."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str | None = None) -> str | None:
    """The suggestion for an unknown name: the nearest known one, or `otherwise`."""
    match = nearest_name(name, known)
    return f"did you mean {match!r}?" if match is not None else otherwise


def listing(names: Iterable[str]) -> str:
    """The names in quotes, separated by commas and cut after some."""
    quoted = [repr(name) for name in names]
    more = len(quoted) - LISTED
    return ", ".join(quoted[:LISTED]) + (f" and {more} more" if more > 0 else "") if quoted else "none"
