"""A small spec with nothing but defaults, which conflicts are asked about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from ..spec.models import Spec

DOCUMENT: dict[str, JsonValue] = {
    "name": "testing",
    "data": {"source": "synthetic", "rows": 40, "inputs": 2, "formula": "tanh(x0)", "noise": 0.2},
    "model": {
        "nodes": {"x": {}, "h": {"shape": [2]}, "y": {}},
        "edges": [
            {"from": "x", "to": "h", "choose": "one", "basis": ["dense", {"type": "dense", "activation": "relu"}]},
            {"from": "h", "to": "y", "basis": ["linear"]},
        ],
    },
    "optimizer": {"inner": {"steps": 20}, "restarts": 2},
    "evidence": {"samples": 8},
    "compute": {"compile": False},
}
"""Two structures, forty rows, two restarts, twenty steps."""


def default_spec(optimizer: Mapping[str, Any] | None = None, **sections: Any) -> Spec:
    """The spec with these values in place of its own; they are validated options already."""
    spec = Spec.model_validate(DOCUMENT)
    sections = {**sections, "optimizer": spec.optimizer.model_copy(update=dict(optimizer or {}))}
    return spec.model_copy(update=sections)
