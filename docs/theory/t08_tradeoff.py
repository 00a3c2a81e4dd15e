"""T8: what another problem's optimum may gain in fit, for every pair of problems. Draws figures/t08.png.

python docs/theory/t08_tradeoff.py
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from measuring import BLUE, GREEN, GREY, RED, YELLOW, finished, new_figure, restarts_of, save, settings_of
from scipy.special import entr, logsumexp

from structflow.evidence.trained import TrainedPopulation
from structflow.model.group_index import to_members
from structflow.results.run import Run

SAMPLES = 2048
RESTARTS = (4, 16)
ROUNDING = 1e-6
SHAPES = {("∅", "polynomial:5"): "linear in its weights", ("dense:tanh", "∅"): "tanh network"}
DISCRETE_C = (0.3, 1.0, 3.0, 10.0)
RANDOM_Q = 1000


@dataclass(frozen=True)
class Optimum:
    """The best restart under its own problem (c, precision of the prior): its population and its number there."""

    c: float
    precision: float
    trained: TrainedPopulation
    member: int


def name_of(structure: Mapping[str, object]) -> tuple[str, ...]:
    """What the edges chose."""
    return tuple("∅" if not structure[key] else str(structure[key][0]) for key in ("x->h", "x->y"))


def fits(trained: TrainedPopulation, phase: str) -> torch.Tensor:
    """E_q log p(y | X, w) of every member, by sample: (M, S), S = 1 where it is known."""
    return torch.cat([terms.log_likelihood for terms in trained.sample_terms(SAMPLES, phase)], 1)


def divergences(trained: TrainedPopulation, precision: float) -> torch.Tensor:
    """KL(q(w) ‖ N(0, I/A)) = ½ Σ [A (α + μ²) − 1 − log A − log α] of every member, (M,)."""
    total = torch.zeros(trained.size, dtype=torch.float64)
    bound = trained.bound
    means, variances = bound.weights.moments(trained.parameters)
    for mean, variance, indices in zip(means, variances, bound.population.indices.groups, strict=True):
        for name, alpha in variance.items():
            parts = precision * (alpha + mean[name].square()) - 1 - math.log(precision) - alpha.log()
            total = total + to_members(0.5 * parts.flatten(1).sum(1), indices)
    return total


def optima(run: Run, restarts: int) -> dict[tuple[str, ...], list[Optimum]]:
    """For every structure the best by L of its own problem among the first restarts, chosen on noise of its own."""
    found: dict[tuple[str, ...], list[Optimum]] = {}
    for number, setting in enumerate(settings_of(run)):
        c, precision = setting["values"]["objective.c_reg"], setting["values"]["prior.weights.precision"]
        best: dict[tuple[str, ...], tuple[float, Optimum]] = {}
        for trained in restarts_of(run, number):
            objective = fits(trained, "choose").mean(1) - c * divergences(trained, precision)
            for member, value in enumerate(objective.tolist()):
                candidate = trained.bound.population.members[member]
                name = name_of(candidate.structure.as_dict())
                if candidate.restart >= restarts:
                    continue
                if name not in best or value > best[name][0]:
                    best[name] = (value, Optimum(c, precision, trained, member))
        for name, (_, optimum) in best.items():
            found.setdefault(name, []).append(optimum)
    return found


def slack(first: Optimum, second: Optimum) -> tuple[float, float, float, float]:
    """E₂ − E₁, c [KL₂(q₂) − KL₂(q₁)], their difference L₂(q₂) − L₂(q₁), and its Monte Carlo error."""
    samples = [fits(q.trained, "compare")[q.member] for q in (first, second)]
    fit1, fit2 = (float(values.mean()) for values in samples)
    kl1, kl2 = (float(divergences(q.trained, second.precision)[q.member]) for q in (first, second))
    gain, price = fit2 - fit1, second.c * (kl2 - kl1)
    error = math.sqrt(sum(float(values.var()) / len(values) for values in samples if len(values) > 1))
    return gain, price, gain - price, error


def discrete(scores: np.ndarray) -> list[tuple[float, float]]:
    """(E₂ − E₁) / c and C_struct(q₁) − C_struct(q₂) of categorical q(Γ) over structures with fits `scores`.

    q(w) is one product over the structures' own posteriors, so that its KL is the same for all q(Γ), and the prior is
    uniform: q₂(Γ) ∝ exp(score / c) maximises E − c KL. q₁ are the optima for other c, and random ones.
    """

    def optimum(c: float) -> np.ndarray:
        return np.exp(scores / c - logsumexp(scores / c))

    random = np.random.default_rng(0).dirichlet(np.full(len(scores), 0.5), RANDOM_Q)
    pairs: list[tuple[float, float]] = []
    for c in DISCRETE_C:
        q2 = optimum(c)
        others = [*(optimum(other) for other in DISCRETE_C if other != c), *random]
        pairs += [(float(scores @ (q2 - q1)) / c, float(entr(q1).sum() - entr(q2).sum())) for q1 in others]
    return pairs


def main() -> None:
    """Print slack and violations of every kind of pair; the figure shows both sides."""
    figure, (left, right) = new_figure(2, width=5.0)
    print(
        "model                 restarts  pairs  smallest slack  median  largest  below 0 by over 3 s.e.  largest s.e."
    )
    with finished("t8-tradeoff", [f"optimizer.restarts={max(RESTARTS)}"]) as run:
        for restarts in RESTARTS:
            found = optima(run, restarts)
            for (name, title), colour in zip(SHAPES.items(), (BLUE, GREEN), strict=True):
                rows = np.array([slack(a, b) for a in found[name] for b in found[name] if a is not b])
                gain, price, rest, error = rows.T
                violations = int((rest < -3 * error - ROUNDING).sum())
                print(
                    f"{title:21s} {restarts:8d}  {len(rows):5d}  {rest.min():14.4f}  {np.median(rest):6.2f}"
                    f"  {rest.max():7.1f}  {violations:22d}  {error.max():12.3f}",
                    flush=True,
                )
                if restarts == max(RESTARTS):
                    left.plot(gain, price, ".", color=colour, markersize=7, alpha=0.7, label=title)
        (at_one,) = {index for index, q in enumerate(next(iter(found.values()))) if (q.c, q.precision) == (1.0, 3.0)}
        chosen = [found[name][at_one] for name in sorted(found)]
        scores = np.array([float(fits(q.trained, "compare")[q.member].mean()) for q in chosen])
    pairs = np.array(discrete(scores))
    rest = pairs[:, 0] - pairs[:, 1]
    print(f"\ndiscrete q(Γ), structures with fits {np.round(scores, 2).tolist()}, c in {DISCRETE_C}:")
    print(
        f"  {len(pairs)} pairs, smallest slack {rest.min():.2e}, median {np.median(rest):.3f},"
        f" below 0: {int((rest < -1e-12).sum())}"
    )
    many = len(pairs) // len(DISCRETE_C)
    others = len(DISCRETE_C) - 1
    of_optima = [(c, *pair) for i, c in enumerate(DISCRETE_C) for pair in pairs[i * many : i * many + others]]
    fails = sum(entropy > -c * gain + 1e-12 for c, gain, entropy in of_optima)
    print(
        f"  the slides' C₁ − C₂ ≤ E₁ − E₂ (no 1/c, the other sign) fails in {fails} of {len(of_optima)} pairs of optima"
    )
    for axes, label in ((left, "c KL₂(q₂) − c KL₂(q₁), nats"), (right, "C_struct(q₁) − C_struct(q₂), nats")):
        axes.set(ylabel=label)
    limits = np.array([-600.0, 250.0])
    left.plot(limits, limits, color=RED, linewidth=1, label="equality")
    left.set(xlabel="E₂ log p − E₁ log p, nats", xscale="symlog", yscale="symlog")
    for index, colour in enumerate((BLUE, GREEN, YELLOW, GREY)):
        part = pairs[index * many : (index + 1) * many]
        right.plot(
            part[:, 0], part[:, 1], ".", color=colour, markersize=3, alpha=0.5, label=f"c = {DISCRETE_C[index]:g}"
        )
    right.plot([-1.5, 1.5], [-1.5, 1.5], color=RED, linewidth=1, label="equality")
    right.set(xlabel="(E₂ − E₁) / c, nats", xscale="symlog")
    left.set_title("two levels in one: pairs of 8 problems", loc="left", fontsize=10)
    right.set_title("categorical q(Γ), equal KL of the weights", loc="left", fontsize=10)
    left.legend(fontsize=8)
    right.legend(fontsize=8)
    save(figure, "t08")


if __name__ == "__main__":
    main()
