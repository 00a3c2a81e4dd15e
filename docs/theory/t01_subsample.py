"""T1: L / c_reg against the evidence bound on m / c_reg rows, at a fixed q. Prints tables and draws figures/t01.png.

python docs/theory/t01_subsample.py [tables]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from measuring import BLUE, GREEN, GREY, RED, finished, new_figure, save, slope

from structflow.evidence.trained import TrainedPopulation
from structflow.plugins.registry import registry
from structflow.runner.evaluate import load_evaluated

C_REG = (0.5, 4.0, 16.0)
SIZES = (32, 64, 128, 256, 512, 1024, 2048)
SAMPLES = 32


def log_likelihood(q: TrainedPopulation, x: np.ndarray, y: np.ndarray) -> float:
    """E_q log p(y | X, w), summed over rows. The samples of q are the same at every call, so q is one fixed mixture."""
    held = replace(q, x=torch.from_numpy(x), y=torch.from_numpy(y))
    return float(torch.cat([terms.log_likelihood for terms in held.sample_terms(SAMPLES, "t1")], 1).mean())


def kl(q: TrainedPopulation) -> float:
    """KL(q ‖ p) over the same samples."""
    return float(torch.cat([terms.kl_weights for terms in q.sample_terms(SAMPLES, "t1")], 1).mean())


def gaps(q: TrainedPopulation, options: object, c_reg: float, m: int, tables: int) -> Iterator[float]:
    """(L(m rows) / c_reg − ELBO(m / c_reg rows)) / (m / c_reg) of fresh tables; the fewer rows are among the many."""
    source = registry().get("data_sources", "synthetic")
    divergence = kl(q)
    few = round(m / c_reg)
    for table in range(tables):
        seed = 1_000_000 + 10_000 * m + table
        data = source.read(options.model_copy(update={"rows": max(m, few), "seed": seed}), Path())
        all_rows = log_likelihood(q, data.inputs[:m], data.targets[:m])
        part = log_likelihood(q, data.inputs[:few], data.targets[:few])
        objective = all_rows - c_reg * divergence
        yield (objective / c_reg - (part - divergence)) / few


def main() -> None:
    """Train q once; print mean gap and mean size of the gap for every m and c_reg, and the slopes."""
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with finished("t1-subsample") as run:
        q = next(load_evaluated(run.context, 0)).trained
        options = run.context.study.spec.data
        found = {(c_reg, m): np.array(list(gaps(q, options, c_reg, m, tables))) for c_reg in C_REG for m in SIZES}
    print(f"{tables} tables for every m; gap = (L / c_reg − ELBO on m / c_reg rows) / (m / c_reg), nats a row")
    print(" c_reg     m  m/c_reg  mean gap ± s.e.     z   mean |gap|  · √m")
    scores = []
    for (c_reg, m), gap in found.items():
        error = gap.std(ddof=1) / math.sqrt(tables)
        scores.append(gap.mean() / error)
        size = np.abs(gap).mean()
        print(
            f"{c_reg:6g} {m:5d}  {m / c_reg:7g}  {gap.mean():8.4f} ± {error:.4f}  {scores[-1]:4.1f}"
            f"  {size:10.4f}  {size * math.sqrt(m):5.2f}"
        )
    print(
        f"mean gap: root mean square of z {np.sqrt(np.square(scores).mean()):.2f}, largest {np.abs(scores).max():.2f}"
    )
    figure, (left, right) = new_figure(2)
    for c_reg, colour in zip(C_REG, (BLUE, RED, GREEN), strict=True):
        means = np.array([found[c_reg, m].mean() for m in SIZES])
        errors = np.array([found[c_reg, m].std(ddof=1) for m in SIZES]) / math.sqrt(tables)
        sizes = np.array([np.abs(found[c_reg, m]).mean() for m in SIZES])
        value, error = slope(np.log(np.array(SIZES, float)), np.log(sizes))
        total, _ = slope(np.log(np.array(SIZES, float)), np.log(sizes * np.array(SIZES) / c_reg))
        print(f"c_reg {c_reg:g}: slope of log |gap| a row {value:.3f} ± {error:.3f}, of the whole gap {total:+.3f}")
        shift = 1.06 ** (C_REG.index(c_reg) - 1)
        left.errorbar(
            np.array(SIZES) * shift, means, 2 * errors, fmt="o", markersize=4, color=colour, label=f"c_reg = {c_reg:g}"
        )
        right.plot(SIZES, sizes, "o-", color=colour, label=f"c_reg = {c_reg:g}: slope {value:.2f}")
    left.axhline(0, color=GREY, linewidth=1)
    right.plot(SIZES, 0.6 * sizes[0] * np.sqrt(SIZES[0] / np.array(SIZES)), "--", color=GREY, label="m to the −½")
    left.set(xscale="log", xlabel="m, rows", ylabel="mean gap, nats a row")
    right.set(xscale="log", yscale="log", xlabel="m, rows", ylabel="mean size of the gap, nats a row")
    left.set_title("mean over tables ± 2 standard errors", loc="left", fontsize=10)
    right.set_title("its size falls", loc="left", fontsize=10)
    left.legend(fontsize=8)
    right.legend(fontsize=8)
    save(figure, "t01")


if __name__ == "__main__":
    main()
