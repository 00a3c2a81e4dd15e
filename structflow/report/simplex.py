"""Where the restarts of a relaxed run end on the simplex of one edge with three basis functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CallError
from ..plan.tasks import Task

if TYPE_CHECKING:
    from ..results.run import Run

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])


def restart_probabilities(run: Run, edge: str, setting: int = 0) -> np.ndarray:
    """q(Γ)'s probability that each basis function of `edge` is picked when γ is rounded: (restarts, K)."""
    log_s, restarts = _log_concentrations(run, edge, setting)
    odds = np.exp(log_s - log_s.max(axis=1, keepdims=True))
    probabilities: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
    return probabilities[np.argsort(restarts)]


def _log_concentrations(run: Run, edge: str, setting: int) -> tuple[np.ndarray, np.ndarray]:
    """log s_q of an edge (restarts, K) and the number of each restart, from the records of the relaxed round."""
    context = run.context
    last = len(context.stages(setting)) - 1
    rows: list[np.ndarray] = []
    restarts: list[int] = []
    for slot in range(context.plan.settings[setting].rounds[0].slots):
        record = context.directory.record(Task("train", setting, 0, last, slot).name)
        if record.payload["empty"] or record.payload["members"][0]["structure"] is not None:
            continue
        stored = context.directory.arrays(record)
        rows.append(np.asarray(stored[f"parameter/structure/{edge}"], dtype=np.float64))
        restarts += [member["restart"] for member in record.payload["members"]]
    if not rows:
        raise CallError(f"{run.path} has no relaxed members; it needs the regime evidence")
    return np.concatenate(rows), np.array(restarts)


def draw_simplex(axes: Any, probabilities: np.ndarray, names: list[str], title: str) -> None:
    """Points of the triangle, (restarts, 3), jittered a little so that equal ones are seen."""
    outline = np.vstack([CORNERS, CORNERS[:1]])
    axes.plot(outline[:, 0], outline[:, 1], color="0.6", linewidth=1)
    jitter = np.random.default_rng(0).normal(0.0, 0.012, (len(probabilities), 2))
    points = probabilities @ CORNERS + jitter
    axes.scatter(points[:, 0], points[:, 1], s=28, color="#4477aa", alpha=0.6, edgecolor="none")
    for corner, name, (dx, dy) in zip(CORNERS, names, ((0, -0.07), (0, -0.07), (0, 0.05)), strict=True):
        axes.text(corner[0] + dx, corner[1] + dy, name, ha="center", va="center")
    axes.set_title(title)
    axes.set_xlim(-0.2, 1.2)
    axes.set_ylim(-0.14, 1.0)
    axes.set_aspect("equal")
    axes.axis("off")


def save_simplex_figure(panels: dict[str, np.ndarray], names: list[str], target: Path) -> None:
    """A triangle for every title and its restarts' probabilities (restarts, 3), side by side."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CallError("figures need matplotlib: pip install 'structflow[plot]'") from error
    figure = Figure(figsize=(4.6 * len(panels), 4.4), layout="constrained")
    for axes, (title, probabilities) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        draw_simplex(axes, probabilities, names, title)
    figure.savefig(target, dpi=120)
