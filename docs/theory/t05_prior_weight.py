"""T5: KL(q ‖ p(· | h)) at the best of three starts, against c_prior, by two hypergradients. Draws figures/t05.png.

python docs/theory/t05_prior_weight.py
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from linear_gaussian import Curves, curves_of, trained_terms
from measuring import BLUE, GREY, RED, finished, new_figure, restarts_of, save, settings_of

NOISES = {"noise 2": 2.0, "noise 0.5": 0.5}
METHODS = {
    "hoag": [],
    "first_order": ["optimizer.outer={type: first_order, every: 10, rate: 0.2, despite_bias: true}"],
}
FLOOR = 1e-7
"""KL that the figure draws in place of 0."""


@dataclass(frozen=True)
class End:
    """Where one start ended: the precision it started from, log A, KL and Q = E − c_prior KL."""

    start: float
    log_precision: float
    divergence: float
    objective: float


def ends(noise: float, method: str) -> tuple[dict[float, list[End]], Curves]:
    """The ends of the starts of every c_prior, and the closed form."""
    found: dict[float, list[End]] = {}
    overrides = [f"data.noise={noise}", f"model.likelihood.noise={noise}", *METHODS[method]]
    with finished("t5-prior-weight", overrides) as run:
        for number, setting in enumerate(settings_of(run)):
            c_prior, start = setting["values"]["objective.c_prior"], setting["values"]["prior.weights.precision"]
            (trained,) = restarts_of(run, number)
            log_precision, fit, divergence = trained_terms(trained)
            end = End(start, log_precision, divergence, fit - c_prior * divergence)
            found.setdefault(c_prior, []).append(end)
        return found, curves_of(run, noise)


def report_best(found: dict[float, list[End]], curves: Curves) -> list[End]:
    """Print the start with the highest Q for every c_prior beside the closed form, and return them."""
    best = [max(group, key=lambda end: end.objective) for group in found.values()]
    print("c_prior   start     log A          KL           Q  | closed form: log A, KL, Q")
    for c_prior, end in zip(found, best, strict=True):
        log_precision, divergence, objective = curves.best(c_prior)
        print(
            f"{c_prior:7g}  {end.start:6g}  {end.log_precision:8.4f}  {end.divergence:10.6f}  {end.objective:10.4f}"
            f"  | {log_precision:8.4f}  {divergence:10.6f}  {objective:10.4f}"
        )
    rises = np.diff([end.divergence for end in best])
    print(f"largest rise from one c_prior to the next: {max(0.0, float(rises.max())):.1e} nats")
    return best


def by_start(found: dict[float, list[End]]) -> dict[float, list[End]]:
    """The ends of every start, in the order of c_prior."""
    starts = sorted({end.start for group in found.values() for end in group})
    return {start: [end for group in found.values() for end in group if end.start == start] for start in starts}


def report_starts(found: dict[float, list[End]]) -> None:
    """Print where every start ends, and how far its ends differ over c_prior."""
    for start, ended in by_start(found).items():
        precisions = [end.log_precision for end in ended]
        print(
            f"from precision {start:g}: KL {', '.join(f'{end.divergence:.4g}' for end in ended)}; log A"
            f" {', '.join(f'{value:.3f}' for value in precisions)}; spread of log A"
            f" {max(precisions) - min(precisions):.1e}"
        )


def main() -> None:
    """Print where all starts end and, for hoag, the best of every c_prior; the figure shows KL against c_prior."""
    figure, panels = new_figure(len(NOISES), width=5.4)
    for (title, noise), axes in zip(NOISES.items(), panels, strict=True):
        for method in METHODS:
            found, curves = ends(noise, method)
            print(f"\n{title}, {method}")
            if method == "hoag":
                best = report_best(found, curves)
                divergences = [end.divergence for end in best]
                axes.plot(list(found), divergences, "o", color=BLUE, markersize=7, label="hoag, best of three starts")
            report_starts(found)
            for number, ended in enumerate(by_start(found).values()):
                label = None if number else f"{method}, every start"
                style = {"marker": ".", "linestyle": ""} if method == "hoag" else {"marker": "x", "linewidth": 1}
                colour = BLUE if method == "hoag" else RED
                values = [end.divergence for end in ended]
                axes.plot(list(found), values, color=colour, markersize=5, alpha=0.6, label=label, **style)
        grid = np.geomspace(0.1, 30, 400)
        line = [max(curves.best(c)[1], FLOOR) for c in grid]
        axes.plot(grid, line, color=GREY, label="closed form, global maximum (0 drawn at the edge)")
        axes.set(xscale="log", yscale="log", ylim=(FLOOR, 60), xlabel="c_prior", ylabel="KL, nats")
        axes.set_title(f"{title}, 40 rows, 11 weights", loc="left", fontsize=10)
        axes.legend(fontsize=8, loc="center left")
    save(figure, "t05")


if __name__ == "__main__":
    main()
