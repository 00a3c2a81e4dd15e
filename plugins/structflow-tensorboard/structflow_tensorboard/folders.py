"""Names of event folders, which TensorBoard shows as names of runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from structflow.plugins import TrackedMember
from structflow.results.read import structure_name

LONGEST_NAME = 200
"""Bytes of a folder's name; file systems allow 255."""


def setting_folder(folder: Path, setting: int, values: Mapping[str, Any]) -> Path:
    """`setting0 seed 3, optimizer.restarts 2` for a setting with these values by dotted key."""
    shown = ", ".join(f"{key} {value}" for key, value in values.items())
    return folder / safe_name(f"setting{setting} {shown}".rstrip())


def member_folder(folder: Path, round_name: str, member: TrackedMember) -> Path:
    """`enumerate/x->h dense:tanh; h->y linear/restart0`; relaxed members are in `relaxed`."""
    name = "relaxed" if member.structure is None else structure_name(dict(member.structure))
    return folder / safe_name(round_name) / safe_name(name) / f"restart{member.restart}"


def safe_name(text: str) -> str:
    """The text as the name of one folder; different texts have different names.

    What separates folders, begins a hidden one or can't be printed is written as %XX; what is too long ends with its
    digest.
    """
    kept = "".join(
        character
        if character.isprintable() and character not in "/\\%" and not (index == 0 and character == ".")
        else "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
        for index, character in enumerate(text)
    )
    encoded = kept.encode()
    if len(encoded) <= LONGEST_NAME:
        return kept
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    return f"{encoded[: LONGEST_NAME - 13].decode(errors='ignore')} {digest}"
