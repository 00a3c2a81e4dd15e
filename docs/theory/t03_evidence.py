"""T3: the bound of a linear-Gaussian model with a full covariance against its exact evidence. Draws figures/t03.png.

python docs/theory/t03_evidence.py [tables]
"""

from __future__ import annotations

import math
import sys

import numpy as np
from measuring import BLUE, GREY, RED, finished, log_evidence, new_figure, save
from numpy.polynomial import legendre

SIZES = ((10, 1, 3), (40, 3, 3), (40, 2, 8), (20, 10, 3), (200, 5, 5), (1000, 3, 3))
BAR = 0.05
VARIANTS = {
    "h fixed": [],
    "h learned": ["model.likelihood.noise=learned", "prior.weights.precision=shared", "optimizer.inner.steps=1000"],
}


def features(x: np.ndarray, degree: int) -> np.ndarray:
    """1 and P_1(x_i) … P_degree(x_i) of every input, (rows, 1 + inputs · degree)."""
    columns = [legendre.legvander(x[:, index], degree)[:, 1:] for index in range(x.shape[1])]
    return np.concatenate([np.ones((len(x), 1)), *columns], axis=1)


def measure(rows: int, inputs: int, degree: int, table: int, variant: str) -> tuple[float, float]:
    """The bound, and the closed form at the same noise and precision."""
    overrides = [
        f"data.rows={rows}",
        f"data.inputs={inputs}",
        f"data.seed={table}",
        f"model.edges[0].basis[0].degree={degree}",
        *VARIANTS[variant],
    ]
    with finished("t3-evidence", overrides) as run:
        (entry,) = run.ranking
        spec = run.context.study.spec
        x, y = run.context.study.dataset.train()
        noise, precision = spec.model.likelihood.noise, spec.prior.weights.precision
        if variant == "h learned":
            learned = entry["hyperparameters"]
            noise = math.exp(np.ravel(learned["likelihood/log_noise"])[0])
            precision = math.exp(learned["log_precision"])
        return entry["log_evidence"], log_evidence(features(x, degree), y[:, 0], noise, precision)


def main() -> None:
    """Print a row for every size and variant: evidence of the first table, largest difference over tables."""
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    found: dict[str, list[tuple[float, float]]] = {variant: [] for variant in VARIANTS}
    print("hyperparameters   rows  inputs  degree  weights  bound, first table  evidence  largest |difference|")
    for variant in VARIANTS:
        for rows, inputs, degree in SIZES:
            pairs = [measure(rows, inputs, degree, table, variant) for table in range(tables)]
            found[variant] += pairs
            worst = max(abs(bound - exact) for bound, exact in pairs)
            print(
                f"{variant:15s}  {rows:5d}  {inputs:6d}  {degree:6d}  {1 + inputs * degree:7d}  {pairs[0][0]:18.4f}"
                f"  {pairs[0][1]:8.4f}  {worst:20.1e}",
                flush=True,
            )
    for variant, pairs in found.items():
        above = sum(bound > exact + 1e-6 for bound, exact in pairs)
        worst = max(abs(bound - exact) for bound, exact in pairs)
        within = sum(abs(bound - exact) <= BAR for bound, exact in pairs)
        print(f"{variant}: {within} of {len(pairs)} within {BAR} nats, largest {worst:.1e}, bound above: {above}")
    figure, (axes,) = new_figure(1, width=6.4)
    for (variant, pairs), colour, marker in zip(found.items(), (BLUE, RED), "ox", strict=True):
        exact = np.array([value for _, value in pairs])
        difference = np.maximum(np.abs([bound - value for bound, value in pairs]), 1e-14)
        axes.plot(np.abs(exact), difference, marker, color=colour, label=variant)
    axes.axhline(BAR, color=GREY, linestyle="--", label=f"bar, {BAR} nats")
    axes.set(xscale="log", yscale="log", xlabel="size of the log evidence, nats", ylabel="|bound − log evidence|, nats")
    axes.set_title("linear-Gaussian models of 4 to 31 weights, full covariance", loc="left", fontsize=10)
    axes.legend(fontsize=8)
    save(figure, "t03")


if __name__ == "__main__":
    main()
