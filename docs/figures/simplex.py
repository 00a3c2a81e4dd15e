"""E1: prints how q(Γ) ends in specs/e1-simplex.yaml over several generated tables, and draws simplex.png.

python docs/figures/simplex.py [tables]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import structflow
from structflow.report.simplex import restart_probabilities, save_simplex_figure

HERE = Path(__file__).parent
SPEC = HERE.parents[1] / "specs" / "e1-simplex.yaml"
EDGE = "x->y"
SECOND = 1
VARIANTS = {
    "as in the spec": [],
    "structure not held at first": ["optimizer.inner.structure_warmup=0"],
}


def run(overrides: list[str]) -> tuple[np.ndarray, float]:
    """q(Γ) of every restart, (20, 3), and the bound of the best."""
    with tempfile.TemporaryDirectory() as folder:
        finished = structflow.run(SPEC, Path(folder) / "run", overrides=["compute.compile=false", *overrides])
        relaxed = finished.summary["relaxed"]
        return restart_probabilities(finished, EDGE), relaxed["bound"]


def main() -> None:
    """Print a row for every table and variant; the figure shows the first table."""
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    panels = {}
    for title, overrides in VARIANTS.items():
        print(f"{title}:\n  table  mean of q(second)  smallest  round to the second  bound of the best restart")
        for table in range(tables):
            q, bound = run([*overrides, f"data.seed={table}"])
            rounded = int((q.argmax(axis=1) == SECOND).sum())
            print(
                f"  {table:5d}  {q[:, SECOND].mean():17.3f}  {q[:, SECOND].min():8.3f}  {rounded:13d} of {len(q)}"
                f"  {bound:25.2f}",
                flush=True,
            )
            panels.setdefault(title, q)
    save_simplex_figure(panels, ["constant", "tanh of x0", "tanh of all"], HERE / "simplex.png")


if __name__ == "__main__":
    main()
