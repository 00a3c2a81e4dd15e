"""T10: the entropy of a cloud of restarts under plain gradient steps. Prints a table and draws figures/t10.png.

In no case can the entropy after the steps be above start + mean log|det|: a map that folds only loses. So a positive
difference is the bias of the estimate from neighbours, which sheets thinner than their distance cause.

python docs/theory/t10_entropy.py
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from measuring import BLUE, GREY, RED, finished, new_figure, save
from scipy.spatial import cKDTree
from scipy.special import digamma, gammaln
from scipy.stats import differential_entropy
from torch import Tensor
from torch.func import grad, hessian, vmap

from structflow.evidence.trained import TrainedPopulation
from structflow.objective.bound import BoundInputs, Noise
from structflow.objective.noise import noise_source
from structflow.runner.evaluate import load_evaluated

STARTS = 20_000
STEPS = 15
QUANTILES = 100_000
NEIGHBOUR = 4
MODELS = {
    "quadratic, 3 weights": "[{type: linear}]",
    "tanh, 1 weight": "[{type: dense, activation: tanh, rows: [0], bias: false}]",
    "tanh, 2 weights": "[{type: dense, activation: tanh, rows: [0]}]",
    "tanh, 3 weights": "[{type: dense, activation: tanh}]",
}
SHARES = (0.5, 1.5, 3.0)
SHOWN = (1, 3, STEPS)


@dataclass(frozen=True)
class Cloud:
    """Entropies after every step, (steps + 1,), and what became of the map."""

    by_determinant: np.ndarray
    standard_error: float
    by_neighbours: np.ndarray
    second_estimate: float
    folded: float


def loss_of(trained: TrainedPopulation) -> tuple[Callable[[Tensor], Tensor], int]:
    """w ↦ −log p(y | X, w) − log p(w) of a model with fixed noise and precision 1, and the number of weights.

    The bound is evaluated at q(w) with mean w and its noise at zero, which makes it a point evaluation.
    """
    bound, population = trained.bound, trained.bound.population
    shapes = [own["mean"].shape for own in trained.parameters.theta.weights]
    sizes = [shape.numel() for shape in shapes]
    drawn = noise_source(bound.normals, trained.keys, "t10").normals(torch.zeros(1, dtype=int), 1, torch.float64, False)
    noise = Noise(torch.zeros_like(drawn[0]), torch.zeros(1, 0, dtype=torch.float64))
    c_temp = torch.tensor(trained.c_temp, dtype=torch.float64)

    def loss(w: Tensor) -> Tensor:
        means = [part.reshape(shape) for part, shape in zip(w.split(sizes), shapes, strict=True)]
        at = bound.weights.changed(trained.parameters, lambda factor, own: {**own, "mean": means[factor.number]})
        terms = bound.sample_terms(at, BoundInputs(noise, trained.x, trained.y, c_temp, population.indices))
        log_prior = -0.5 * w.square().sum() - 0.5 * len(w) * math.log(2 * math.pi)
        return -(terms.log_likelihood.sum() + log_prior)

    return loss, sum(sizes)


def neighbour_entropy(points: np.ndarray) -> float:
    """ψ(N) − ψ(k) + log V_d + (d/N) Σ log ε_i, ε the distance to the k-th neighbour (Kozachenko and Leonenko 1987).

    Points are whitened first, H(Ax) = H(x) + log|det A|: neighbourhoods are balls, and a cloud that is thin in one
    direction would bias them. NaN where the cloud is flat to rounding.
    """
    count, dimension = points.shape
    try:
        root = np.linalg.cholesky(np.cov(points.T).reshape(dimension, dimension))
    except np.linalg.LinAlgError:  # flat to rounding
        return math.nan
    whitened = np.linalg.solve(root, (points - points.mean(0)).T).T
    distances = cKDTree(whitened).query(whitened, k=NEIGHBOUR + 1)[0][:, -1]
    log_ball = 0.5 * dimension * math.log(math.pi) - gammaln(0.5 * dimension + 1)
    entropy = digamma(count) - digamma(NEIGHBOUR) + log_ball + dimension * np.log(distances).mean()
    return float(entropy + np.log(np.diag(root)).sum())


def quantile_entropy(loss: Callable[[Tensor], Tensor], beta: float) -> float:
    """∫ log (dw/du) du of one weight after the steps, from quantiles u of N(0, 1); NaN where they cross.

    It needs neither a Hessian nor random numbers: a monotone map keeps the order of its quantiles.
    """
    edges = torch.arange(1, QUANTILES, dtype=torch.float64) / QUANTILES
    w, gradients = torch.special.ndtri(edges).unsqueeze(1), vmap(grad(loss))
    for _ in range(STEPS):
        w = w - beta * gradients(w)
    steps = w[1:, 0] - w[:-1, 0]
    return float((steps * QUANTILES).log().mean()) if bool((steps > 0).all()) else math.nan


def cloud(loss: Callable[[Tensor], Tensor], starts: Tensor, beta: float) -> Cloud:
    """STEPS steps w' = w − β ∇loss(w) of all starts from N(0, I); H is the Hessian of the loss before the step."""
    dimension = starts.shape[1]
    gradients, hessians = vmap(grad(loss)), vmap(hessian(loss))
    w = starts
    log_det = torch.zeros(len(w), dtype=torch.float64)
    changes, neighbours = [log_det], [neighbour_entropy(w.numpy())]
    folded = torch.zeros(len(w), dtype=bool)
    for _ in range(STEPS):
        jacobian = torch.eye(dimension, dtype=torch.float64) - beta * hessians(w)
        sign, size = torch.linalg.slogdet(jacobian)
        folded |= sign < 0
        log_det = log_det + size
        w = w - beta * gradients(w)
        changes.append(log_det)
        neighbours.append(neighbour_entropy(w.numpy()))
    log_start = -0.5 * starts.square().sum(1) - 0.5 * dimension * math.log(2 * math.pi)
    entropies = torch.stack(changes) - log_start  # of the same starts: then the two estimates share their chance
    error = float(entropies[-1].std() / len(w) ** 0.5)
    return Cloud(
        entropies.mean(1).numpy(), error, np.array(neighbours), second_estimate(w), float(folded.double().mean())
    )


