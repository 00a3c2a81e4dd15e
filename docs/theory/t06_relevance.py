"""T6: −Σ ln ρ of trained weights between C_param and ½ (e^{2 C_param} − 1). Prints a table and draws figures/t06.png.

python docs/theory/t06_relevance.py
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from measuring import BLUE, GREEN, GREY, RED, YELLOW, finished, new_figure, restarts_of, save, settings_of

from structflow.evidence.complexity import parametric_complexity
from structflow.evidence.trained import TrainedPopulation
from structflow.model.group_index import to_members

ROUNDING = 1e-9
PRUNABLE = 0.9
KINDS = {"members (54 weights)": BLUE, "functions (12 or 42 weights)": GREEN, "single weights": YELLOW}


@dataclass(frozen=True)
class Points:
    """C_param and −Σ ln ρ of some sets of weights."""

    complexity: np.ndarray
    relevance: np.ndarray

    @property
    def below(self) -> int:
        """How many have −Σ ln ρ < C_param, beyond rounding."""
        return int((self.relevance < self.complexity * (1 - ROUNDING) - ROUNDING).sum())

    @property
    def above(self) -> int:
        """How many have −Σ ln ρ > ½ (e^{2C} − 1), beyond rounding; compared as logarithms."""
        bound = np.log1p(2 * self.relevance)
        return int((bound > 2 * self.complexity * (1 + ROUNDING) + ROUNDING).sum())


def points_of(trained: TrainedPopulation) -> dict[str, Points]:
    """Members, functions and single weights. With t = μ²/α of a weight, C_param = ½ Σ ln(1 + t) and −Σ ln ρ = ½ Σ t.

    The C_param of members is the library's, those of its parts are the formula's.
    """
    bound = trained.bound
    means, variances = bound.weights.moments(trained.parameters)
    relevance = torch.zeros(trained.size, dtype=torch.float64)
    functions: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for mean, variance, indices in zip(means, variances, bound.population.indices.groups, strict=True):
        ratios = torch.cat([(mean[name].square() / variance[name]).flatten(1) for name in mean], dim=1)
        relevance = relevance + to_members(0.5 * ratios.sum(1), indices)
        halves = 0.5 * ratios.log1p()
        functions.append(np.stack([halves.sum(1).numpy(), 0.5 * ratios.sum(1).numpy()]))
        weights.append(np.stack([halves.flatten().numpy(), 0.5 * ratios.flatten().numpy()]))
    members = Points(parametric_complexity(trained).numpy(), relevance.numpy())
    found = [members, Points(*np.concatenate(functions, 1)), Points(*np.concatenate(weights, 1))]
    return dict(zip(KINDS, found, strict=True))


def main() -> None:
    """Print the range of both by weight of the prior, and the violations."""
    gathered: dict[str, list[Points]] = {kind: [] for kind in KINDS}
    print("c_reg = c_prior  C_param, min to max  −Σ ln ρ, min to max   smallest ρ  weights with ρ > 0.9")
    with finished("t6-relevance") as run:
        for number, setting in enumerate(settings_of(run)):
            batches = [points_of(trained) for trained in restarts_of(run, number)]
            for batch in batches:
                for kind, points in batch.items():
                    gathered[kind].append(points)
            members = [batch["members (54 weights)"] for batch in batches]
            complexity = np.concatenate([points.complexity for points in members])
            relevance = np.concatenate([points.relevance for points in members])
            log_rho = -np.concatenate([batch["single weights"].relevance for batch in batches])
            print(
                f"{setting['values']['objective.c_reg']:15g}  {complexity.min():8.2e} {complexity.max():9.2e}"
                f"  {relevance.min():8.2e} {relevance.max():9.2e}  {np.exp(log_rho.min()):11.2e}"
                f"  {np.mean(log_rho > np.log(PRUNABLE)):14.3f}"
            )
    figure, (axes,) = new_figure(1, width=6.4, height=4.6)
    for kind, colour in reversed(KINDS.items()):
        parts = gathered[kind]
        points = Points(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("complexity", "relevance")))
        print(
            f"{kind}: {len(points.complexity)} points, {points.below} below C_param,"
            f" {points.above} above ½ (exp(2 C_param) − 1)"
        )
        axes.plot(points.complexity, points.relevance, ".", color=colour, markersize=5, alpha=0.7, label=kind)
    grid = np.geomspace(1e-4, 100, 400)
    axes.plot(grid, grid, color=GREY, label="C_param")
    axes.plot(grid, 0.5 * np.expm1(np.minimum(2 * grid, 500)), color=RED, label="½ (exp(2 C_param) − 1)")
    axes.set(xscale="log", yscale="log", xlim=(1e-4, 100), ylim=(1e-4, 1e4))
    axes.set(xlabel="C_param, nats", ylabel="−Σ ln ρ, nats")
    axes.set_title("wines, 8 weights of the prior, 64 members", loc="left", fontsize=10)
    axes.legend(fontsize=8)
    save(figure, "t06")


if __name__ == "__main__":
    main()
