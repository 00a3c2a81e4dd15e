"""What the commands of T4 and T5 share: E, KL and Q of a linear-Gaussian model in closed form, as functions of h."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from structflow.evidence.trained import TrainedPopulation
from structflow.results.run import Run

LOG_PRECISIONS = np.linspace(-6.0, 25.0, 6201)


@dataclass(frozen=True)
class Curves:
    """At the best mean-field q for each of `LOG_PRECISIONS` (c_reg = 1): E = E_q log p(y | X, w), and KL(q ‖ p).

    `at_the_prior` is E as the precision goes to infinity, where every weight is 0 and KL is 0.
    """

    fit: np.ndarray
    divergence: np.ndarray
    at_the_prior: float

    def best(self, c_prior: float) -> tuple[float, float, float]:
        """log A, KL and Q = E − c_prior KL at the global maximum over h, the limit A → ∞ included."""
        objective = self.fit - c_prior * self.divergence
        number = int(objective.argmax())
        if number == len(objective) - 1 or objective[number] <= self.at_the_prior:
            return float("inf"), 0.0, self.at_the_prior
        return float(LOG_PRECISIONS[number]), float(self.divergence[number]), float(objective[number])

    def maxima(self, c_prior: float) -> list[tuple[float, float, float]]:
        """log A, KL and Q at every local maximum with finite A."""
        objective = self.fit - c_prior * self.divergence
        inner = (objective[1:-1] > objective[:-2]) & (objective[1:-1] > objective[2:])
        rows = np.flatnonzero(inner) + 1
        return [(float(LOG_PRECISIONS[i]), float(self.divergence[i]), float(objective[i])) for i in rows]


def curves_of(run: Run, noise: float) -> Curves:
    """The closed form for y = Φ w + σ ε with Φ = [1, x] and w ~ N(0, I / A).

    α_i = 1 / (A + (ΦᵀΦ)_ii / σ²),   μ = (ΦᵀΦ / σ² + A I)⁻¹ Φᵀy / σ²,
    E = −(‖y − Φμ‖² + Σ_i α_i (ΦᵀΦ)_ii) / (2σ²) − m/2 log 2πσ²,   KL = ½ Σ_i [A (α_i + μ_i²) − 1 − log(A α_i)].
    """
    x, y = run.context.study.dataset.train()
    phi = np.hstack([np.ones((len(x), 1)), x.astype(np.float64)])
    target = y.astype(np.float64).ravel()
    gram, moment = phi.T @ phi / noise**2, phi.T @ target / noise**2
    constant = -0.5 * len(x) * np.log(2 * np.pi * noise**2)
    fits, divergences = [], []
    for precision in np.exp(LOG_PRECISIONS):
        alpha = 1 / (precision + np.diag(gram))
        mu = np.linalg.solve(gram + precision * np.eye(len(gram)), moment)
        residual = target - phi @ mu
        fits.append(constant - 0.5 * (residual @ residual / noise**2 + alpha @ np.diag(gram)))
        shrunk = np.diag(gram) * alpha  # −log(A α) without cancellation where A is large
        divergences.append(0.5 * float((precision * mu**2 - shrunk - np.log1p(-shrunk)).sum()))
    return Curves(np.array(fits), np.array(divergences), constant - 0.5 * float(target @ target) / noise**2)


def trained_terms(trained: TrainedPopulation) -> tuple[float, float, float]:
    """log A, E and KL of the only member; nothing is sampled, because weights that are linear are integrated."""
    (terms,) = trained.sample_terms(1, "theory")
    return (
        float(trained.parameters.hyper.log_precision[0]["whole"][0]),
        float(terms.log_likelihood.mean()),
        float(torch.as_tensor(terms.kl_weights).mean()),
    )
