"""E1: prints how q(Γ) ends at three temperatures by three weights of the prior, and draws nine_settings.png.

python docs/figures/nine_settings.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import structflow
from structflow.report.simplex import restart_probabilities, restart_samples, save_simplex_histograms

HERE = Path(__file__).parent
SPEC = HERE.parents[1] / "specs" / "e1-nine-settings.yaml"
EDGE = "x->y"
NAMES = ["constant", "tanh of x0", "tanh of all"]
SAMPLES = 2000


def main() -> None:
    """Print the rounding probabilities, the mean γ and the rounded restarts of each setting; draw samples of γ."""
    panels: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = structflow.run(SPEC, Path(folder) / "run", overrides=["compute.compile=false"])
        print(
            "c_temp  c_train  c_prior  c_reg  q                    mean of γ            mean max γ  restarts round to"
        )
        for number, setting in enumerate(run.summary["settings"]):
            values = {key.rpartition(".")[2]: value for key, value in setting["values"].items()}
            q = restart_probabilities(run, EDGE, number)
            gamma = restart_samples(run, EDGE, SAMPLES, number)
            counts = np.bincount(q.argmax(axis=1), minlength=3)
            print(
                f"{values['temperature']:6g}  {values['c_train']:7g}  {values['c_prior']:7g}  {values['c_reg']:5g}"
                f"  {'  '.join(f'{value:.3f}' for value in q.mean(axis=0))}"
                f"  {'  '.join(f'{value:.3f}' for value in gamma.mean(axis=(0, 1)))}"
                f"  {gamma.max(axis=2).mean():10.3f}  {', '.join(map(str, counts))} of {len(q)}"
            )
            factors = f"{values['c_train']:g}, {values['c_prior']:g}, {values['c_reg']:g}"
            panels[f"temperature {values['temperature']:g}, c = ({factors})"] = gamma
    save_simplex_histograms(panels, NAMES, HERE / "nine_settings.png", columns=3)


if __name__ == "__main__":
    main()
