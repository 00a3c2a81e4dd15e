"""Where the restarts of a relaxed run end on the simplex of one edge with three basis functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CallError
from .image import new_figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..evidence.trained import TrainedPopulation
    from ..results.run import Run

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])

CELLS = 24
"""Small triangles along each side of a histogram."""

DENSITIES = (0.05, 50.0)
"""Ends of the colours of a histogram, in multiples of the uniform density."""


def restart_probabilities(run: Run, edge: str, setting: int = 0) -> np.ndarray:
    """q(Γ)'s probability that each basis function of `edge` is picked when γ is rounded: (restarts, K)."""
    log_s, restarts = _log_concentrations(run, edge, setting)
    odds = np.exp(log_s - log_s.max(axis=1, keepdims=True))
    probabilities: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
    return probabilities[np.argsort(restarts)]


def restart_samples(run: Run, edge: str, samples: int, setting: int = 0) -> np.ndarray:
    """Samples γ of every restart's q(Γ) on `edge`, a posterior of `choose: one`: (restarts, samples, K)."""
    found: list[np.ndarray] = []
    restarts: list[int] = []
    for trained in _relaxed_populations(run, setting):
        found.append(trained.structure_samples(samples, "simplex").coordinates[edge].exp().cpu().numpy())
        restarts += [member.restart for member in trained.bound.population.members]
    return np.concatenate(found)[np.argsort(restarts)]


def _log_concentrations(run: Run, edge: str, setting: int) -> tuple[np.ndarray, np.ndarray]:
    """log s_q of an edge (restarts, K) and the number of each restart, of the relaxed round."""
    rows: list[np.ndarray] = []
    restarts: list[int] = []
    for trained in _relaxed_populations(run, setting):
        rows.append(trained.parameters.theta.structure[edge].cpu().numpy())
        restarts += [member.restart for member in trained.bound.population.members]
    return np.concatenate(rows), np.array(restarts)


def _relaxed_populations(run: Run, setting: int) -> Iterator[TrainedPopulation]:
    """The members of the relaxed round after its last stage; an error where there are none."""
    from ..runner.populations import trained_populations

    found = [each for each in trained_populations(run.context, setting, 0) if each.bound.population.is_relaxed]
    if not found:
        raise CallError(f"{run.path} has no relaxed members; it needs the regime evidence")
    yield from found


def draw_simplex(axes: Any, probabilities: np.ndarray, names: list[str], title: str) -> None:
    """Points of the triangle, (restarts, 3), jittered a little so that equal ones are seen."""
    _frame(axes, names, title)
    jitter = np.random.default_rng(0).normal(0.0, 0.012, (len(probabilities), 2))
    points = probabilities @ CORNERS + jitter
    axes.scatter(points[:, 0], points[:, 1], s=28, color="#4477aa", alpha=0.6, edgecolor="none")


def simplex_histogram(samples: np.ndarray, cells: int = CELLS) -> tuple[np.ndarray, np.ndarray]:
    """Samples γ, (n, 3), counted in cells² equal triangles: their corners (cells², 3, 3) and densities (cells²,).

    Densities are multiples of the uniform one, so their mean is 1. With (i, j, k) = ⌊cells · γ⌋ a triangle that points
    as the whole does has i + j + k = cells − 1, one that points the other way cells − 2.
    """
    scaled = np.clip(samples, 0.0, 1.0) * cells
    floors = np.minimum(np.floor(scaled[:, :2]).astype(int), cells - 1)
    i, j = floors.T
    j = np.minimum(j, cells - 1 - i)
    turned = (scaled[:, 0] - i + scaled[:, 1] - j > 1) & (i + j < cells - 1)
    counts = np.bincount((i * cells + j) * 2 + turned, minlength=2 * cells**2)
    corners, kept = [], []
    for first in range(cells):
        for second in range(cells - first):
            whole = np.array([[first, second], [first + 1, second], [first, second + 1]])
            for turn in (0, 1) if first + second < cells - 1 else (0,):
                two = [first + 1, second + 1] - whole + [first, second] if turn else whole
                corners.append(np.column_stack([two, cells - two.sum(axis=1)]) / cells)
                kept.append(counts[(first * cells + second) * 2 + turn])
    return np.array(corners), np.array(kept) * cells**2 / max(1, len(samples))


def draw_simplex_histogram(axes: Any, samples: np.ndarray, names: list[str], title: str) -> Any:
    """The density of samples γ, (n, 3), over the triangle, on a logarithmic scale; returns what a colour bar needs."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import LogNorm

    corners, density = simplex_histogram(samples)
    shown = density > 0
    cells = PolyCollection(
        list(corners[shown] @ CORNERS),
        array=np.clip(density[shown], *DENSITIES),
        norm=LogNorm(*DENSITIES),
        cmap="viridis_r",
        edgecolors="face",
        linewidths=0.3,
    )
    axes.add_collection(cells)
    _frame(axes, names, title)
    return cells


def _frame(axes: Any, names: list[str], title: str) -> None:
    """The triangle with its corners' names."""
    outline = np.vstack([CORNERS, CORNERS[:1]])
    axes.plot(outline[:, 0], outline[:, 1], color="0.6", linewidth=1)
    for corner, name, (dx, dy) in zip(CORNERS, names, ((0, -0.07), (0, -0.07), (0, 0.05)), strict=True):
        axes.text(corner[0] + dx, corner[1] + dy, name, ha="center", va="center")
    axes.set_title(title)
    axes.set_xlim(-0.2, 1.2)
    axes.set_ylim(-0.14, 1.0)
    axes.set_aspect("equal")
    axes.axis("off")


def save_simplex_figure(panels: dict[str, np.ndarray], names: list[str], target: Path) -> None:
    """A triangle for every title and its restarts' probabilities (restarts, 3), side by side."""
    figure, axes = _new_figure(len(panels), len(panels))
    for place, (title, probabilities) in zip(axes, panels.items(), strict=True):
        draw_simplex(place, probabilities, names, title)
    figure.savefig(target, dpi=120)


def save_simplex_histograms(panels: dict[str, np.ndarray], names: list[str], target: Path, columns: int) -> None:
    """A histogram for every title and its samples γ, (..., 3), row by row, with one scale of colours."""
    figure, axes = _new_figure(len(panels), columns)
    cells = None
    for place, (title, samples) in zip(axes, panels.items(), strict=False):
        cells = draw_simplex_histogram(place, samples.reshape(-1, 3), names, title)
    for place in axes[len(panels) :]:
        place.axis("off")
    if cells is not None:
        figure.colorbar(cells, ax=axes, shrink=0.6, label="density, multiples of the uniform one")
    figure.savefig(target, dpi=120)


def _new_figure(panels: int, columns: int) -> tuple[Any, list[Any]]:
    """A figure and its panels, row by row."""
    rows = -(-panels // columns)
    figure = new_figure(4.6 * columns, 4.4 * rows)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)
