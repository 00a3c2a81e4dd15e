"""Draws architecture.png: the way of one parameter from the spec to the compiled step and to the results.

python docs/figures/architecture.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

ROOMS = [
    ("spec", "prior.weights: {type: normal, precision: per_function}", "Spec, with the plugin's options"),
    ("plan", "not there yet: rounds, batches and tasks are counted", "Plan"),
    ("runner, model", "the members that chose x->h dense:tanh have C slots", "Population"),
    ("objective", "log A, a tensor (C,), role p(w | h)", "Bound: H(q) + E log p(w | A) + …"),
    ("train", "C numbers of one vector (P,), marked as h", "traced and compiled step"),
    ("store", "an array in float64 with its digest", "committed record"),
    ("evidence", "the same Bound, fresh noise, float64", "evidence, metrics"),
    ("results, report", "posterior/log_precision in result.zarr", "ranking, pages, predictions"),
]
"""Each part, what the parameter is there, and what the part hands on."""


def main() -> None:
    """Draw the figure."""
    figure, axes = plt.subplots(figsize=(10.5, 6.4))
    for number, (room, what, hands_on) in enumerate(ROOMS):
        y = -number
        axes.add_patch(plt.Rectangle((0, y - 0.34), 9.6, 0.68, facecolor="#eef3f8", edgecolor="#38618c", linewidth=1))
        axes.text(0.15, y, room, va="center", weight="bold", fontsize=10)
        axes.text(2.5, y, what, va="center", fontsize=9)
        if number + 1 < len(ROOMS):
            axes.annotate("", (4.8, y - 0.66), (4.8, y - 0.34), arrowprops={"arrowstyle": "-|>", "color": "#38618c"})
        axes.text(9.8, y, hands_on, va="center", fontsize=9, color="#555555", style="italic")
    axes.set_xlim(-0.05, 14)
    axes.set_ylim(-len(ROOMS) + 0.5, 0.5)
    axes.axis("off")
    figure.savefig(Path(__file__).with_name("architecture.png"), dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
