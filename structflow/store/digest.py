"""Logical digests: of values, shapes, dtypes and names, whatever bytes they were stored as."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def digest_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, dtypes, shapes and decoded values, in the order of names."""
    summary = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        summary.update(f"{json.dumps(name)} {array.dtype.str} {array.shape};".encode())
        summary.update(array.tobytes())
    return summary.hexdigest()


def digest_of_json(value: Any) -> str:
    """SHA-256 over the canonical JSON of a value: sorted keys, no spaces."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """One text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
