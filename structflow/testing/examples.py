"""Examples of plugins that the checks are made with: options, and what else a kind needs to be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..plugins import Shape


@dataclass(frozen=True)
class Example:
    """Options of a plugin as a spec gives them, without its type."""

    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """What tells it from other examples, for the name of a check."""
        return ",".join(f"{key}={shown(value)}" for key, value in self.options.items())


@dataclass(frozen=True)
class BasisExample(Example):
    """A basis function between two shapes that it can map one to the other."""

    in_shape: Shape = (3,)
    out_shape: Shape = (2,)

    @property
    def short(self) -> str:
        """Its options and shapes, such as `degree=3-3to2`."""
        shapes = "to".join("x".join(map(str, shape)) or "scalar" for shape in (self.in_shape, self.out_shape))
        return "-".join(part for part in (super().short, shapes) if part)


@dataclass(frozen=True)
class LikelihoodExample(Example):
    """A likelihood over so many target columns; `n_classes` counts where its targets are classes.

    `targets` are prepared values that it can be given, taken in turn: name some where y can't be any number, or count.
    """

    n_targets: int = 1
    n_classes: int = 0
    targets: Sequence[float] | None = None

    @property
    def short(self) -> str:
        """Its options and numbers, such as `noise=0.5-2targets`."""
        size = f"{self.n_classes}classes" if self.n_classes else f"{self.n_targets}targets"
        return "-".join(part for part in (super().short, size) if part)


@dataclass(frozen=True)
class DataSourceExample(Example):
    """A table that can be read; relative paths in its options start at `base`."""

    base: Path = Path()


def shown(value: Any) -> str:
    """A value of an option in a few characters."""
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    plain = "".join(character if character.isascii() and character.isprintable() else "_" for character in text)
    return plain if len(plain) <= 24 else f"{plain[:21]}..."