def second_estimate(w: Tensor) -> float:
    """Of one weight scipy's estimate from spacings; NaN of more."""
    return float(differential_entropy(w[:, 0].numpy(), method="vasicek")) if w.shape[1] == 1 else math.nan


def main() -> None:
    """Print entropies after the last step for every model and step size; the figure shows them on the way."""
    figure, panels = new_figure(4, width=3.6, rows=1)
    print(f"{STARTS} starts from N(0, I), {STEPS} steps; λ: largest eigenvalue of H seen; entropies in nats")
    print("Differences are of the estimate from neighbours less start + mean log|det|, after some steps.")
    print(
        "model                     λ   βλ  det<0   start + mean log|det| ± s.e.  neighbours  spacings"
        "  difference after " + ", ".join(map(str, SHOWN))
    )
    generator = torch.Generator().manual_seed(0)
    for (title, basis), axes in zip(MODELS.items(), panels, strict=True):
        with finished("t10-entropy", [f"model.edges[0].basis={basis}", "optimizer.inner.steps=1"]) as run:
            loss, dimension = loss_of(next(load_evaluated(run.context, 0)).sampled)
        starts = torch.randn(STARTS, dimension, dtype=torch.float64, generator=generator)
        wide = 4 * torch.randn(10 * STARTS, dimension, dtype=torch.float64, generator=generator)
        largest = float(torch.linalg.eigvalsh(vmap(hessian(loss))(torch.cat([wide, starts, wide / 8])))[:, -1].max())
        for share, colour in zip(SHARES, (BLUE, RED, GREY), strict=True):
            found = cloud(loss, starts, share / largest)
            differences = found.by_neighbours - found.by_determinant
            print(
                f"{title:20s} {largest:6.1f}  {share:3.1f}  {found.folded:6.3f}  {found.by_determinant[-1]:18.4f} ±"
                f" {found.standard_error:.4f}  {found.by_neighbours[-1]:10.4f}  {found.second_estimate:8.4f}"
                f"  {'  '.join(f'{differences[step]:8.4f}' for step in SHOWN)}",
                flush=True,
            )
            if dimension == 1:
                by_quantiles = quantile_entropy(loss, share / largest)
                print(f"{'':20s} {largest:6.1f}  {share:3.1f}  by quantiles of the start: {by_quantiles:.4f}")
            if share > 1 and dimension > 1:  # the estimate from neighbours is good for a few steps only
                continue
            axes.plot(found.by_determinant, color=colour, label=f"βλ = {share:g}: start + mean log|det|")
            axes.plot(found.by_neighbours, "o", color=colour, markersize=3.5, label="from the points alone")
        axes.set(xlabel="gradient steps", ylabel="entropy, nats")
        axes.set_title(title, loc="left", fontsize=10)
    panels[1].legend(fontsize=7)
    panels[0].legend(fontsize=7)
    save(figure, "t10")


if __name__ == "__main__":
    main()
