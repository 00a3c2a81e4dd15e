"""T4: C_param and KL along a path of growing c_prior, with the bound ΔE / c_prior. Draws figures/t04.png.

python docs/theory/t04_path.py
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from linear_gaussian import Curves, curves_of, trained_terms
from measuring import BLUE, GREEN, GREY, RED, finished, new_figure, save

from structflow.plugins import metaparameter_at
from structflow.results.run import Run
from structflow.runner.populations import trained_populations

NOISES = {"noise 2": 2.0, "noise 0.5": 0.5}
ROUNDING = 1e-6


@dataclass(frozen=True)
class Stage:
    """The end of one stage: c_prior, log A, E, KL, and C_param as the summary has it."""

    c_prior: float
    log_precision: float
    fit: float
    divergence: float
    complexity: float


def stages_of(run: Run) -> list[Stage]:
    """Every stage of the only member, from its records."""
    context = run.context
    specs = context.stages(0)
    found = []
    for number, spec in enumerate(specs):
        (trained,) = trained_populations(context, 0, 0, number)
        c_prior = metaparameter_at(spec.objective.c_prior, 0, spec.optimizer.inner.steps, number, len(specs))
        found.append(Stage(c_prior, *trained_terms(trained), run.summary["stages"][number]["c_param"]))
    return found


def report(stages: list[Stage], curves: Curves) -> np.ndarray:
    """Print every stage with its bound, KL_min + ΔE / c_prior where KL_min = 0 and ΔE = max E − E(A → ∞)."""
    gain = float(curves.fit.max()) - curves.at_the_prior
    bounds = np.array([gain / stage.c_prior for stage in stages])
    print("   c_prior     log A          KL  ΔE / c_prior   KL at the global optimum     C_param")
    for stage, bound in zip(stages, bounds, strict=True):
        _, divergence, _ = curves.best(stage.c_prior)
        print(
            f"{stage.c_prior:10.4g}  {stage.log_precision:8.3f}  {stage.divergence:10.3e}  {bound:12.3e}"
            f"  {divergence:25.3e}  {stage.complexity:10.3e}"
        )
    above = sum(stage.divergence > bound + ROUNDING for stage, bound in zip(stages, bounds, strict=True))
    print(
        f"ΔE {gain:.3f}; C_param at the end / at the start {stages[-1].complexity / stages[0].complexity:.2e};"
        f" {above} of {len(stages)} stages above the bound"
    )
    return bounds


def main() -> None:
    """Print both tables; the figure shows KL, C_param and the bound against c_prior."""
    figure, panels = new_figure(len(NOISES), width=5.2)
    for (title, noise), axes in zip(NOISES.items(), panels, strict=True):
        with finished("t4-path", [f"data.noise={noise}", f"model.likelihood.noise={noise}"]) as run:
            stages, curves = stages_of(run), curves_of(run, noise)
        print(f"\n{title}")
        bounds = report(stages, curves)
        c_prior = np.array([stage.c_prior for stage in stages])
        axes.plot(c_prior, [stage.divergence for stage in stages], "o", color=BLUE, label="KL(q ‖ p), along the path")
        axes.plot(c_prior, [stage.complexity for stage in stages], ".-", color=GREEN, label="C_param, along the path")
        axes.plot(c_prior, bounds, color=RED, label="ΔE / c_prior")
        inner = [[divergence for _, divergence, _ in curves.maxima(c)] for c in c_prior]
        known = [(c, values[0]) for c, values in zip(c_prior, inner, strict=True) if values]
        axes.plot(*zip(*known, strict=True), "+", color=GREY, markersize=10, label="closed form, maximum with finite A")
        axes.axhline(
            0.01 * stages[0].complexity, color=GREY, linewidth=1, linestyle=":", label="1 % of C_param's start"
        )
        axes.set(xscale="log", yscale="log", xlabel="c_prior", ylabel="nats")
        axes.set_title(f"{title}, 40 rows, 11 weights", loc="left", fontsize=10)
        axes.legend(fontsize=8, loc="lower left")
    save(figure, "t04")


if __name__ == "__main__":
    main()
