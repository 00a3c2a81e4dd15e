"""The identity of a spec: what it says, not how it is written."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .effects import selected
from .models import Spec


def spec_hash(spec: Spec) -> str:
    """SHA-256 over the canonical JSON of the spec with all defaults filled in.

    Comments, formatting, the order of keys and defaults written out make no difference, nor do `trackers`, which never
    change what is computed.
    """
    data = canonical(spec.model_dump(mode="json", by_alias=True, include=selected(Spec, lambda mark: mark.identifies)))
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def canonical(value: Any) -> Any:
    """Plain data in which a whole number is an integer, however it was written (1 or 1.0)."""
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
