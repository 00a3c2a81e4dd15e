"""Figures as image files; matplotlib is an extra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import CallError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty figure of this size in inches; raises `CallError` where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CallError("figures need matplotlib: pip install 'structflow[plot]'") from error
    return Figure(figsize=(width, height), layout=layout)


def save_image(figure: Figure, target: Path) -> None:
    """Save a figure in the format that the name ends with; raises `CallError` where that can't be."""
    try:
        figure.savefig(target, dpi=150)
    except (OSError, ValueError) as error:
        raise CallError(f"can't write the figure {target}: {error}") from None
