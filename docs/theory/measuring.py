"""What the commands of docs/theory share: runs in temporary folders, all their trained restarts, fits and figures."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import structflow
from structflow.evidence.trained import TrainedPopulation
from structflow.results.models import SettingSummary
from structflow.results.run import Run
from structflow.runner.populations import trained_populations

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = Path(__file__).parent / "figures"
SPECS = Path(__file__).parents[2] / "specs" / "theory"
BLUE, RED, GREEN, YELLOW, GREY = "#4477aa", "#ee6677", "#228833", "#ccbb44", "0.4"


@contextmanager
def finished(name: str, overrides: Sequence[str] = ()) -> Iterator[Run]:
    """The run of specs/theory/<name>.yaml with overrides `key=value`, in a folder that lasts as long as the block."""
    with tempfile.TemporaryDirectory() as folder:
        yield structflow.run(
            SPECS / f"{name}.yaml", Path(folder) / "run", overrides=["compute.compile=false", *overrides]
        )


def settings_of(run: Run) -> list[SettingSummary]:
    """The settings of a sweep, each with its `values`, `ranking` and `relaxed`."""
    return run.summary.settings


def restarts_of(
    run: Run, setting: int = 0, round_index: int = 0, integrate: bool = True
) -> Iterator[TrainedPopulation]:
    """Every trained restart of one round of a setting, batch by batch, in float64."""
    yield from trained_populations(run.context, setting, round_index, integrate=integrate)


def log_evidence(phi: np.ndarray, y: np.ndarray, noise: float, precision: float) -> float:
    """log N(y | 0, ΦΦᵀ/a + σ²I): the evidence of y = Φw + σε with w ~ N(0, I/a)."""
    covariance = phi @ phi.T / precision + noise**2 * np.eye(len(y))
    fit = float(y @ np.linalg.solve(covariance, y))
    return -0.5 * (fit + float(np.linalg.slogdet(covariance)[1]) + len(y) * math.log(2 * math.pi))


def slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Least-squares slope of y against x and its standard error."""
    centred = x - x.mean()
    value = float(centred @ y / (centred @ centred))
    residual = y - y.mean() - value * centred
    return value, float(np.sqrt(residual @ residual / (len(x) - 2) / (centred @ centred)))


def new_figure(columns: int, width: float = 4.6, height: float = 3.9, rows: int = 1) -> tuple[Figure, list[Any]]:
    """A figure and its panels, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure, panels


def save(figure: Figure, name: str) -> None:
    """Write docs/theory/figures/<name>.png."""
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / f"{name}.png", dpi=120)
