"""JSON that proves on reading that it is what was written: its last value is the SHA-256 of the text before."""

from __future__ import annotations

import hashlib
import json
import re

from pydantic import JsonValue

SEAL = re.compile(rb', "seal": "([0-9a-f]{64})"\}\n\Z')


def sealed(text: str) -> str:
    """The JSON text of an object that isn't empty, with its seal as the last value."""
    body = text.rstrip()
    assert body.endswith("}")
    body = body[:-1].rstrip()
    return f'{body}, "seal": "{hashlib.sha256(body.encode()).hexdigest()}"}}\n'


def unsealed(content: bytes) -> dict[str, JsonValue]:
    """The object without its seal; raises `ValueError` unless it is what was sealed."""
    found = SEAL.search(content[-200:])
    if found is None:
        raise ValueError("it has no seal at its end")
    body = content[: len(content[:-200]) + found.start()]
    if hashlib.sha256(body).hexdigest() != found[1].decode():
        raise ValueError("it no longer holds what was written")
    value: dict[str, JsonValue] = json.loads(body + b"}")
    return value
