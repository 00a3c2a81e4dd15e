"""E1: prints where q(Γ) and p(Γ) end with and without repulsion from two corners, and draws repulsion.png.

python docs/figures/repulsion.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import structflow
from structflow.report.simplex import restart_probabilities, restart_samples, save_simplex_histograms
from structflow.results.run import Run
from structflow.runner.populations import trained_populations

HERE = Path(__file__).parent
SPEC = HERE.parents[1] / "specs" / "e1-repulsion.yaml"
EDGE = "x->y"
NAMES = ["constant", "tanh of x0", "tanh of all"]
SAMPLES = 2000
VARIANTS = {
    "repelled from two corners": [],
    "p(Γ) learned, no P": ["objective.c_comb=0", "objective.against=[]"],
    "p(Γ) fixed, no P": ["objective.c_comb=0", "objective.against=[]", "prior.structure.learned=false"],
}


def prior_probabilities(run: Run) -> np.ndarray:
    """Probability of p(Γ) that γ rounds to each function, (restarts, 3); equal where p is not learned."""
    parameters = next(trained_populations(run.context, 0, 0)).parameters
    log_s = parameters.hyper.structure[EDGE].numpy() if parameters.hyper.structure else np.zeros((1, 3))
    odds = np.exp(log_s - log_s.max(axis=1, keepdims=True))
    probabilities: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
    return probabilities


def main() -> None:
    """Print q and p of every variant; the figure shows samples of q(Γ)."""
    panels: dict[str, np.ndarray] = {}
    print("variant                    mean of q            smallest q(second)  restarts round to  mean of p")
    for title, overrides in VARIANTS.items():
        with tempfile.TemporaryDirectory() as folder:
            run = structflow.run(SPEC, Path(folder) / "run", overrides=["compute.compile=false", *overrides])
            q = restart_probabilities(run, EDGE)
            panels[title] = restart_samples(run, EDGE, SAMPLES)
            counts = np.bincount(q.argmax(axis=1), minlength=3)
            print(
                f"{title:25s}  {'  '.join(f'{value:.3f}' for value in q.mean(axis=0))}  {q[:, 1].min():18.3f}"
                f"  {', '.join(map(str, counts))} of {len(q)}"
                f"      {'  '.join(f'{value:.3f}' for value in prior_probabilities(run).mean(axis=0))}"
            )
    save_simplex_histograms(panels, NAMES, HERE / "repulsion.png", columns=len(panels))


if __name__ == "__main__":
    main()
