"""Words for numbers."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "member"), counted(2000, "member"), counted(3, "batch")
    ('1 member', '2,000 members', '3 batches')
    """
    plural = {"batch": "batches"}.get(noun, f"{noun}s")
    return f"{number:,} {noun if number == 1 else plural}"
