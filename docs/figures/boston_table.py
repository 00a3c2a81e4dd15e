"""Evidence as the criterion, published and ours: prints the table and draws docs/figures/boston.png.

    python docs/figures/boston_table.py

It reads docs/experiments/boston_houses.json, which docs/experiments/boston_houses.py writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE.parent / "experiments" / "boston_houses.json"
COLUMNS = ("none", "validation", "validation + prior", "SGD entropy", "SGLD entropy", "mean-field normal")
PUBLISHED = {
    "one": {"rmse": (8.1, 5.9, 5.2, 3.7, 6.7, 5.0), "rmse_noisy": (43.9, 18.6, 15.8, 11.9, 20.3, 18.2)},
    "three": {"rmse": (7.1, 4.3, 4.4, 3.2, 4.6, 6.8), "rmse_noisy": (23.4, 18.7, 18.3, 9.0, 14.5, 15.2)},
}
BLUE, GREY, RED = "#4477aa", "0.6", "#ee6677"
INPUTS = {"standardised": BLUE, "raw": RED}


def values(results: dict[str, dict[str, Any]], layers: str, inputs: str, column: str, name: str) -> list[float]:
    """A number of all splits."""
    return [
        found[name]
        for key, found in results.items()
        if key.startswith(f"{layers}/{inputs}/") and key.endswith(f"/{column}")
    ]


def shown(numbers: list[float]) -> str:
    """The mean, and the standard deviation over splits where there are several."""
    if not numbers:
        return ""
    return f"{np.mean(numbers):.2f}" + (f" ± {np.std(numbers, ddof=1):.2f}" if len(numbers) > 1 else "")


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Published and ours, for both depths and both kinds of inputs."""
    print("| layers, inputs | | " + " | ".join(COLUMNS) + " |")
    print("|---|---|" + "---:|" * len(COLUMNS))
    for layers in PUBLISHED:
        for name, title in (("rmse", "RMSE"), ("rmse_noisy", "RMSE_.5")):
            cells = " | ".join(f"{number:g}" for number in PUBLISHED[layers][name])
            print(f"| {layers}, published | {title} | {cells} |")
            for inputs in INPUTS:
                found = [shown(values(results, layers, inputs, column, name)) for column in COLUMNS]
                if any(found):
                    print(f"| {layers}, {inputs} | {title} | " + " | ".join(found) + " |")


def draw(results: dict[str, dict[str, Any]], path: Path) -> None:
    """RMSE of every column: bars of what was published, marks of ours on every split."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, (layers, published) in zip(figure.subplots(1, 2, sharey=True), PUBLISHED.items(), strict=True):
        axes.bar(range(len(COLUMNS)), published["rmse"], color=GREY, width=0.6, label="published")
        for inputs, colour in INPUTS.items():
            label: str | None = f"ours, inputs {inputs}"
            for place, column in enumerate(COLUMNS):
                numbers = values(results, layers, inputs, column, "rmse")
                if numbers:
                    axes.plot([place] * len(numbers), numbers, "o", color=colour, label=label)
                    label = None
        axes.set_title(f"{layers} layer{'s' if layers == 'three' else ''} of 50", loc="left", fontsize=10)
        axes.set_xticks(range(len(COLUMNS)), [column.replace(" ", "\n") for column in COLUMNS], fontsize=8)
        axes.set_ylabel("test RMSE")
        axes.grid(axis="y", alpha=0.3)
        axes.set_ylim(0, 10.5)
        axes.legend(fontsize=8, loc="upper right")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print and draw."""
    results = json.loads((Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS).read_text(encoding="utf-8"))
    print_table(results)
    draw(results, HERE / "boston.png")


if __name__ == "__main__":
    main()
