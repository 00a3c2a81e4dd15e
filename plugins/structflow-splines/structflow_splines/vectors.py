"""The check that all functions of this package share: they map vectors to vectors."""

from __future__ import annotations

from structflow.errors import ShapeMismatch
from structflow.plugins import Shape


def vector_sizes(name: str, in_shape: Shape, out_shape: Shape) -> tuple[int, int]:
    """Numbers of inputs and outputs; raises `ShapeMismatch` for anything but a vector to a vector."""
    if len(in_shape) != 1 or len(out_shape) != 1:
        raise ShapeMismatch(f"{name} maps a vector to a vector; got {list(in_shape)} to {list(out_shape)}")
    return in_shape[0], out_shape[0]
