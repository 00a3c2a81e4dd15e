"""Which shapes the maps of series take: (length, channels) to (length, units), or to (units,) at the last step."""

from __future__ import annotations

from typing import NamedTuple

from structflow.errors import ShapeMismatch
from structflow.plugins import Shape


class SeriesSizes(NamedTuple):
    """Sizes of a map of series; with `whole` it gives every step, else the last one."""

    length: int
    channels: int
    units: int
    whole: bool


def series_sizes(name: str, in_shape: Shape, out_shape: Shape) -> SeriesSizes:
    """The sizes of a map that keeps the length or gives the last step; raises `ShapeMismatch` for other shapes."""
    if len(in_shape) != 2:
        raise ShapeMismatch(
            f"{name} takes a series of shape [length, channels]; got {list(in_shape)}. "
            "Give the node that shape; columns of a table become one with `shape: [columns, 1]`"
        )
    length, channels = in_shape
    if len(out_shape) == 1:
        return SeriesSizes(length, channels, out_shape[0], whole=False)
    if len(out_shape) != 2 or out_shape[0] != length:
        raise ShapeMismatch(
            f"{name} maps {list(in_shape)} to [{length}, units], or to [units] at the last step; got {list(out_shape)}"
        )
    return SeriesSizes(length, channels, out_shape[1], whole=True)
