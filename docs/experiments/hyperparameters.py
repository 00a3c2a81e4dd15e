"""E2: ways to learn hyperparameters beside the optimum in closed form, on five tables (specs/e2-polynomial.yaml).

    python docs/experiments/hyperparameters.py [FOLDER] [TABLES] [KEY=VALUE ...]

For fixed h the best mean-field bound of the linear model is known: with A = diag exp(h), G = ΦᵀΦ and noise 1,
μ = (G + A)⁻¹Φᵀy and α_i = 1/(G_ii + A_i). The reference is the best of 60 starts of L-BFGS over h on that bound, each
log A within −20 and 40; beside it stands the best within −2 and 10, where the starts are drawn. Q is without its
constant −m/2 log 2π. Keys override those of the spec. Draws docs/figures/e2_hypergradients.png where TABLES is 5.
Two minutes on one core with compute.compile=true.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

import structflow
from structflow.plan.tasks import Task
from structflow.results.run import Run
from structflow.runner.decided import stored_members

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "specs" / "e2-polynomial.yaml"
FIGURE = ROOT / "docs" / "figures" / "e2_hypergradients.png"
FUNCTIONS = ("x->y/polynomial:9", "sine->y/linear", "cosine->y/linear")
LBFGS_STARTS = 60
START = (-2.0, 10.0)
WIDE = (-20.0, 40.0)
ITERATIONS = 50
"""Outer iterations of a start."""

SIGMA = 0.25
"""Standard deviation of the noise on weights of the published E_σ."""

PUBLISHED = {
    "random_search": (-63.5, 32.4, 1.368), "greedy": (-25.5, 1.2, 1.161),
    "drmad": (-25.1, 10.6, 1.157), "hoag": (-25.8, 10.8, 1.141),
}  # fmt: skip
"""Q, outer iterations to 99 % and RMSE in the thesis."""


def features(x: np.ndarray) -> np.ndarray:
    """Φ: 1, x, …, x⁹, sin x, cos x, (rows, 12)."""
    return np.column_stack([*(x**power for power in range(10)), np.sin(x), np.cos(x)])


def best_bound(h: np.ndarray, phi: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Q at the best q for h without the constant, its gradient ½ (1 − A (α + μ²)) by h, and μ.

    μ solves the least-squares problem of [Φ; √A] and [y; 0], which keeps the digits that G + A would lose.
    """
    precision, squares = np.exp(h), (phi**2).sum(axis=0)
    rows = np.vstack([phi, np.diag(np.sqrt(precision))])
    mean = np.linalg.lstsq(rows, np.concatenate([y, np.zeros(len(h))]), rcond=None)[0]
    variance = 1 / (squares + precision)
    residual = y - phi @ mean
    fit = -0.5 * (residual @ residual + variance @ squares)
    divergence = 0.5 * (precision * (variance + mean**2) - 1 - h - np.log(variance)).sum()
    return float(fit - divergence), 0.5 * (1 - precision * (variance + mean**2)), mean


