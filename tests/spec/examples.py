"""A small valid spec, as text and as data, that the tests change in one place."""

from __future__ import annotations

from typing import Any

import yaml

TEXT = """\
structflow: 1
name: example
data: {source: synthetic, rows: 20, inputs: 2, formula: "tanh(x0)", noise: 0.1}
model:
  nodes: {x: {}, h: {shape: [3]}, y: {}}
  edges:
    - {from: x, to: h, choose: one, basis: [{type: dense, activation: tanh}, {type: dense, activation: relu}]}
    - {from: h, to: y, basis: [linear]}
"""


def example(**sections: Any) -> dict[str, Any]:
    """The data of the spec with these sections set."""
    return {**yaml.safe_load(TEXT), **sections}
