"""T2: the share of restarts that round to the best structure, by temperature; and KL(GS ‖ GS). Draws figures/t02.png.

python docs/theory/t02_temperature.py [seed of a table ...]
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from measuring import BLUE, GREY, RED, finished, new_figure, save, settings_of

from structflow.distributions import gumbel_softmax
from structflow.report.simplex import restart_probabilities

EDGE = "x->y"
Q, P = (0.7, 0.2, 0.1), (1 / 3, 1 / 3, 1 / 3)
DRAWS = 1_000_000
BUDGETS = {
    "1,000 steps of 1 sample": ["optimizer.inner.steps=1000", "optimizer.inner.samples=1"],
    "3,000 steps of 4 samples": [],
}


def best_structure(table: int) -> tuple[str, float]:
    """The best function by exhaustive enumeration, and how far the second is behind, in nats."""
    overrides = [f"data.seed={table}", "regime=enumeration", "sweep=[]", "optimizer.restarts=4"]
    overrides += BUDGETS["1,000 steps of 1 sample"]
    with finished("t2-temperature", overrides) as run:
        first, second = run.ranking[:2]
        return first["structure"][EDGE][0], first["log_evidence"] - second["log_evidence"]


def divergence(temperature: float, q: tuple[float, ...], p: tuple[float, ...], seed: int) -> tuple[float, float]:
    """KL(GS(q, c) ‖ GS(p, c)) by Monte Carlo, and its standard error."""
    uniform = torch.rand(DRAWS, len(q), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    log_q, log_p = torch.tensor(q, dtype=torch.float64).log(), torch.tensor(p, dtype=torch.float64).log()
    c = torch.tensor(temperature, dtype=torch.float64)
    log_gamma = gumbel_softmax.sample_log_gamma(log_q, c, uniform)
    ratio = gumbel_softmax.log_prob(log_q, c, log_gamma) - gumbel_softmax.log_prob(log_p, c, log_gamma)
    return float(ratio.mean()), float(ratio.std() / DRAWS**0.5)


def main() -> None:
    """Print shares and mean probabilities by table, training and temperature, then the divergences."""
    tables = [int(text) for text in sys.argv[1:]] or [2]
    shares: dict[tuple[str, float], list[float]] = {}
    print(
        "table  best by enumeration  ahead  training                  c_temp  round to it  mean q(it)  best restart too"
    )
    for table in tables:
        best, ahead = best_structure(table)
        for budget, overrides in BUDGETS.items():
            with finished("t2-temperature", [f"data.seed={table}", *overrides]) as run:
                names = run.context.study.space.edges[0].names
                for number, setting in enumerate(settings_of(run)):
                    temperature = setting["values"]["prior.structure.temperature"]
                    q = restart_probabilities(run, EDGE, number)
                    hits = q.argmax(1) == names.index(best)
                    scores = np.array([-np.inf if s is None else s for s in setting["relaxed"]["restarts"]])
                    print(
                        f"{table:5d}  {best:>19s}  {ahead:5.2f}  {budget}  {temperature:7g}"
                        f"  {hits.sum():5d} of {len(hits)}  {q[:, names.index(best)].mean():10.3f}"
                        f"  {'yes' if hits[scores.argmax()] else 'no'}",
                        flush=True,
                    )
                    shares.setdefault((budget, temperature), []).append(float(hits.mean()))
    categorical = float(sum(a * np.log(a / b) for a, b in zip(Q, P, strict=True)))
    print(f"\nKL(GS(q, c) ‖ GS(p, c)), q = {Q}, p uniform; of the rounded variables: {categorical:.4f}")
    temperatures = sorted({temperature for _, temperature in shares}, reverse=True)
    values = []
    for number, temperature in enumerate(temperatures):
        values.append(divergence(temperature, Q, P, number))
        print(f"  c = {temperature:<4g}  {values[-1][0]:.4f} ± {values[-1][1]:.4f}")
    figure, (left, right) = new_figure(2)
    for budget, colour in zip(BUDGETS, (RED, BLUE), strict=True):
        table = np.array([shares[budget, temperature] for temperature in temperatures])
        left.plot(np.repeat(temperatures, table.shape[1]), table.ravel(), "o", color=colour, alpha=0.5)
        left.plot(temperatures, table.mean(1), color=colour, label=budget)
    left.axhline(1 / 5, color=GREY, linewidth=1, label="one in five")
    left.set(xscale="log", ylim=(0, 1.04), xlabel="temperature c_temp of the prior", ylabel="share")
    left.set_title("restarts that round to the best structure", loc="left", fontsize=10)
    left.legend(fontsize=8)
    right.errorbar(
        temperatures,
        [value for value, _ in values],
        [2 * error for _, error in values],
        fmt="o",
        color=RED,
        label="KL(GS(q, c) ‖ GS(p, c)) ± 2 s.e.",
    )
    right.axhline(categorical, color=GREY, label="KL of the rounded variables")
    right.set(xscale="log", ylim=(0, None), xlabel="common temperature c", ylabel="divergence, nats")
    right.set_title("q = (0.7, 0.2, 0.1), p uniform", loc="left", fontsize=10)
    right.legend(fontsize=8)
    save(figure, "t02")


if __name__ == "__main__":
    main()