def reference(phi: np.ndarray, y: np.ndarray, box: tuple[float, float], starts: int) -> tuple[float, np.ndarray]:
    """The best Q of L-BFGS over h within a box, from starts drawn uniformly in `START`, and its h."""
    generator = np.random.default_rng(0)

    def minus(h: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient, _ = best_bound(h, phi, y)
        return -value, -gradient

    found = [
        minimize(minus, generator.uniform(*START, phi.shape[1]), jac=True, method="L-BFGS-B",
                 bounds=[box] * phi.shape[1], options={"maxiter": 5000, "ftol": 1e-13, "gtol": 1e-9})
        for _ in range(starts)
    ]  # fmt: skip
    best = min(found, key=lambda result: float(result.fun))
    return -float(best.fun), best.x


def errors(mean: np.ndarray, phi: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """RMSE of Φμ, and its expectation in squares under noise N(0, σ²) on every weight: √(MSE + σ² mean ‖φ‖²)."""
    square = float(((y - phi @ mean) ** 2).mean())
    return square**0.5, (square + SIGMA**2 * float((phi**2).sum(axis=1).mean())) ** 0.5


@dataclass(frozen=True)
class Found:
    """What a method came to on a table: Q of every start, RMSE and E_σ of its best one, and Q of that on the way.

    `path` is Q against outer iterations, `(points,)` each; of random search the best so far, starts being as many a
    outer iteration as other methods have.
    """

    bounds: np.ndarray
    rmse: float
    noisy_rmse: float
    path: tuple[np.ndarray, np.ndarray]

    @property
    def best(self) -> float:
        """Q of the best start."""
        return float(self.bounds.max())

    @property
    def iterations(self) -> float:
        """Outer iterations until Q is within 1 % of where it ends, and stays."""
        at, values = self.path
        short = np.flatnonzero(values < values[-1] - 0.01 * abs(values[-1]))
        return float(at[short[-1] + 1]) if len(short) else float(at[0])


def found_by(run: Run, setting: int, phi: np.ndarray, y: np.ndarray) -> Found:
    """What a setting of the run came to, from its records; `phi` and `y` are of the test rows."""
    spec = run.context.stages(setting)[-1]
    members = stored_members(run.context.directory, Task("train", setting, 0, 0, 0))
    constant = 0.5 * len(run.context.study.dataset.train()[0]) * np.log(2 * np.pi)
    scores = [np.nan if each.found.score is None else each.found.score for each in members]
    bounds = np.nan_to_num(np.array(scores) + constant, nan=-np.inf)
    best = int(bounds.argmax())
    arrays = members[best].arrays
    polynomial, sine, cosine = (arrays[f"parameter/mean/{name}"] for name in FUNCTIONS)
    mean = np.concatenate([polynomial[-1:], polynomial[:-1], sine, cosine])  # its bias is behind its powers
    if spec.optimizer.outer.type == "random_search":
        path = ITERATIONS * np.arange(1, len(bounds) + 1) / len(bounds), np.maximum.accumulate(bounds)
    else:
        values = arrays["trajectory/log_likelihood"] - arrays["trajectory/kl_weights"] + constant
        steps = arrays["trajectory/steps"] + 1
        path = ITERATIONS * steps / spec.optimizer.inner.steps, values
    return Found(bounds, *errors(mean, phi, y), path)


@dataclass(frozen=True)
class Result:
    """A table: the references within both boxes, the optimum's own errors, and what each method came to."""

    optimum: float
    boxed: float
    rmse: float
    noisy_rmse: float
    methods: dict[str, Found]


def on_table(seed: int, folder: Path, overrides: list[str], lbfgs_starts: int = LBFGS_STARTS) -> Result:
    """Run the spec on one table and solve it in closed form."""
    run = structflow.run(SPEC, folder / str(seed), overrides=[f"data.seed={seed}", f"seed={seed}", *overrides])
    (x, y), (x_test, y_test) = run.context.study.dataset.train(), run.context.study.dataset.test()
    phi, test = features(x[:, 0]), features(x_test[:, 0])
    optimum, h = reference(phi, y[:, 0], WIDE, lbfgs_starts)
    boxed, _ = reference(phi, y[:, 0], START, lbfgs_starts)
    mean = best_bound(h, phi, y[:, 0])[2]
    methods = {
        run.context.stages(number)[-1].optimizer.outer.type: found_by(run, number, test, y_test[:, 0])
        for number in range(len(run.summary["settings"]))
    }
    return Result(optimum, boxed, *errors(mean, test, y_test[:, 0]), methods)


def print_tables(results: list[Result]) -> None:
    """Every table, then the summary beside the published figures."""
    names = list(results[0].methods)
    print(
        f"{'table':7}{'optimum':>9}{'in box':>9}"
        + "".join(f"{name:>15}" for name in names)
        + "   (gap of the best start)"
    )
    for number, result in enumerate(results):
        gaps = "".join(f"{result.optimum - result.methods[name].best:15.2f}" for name in names)
        print(f"{number:<7}{result.optimum:9.2f}{result.boxed:9.2f}{gaps}")
    print()
    print(f"{'':15}{'published':^27}{'ours, means (gap, RMSE difference: medians)':^75}")
    print(
        f"{'method':15}{'Q':>8}{'to 99 %':>9}{'RMSE':>8}{'Q':>10}{'gap':>8}{'one start':>11}{'to 99 %':>9}{'RMSE':>8}"
        f"{'difference':>12}{'E_.25':>8}"
    )
    for name in names:
        found = [result.methods[name] for result in results]
        gap = np.median([result.optimum - result.methods[name].best for result in results])
        single = np.median(np.concatenate([result.optimum - result.methods[name].bounds for result in results]))
        differences = [abs(result.methods[name].rmse - result.rmse) for result in results]
        q, iterations, rmse = PUBLISHED[name]
        means = (np.mean([each.best for each in found]), np.mean([each.iterations for each in found]))
        print(
            f"{name:15}{q:8.1f}{iterations:9.1f}{rmse:8.3f}{means[0]:10.2f}{gap:8.2f}{single:11.2f}{means[1]:9.1f}"
            f"{np.mean([each.rmse for each in found]):8.3f}{np.median(differences):12.4f}"
            f"{np.mean([each.noisy_rmse for each in found]):8.1f}"
        )
    for name in names:
        short = np.concatenate([result.optimum - result.methods[name].bounds for result in results])
        print(
            f"single starts of {name}: {np.mean(short <= 1):.0%} within 1 nat, median {np.median(short):.2f}, "
            f"worst {short.max():.2f}"
        )
    own = [np.mean([getattr(result, field) for result in results]) for field in ("optimum", "boxed", "rmse")]
    print(f"optimum: mean Q {own[0]:.2f}, within {START} {own[1]:.2f}, RMSE {own[2]:.3f}")
    by_gradient = [name for name in names if name != "random_search"]
    behind = [
        min(result.methods[name].best for name in by_gradient) - result.methods["random_search"].best
        for result in results
    ]
    farther = sum(distance > 0 for distance in behind)
    print(
        f"random search is behind the worst of the others on {farther} of {len(results)} tables, by "
        f"{', '.join(f'{distance:.1f}' for distance in behind)} nats"
    )


def draw(results: list[Result]) -> None:
    """Short of the optimum against outer iterations, the median over tables of each table's best start."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    at = np.linspace(0.5, ITERATIONS, 200)
    colors = {"greedy": "#4477aa", "hoag": "#ee6677", "drmad": "#228833", "random_search": "0.4"}
    for name, color in colors.items():
        short = [
            result.optimum - np.interp(at, *result.methods[name].path) for result in results if name in result.methods
        ]
        style = "--" if name == "drmad" else "-"
        axes.plot(at, np.median(short, axis=0), style, color=color, label=name.replace("_", " "))
    boxed = float(np.median([result.optimum - result.boxed for result in results]))
    axes.axhline(boxed, color="0.6", lw=1, ls=":", label="best with log precisions within −2 and 10")
    axes.axhline(1.0, color="0.2", lw=1, ls=":", label="1 nat")
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_ylim(0, None)
    axes.set_xlabel(f"outer iterations of each start; of random search {ITERATIONS} are all its draws")
    axes.set_ylabel("nats short of the best of L-BFGS")
    axes.set_title("Bound against outer iterations, median of tables", loc="left")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(FIGURE, dpi=120)


def main() -> None:
    """Run every table, print and draw."""
    given: list[Any] = [value for value in sys.argv[1:] if "=" not in value]
    folder, tables = Path(given[0] if given else "runs/e2"), int(given[1]) if len(given) > 1 else 5
    overrides = [value for value in sys.argv[1:] if "=" in value]
    results = [on_table(seed, folder, overrides) for seed in range(tables)]
    print_tables(results)
    if tables == 5:
        draw(results)


if __name__ == "__main__":
    main()
