"""E5: draws the curves that docs/experiments/weight_pruning.py wrote, as weight_pruning.png.

python docs/figures/weight_pruning.py [FOLDER]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COLOURS = {"random": "0.6", "optimal_brain_damage": "C0", "graves": "C2", "belsley": "C3"}
TITLES = {
    "e5-wine-at-once": "Wine 13-13-3, at once",
    "e5-boston-at-once": "Boston 13-39-1, at once",
    "e5-correlated-at-once": "100 inputs, y = x0, at once",
}
LABELS = {"accuracy": "test accuracy", "rmse": "test RMSE"}


def draw_means(axes: Any, rows: Sequence[Mapping[str, Any]], splits: int) -> None:
    """Mean accuracy over splits with its standard error, where weights were trained again."""
    for criterion in dict.fromkeys(row["criterion"] for row in rows):
        own = [row for row in rows if row["criterion"] == criterion]
        axes.errorbar(
            [row["share"] for row in own],
            [row["mean"] for row in own],
            [row["error"] or 0.0 for row in own],
            color=COLOURS[criterion], label=criterion.replace("_", " "), marker=".", capsize=2,
        )  # fmt: skip
    axes.set_title(f"Wine 13-13-3, trained on, {splits} splits", loc="left")
    axes.set_ylabel(LABELS["accuracy"])


def draw_once(axes: Any, name: str, settings: Sequence[Mapping[str, Any]]) -> None:
    """The curves of one spec; of a second setting, with a diagonal covariance, they are dashed."""
    for number, setting in enumerate(settings):
        for criterion, curve in setting["criteria"].items():
            metric = next(iter(curve["metrics"]["test"]))
            axes.plot(
                curve["share"], curve["metrics"]["test"][metric], color=COLOURS[criterion],
                linestyle="-" if number == 0 else "--", marker=".",
            )  # fmt: skip
            axes.set_ylabel(LABELS.get(metric, metric))
    dashed = "; dashed: diagonal" if len(settings) > 1 else ""
    axes.set_title(f"{TITLES[name]}{dashed}", loc="left", fontsize=10)


def figure(folder: Path) -> Any:
    """Four panels, of what is in the folder."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(10, 7), layout="constrained")
    panels = iter(drawn.subplots(2, 2).flat)
    wine = json.loads((folder / "wine.json").read_text(encoding="utf-8"))
    first = next(panels)
    draw_means(first, wine["rows"], wine["splits"])
    first.legend(frameon=False)
    once = json.loads((folder / "once.json").read_text(encoding="utf-8"))
    for name, settings in once.items():
        draw_once(next(panels), name, settings)
    for axes in drawn.axes:
        axes.set_xlabel("share of the weights removed")
        axes.grid(alpha=0.3)
    return drawn


if __name__ == "__main__":
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/e5")
    figure(source).savefig(HERE / "weight_pruning.png", dpi=150)
