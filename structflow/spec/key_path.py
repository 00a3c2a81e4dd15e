"""Where a value stands in a spec: a tuple of keys and list positions, and its dotted form `model.edges[0].choose`."""

from __future__ import annotations

import re

KeyPath = tuple[str | int, ...]

SEGMENT = re.compile(
    r"""(?:^|\.)(?P<word>[^.\[\]'"=\s]+)|\[(?P<index>\d{1,9})\]|\[(?P<quote>['"])(?P<quoted>.+?)(?P=quote)\]"""
)


def format_path(path: KeyPath) -> str:
    """The dotted form: positions in brackets, empty for the whole spec."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def parse_path(text: str) -> KeyPath | None:
    """The parts of `model.edges[0].choose`, or of `model.edges.0.choose` with "0" as text; None if it isn't a path.

    A key that holds dots is quoted: `model.nodes['h.1'].shape`.
    """
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        match = SEGMENT.match(text, position)
        if match is None:
            return None
        index = match["index"]
        parts.append(int(index) if index is not None else match["word"] or match["quoted"])
        position = match.end()
    return tuple(parts) or None


def enclosing_paths(dotted: str) -> list[str]:
    """The path itself and everything around it, innermost first: `a.b[0]`, `a.b`, `a` and the empty path."""
    ends = [match.start() for match in re.finditer(r"[.\[]", dotted)]
    return [dotted, *(dotted[:end] for end in reversed(ends)), ""]


def moved(dotted: str, old: str, new: str) -> str | None:
    """`dotted` with its beginning `old` replaced by `new`; None if it doesn't stand at or below `old`."""
    if dotted == old or dotted.startswith((f"{old}.", f"{old}[")):
        return new + dotted[len(old) :]
    return None
