"""T7: E_q max γ and the two entropies of q(Γ) as its temperature falls. Prints a table and draws figures/t07.png.

python docs/theory/t07_vertices.py
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from measuring import BLUE, GREEN, GREY, RED, finished, new_figure, save, settings_of
from scipy.special import entr

from structflow.distributions import gumbel_softmax
from structflow.report.simplex import restart_probabilities

EDGE = "x->y"
DRAWS = 100_000
OWN_WEIGHTS = ["model.edges[0].basis[0].share=null", "model.edges[0].basis[1].share=null"]
HELD = [
    "prior.structure.temperature=0.5",
    "sweep=[{posterior.structure.temperature: [2.0, 1.0, 0.5, 0.2, 0.1, 0.05]}]",
]
VARIANTS = {"c_temp = θ_temp": [], "c_temp = θ_temp, own weights": OWN_WEIGHTS, "c_temp = 0.5": HELD}
PANELS = {
    "distance": "1 − E max γ",
    "rounded": "entropy of the rounded structure",
    "differential": "differential entropy",
}


@dataclass(frozen=True)
class Ends:
    """Where q(Γ) ends at one temperature, a number for each restart."""

    temperature: float
    distance: np.ndarray
    rounded: np.ndarray
    differential: np.ndarray
    constant: np.ndarray


def ends_of(temperature: float, probabilities: np.ndarray) -> Ends:
    """From p = s_q / Σ s_q (restarts, K): 1 − E max γ and −E log q(γ) by Monte Carlo, and −Σ p log p."""
    log_s = torch.from_numpy(probabilities).log().unsqueeze(1)
    theta = torch.tensor(temperature, dtype=torch.float64)
    uniform = torch.rand(DRAWS, probabilities.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    log_gamma = gumbel_softmax.sample_log_gamma(log_s, theta, uniform)
    return Ends(
        temperature,
        -torch.expm1(log_gamma.amax(-1)).mean(-1).numpy(),
        entr(probabilities).sum(1),
        -gumbel_softmax.log_prob(log_s, theta, log_gamma).mean(-1).numpy(),
        probabilities[:, 2],
    )


def main() -> None:
    """Print a row for every temperature and variant: means over restarts, and the range of the rounded entropy."""
    found: dict[str, list[Ends]] = {}
    for variant, overrides in VARIANTS.items():
        print(f"{variant} (log 2 = {math.log(2):.4f}):")
        print("  θ_temp  E max γ  1 − E max γ  rounded entropy (min to max)  differential entropy  q(constant)")
        with finished("t7-vertices", overrides) as run:
            for number, setting in enumerate(settings_of(run)):
                temperature = setting["values"]["posterior.structure.temperature"]
                ends = ends_of(temperature, restart_probabilities(run, EDGE, number))
                found.setdefault(variant, []).append(ends)
                print(
                    f"  {temperature:6g}  {1 - ends.distance.mean():7.4f}  {ends.distance.mean():11.4f}"
                    f"  {ends.rounded.mean():6.4f}"
                    f" ({ends.rounded.min():.4f} to {ends.rounded.max():.4f})     {ends.differential.mean():14.3f}"
                    f"  {ends.constant.mean():16.4f}",
                    flush=True,
                )
    figure, panels = new_figure(3, width=4.0)
    for (variant, rows), colour, marker in zip(found.items(), (BLUE, GREEN, RED), "osx", strict=True):
        temperatures = [ends.temperature for ends in rows]
        for axes, name in zip(panels, PANELS, strict=True):
            values = np.array([getattr(ends, name) for ends in rows])
            axes.plot(temperatures, values.mean(1), color=colour, label=variant)
            axes.plot(np.repeat(temperatures, values.shape[1]), values.ravel(), marker, color=colour, alpha=0.4)
    for axes, title in zip(panels, PANELS.values(), strict=True):
        axes.set(xscale="log", xlabel="temperature θ_temp of q(Γ)")
        axes.set_title(title, loc="left", fontsize=10)
    panels[0].set(yscale="log", ylabel="1 − E max γ")
    panels[1].set(ylim=(0, 1.15), ylabel="nats")
    for value, label, style in ((math.log(2), "log 2", "--"), (math.log(3), "log 3", ":")):
        panels[1].axhline(value, color=GREY, linestyle=style, linewidth=1, label=label)
    panels[2].set(ylabel="nats")
    panels[1].legend(fontsize=8, loc="lower right")
    save(figure, "t07")


if __name__ == "__main__":
    main()
