"""The path of distributions that annealed importance sampling follows, and its transitions along it.

Between a base f_0(w), which is normalised and can be sampled, and p(y, w | h) stand the distributions

    f_β(w) ∝ f_0(w)^{1−β} p(y, w | h)^β = f_0(w) e^{β g(w)},   g(w) = log p(y, w | h) − log f_0(w),   0 ≤ β ≤ 1.

f_β is left as it is by Hamiltonian Monte Carlo (Neal 2011): a velocity v ~ N(0, I), leapfrog steps of size ε,

    v ← v + ½ ε s ∘ ∇log f_β(w),   w ← w + ε s ∘ v,   v ← v + ½ ε s ∘ ∇log f_β(w),

and the result accepted with probability min(1, e^{−ΔE}), E = ½|v|² − log f_β(w). s_β are the widths that f_β would have
in one dimension at a time, 1/s² = (1 − β)/s_0² + β/α, with s_0 those of the base and α the variances of q.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ...plugins import WeightVectors

MOST_SPREAD = 0.2
"""A step's size is drawn within this share of ε, so that no trajectory comes back to where it began."""


@dataclass(frozen=True)
class Move:
    """Where a transition led, w (M, S, n), with g there (M, S); the mean probability of acceptance (M,)."""

    w: Tensor
    ratio: Tensor
    acceptance: Tensor


@dataclass(frozen=True)
class AnnealedPath:
    """The path of every member, from the prior or from q."""

    vectors: WeightVectors
    from_posterior: bool

    def draws(self, chains: int, phase: str, first: int) -> Tensor:
        """Samples of the base, (M, chains, n)."""
        if self.from_posterior:
            return self.vectors.draws(chains, phase, first)
        deviation = (-0.5 * self.vectors.log_precision).exp().unsqueeze(1)
        return deviation * self.vectors.normals(chains, phase, first)

    def terms(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """log f_0(w) and g(w) for w (M, S, n), (M, S) each."""
        likelihood, prior = self.vectors.log_likelihood(w), self.vectors.log_prior(w)
        if not self.from_posterior:
            return prior, likelihood
        base = self.vectors.log_posterior(w)
        return base, likelihood + prior - base

    def log_density_and_gradient(self, w: Tensor, beta: float) -> tuple[Tensor, Tensor, Tensor]:
        """log f_0 + β g, its gradient (M, S, n), and g."""
        import torch

        def total(point: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            base, ratio = self.terms(point)
            density = base + beta * ratio
            return density.sum(), (density, ratio)

        gradient, (density, ratio) = torch.func.grad(total, has_aux=True)(w)
        return density, gradient, ratio

    def widths(self, beta: float) -> Tensor:
        """s_β, (M, 1, n); 0 in places that hold no weight."""
        import torch

        vectors = self.vectors
        prior = vectors.log_precision.exp()
        end = torch.where(vectors.variance > 0, 1 / vectors.variance.clamp(min=1e-300), prior)
        start = end if self.from_posterior else prior
        width = ((1 - beta) * start + beta * end).rsqrt()
        return torch.where(vectors.used, width, 0.0).unsqueeze(1)

    def move(self, w: Tensor, beta: float, step: Tensor, leapfrogs: int, phase: str, first: int) -> Move:
        """One transition that leaves f_β as it is, with step sizes ε (M,), by the noise of that phase."""
        import torch

        chains = w.shape[1]
        v = self.vectors.normals(chains, phase, first)
        spread = self.vectors.uniforms(chains, f"{phase}/spread", first)
        size = step.unsqueeze(1) * (1 + MOST_SPREAD * (2 * spread - 1))
        size = size.unsqueeze(2) * self.widths(beta)
        density, gradient, ratio = self.log_density_and_gradient(w, beta)
        start = density - 0.5 * v.square().sum(-1)
        place, slope = w, gradient
        for _ in range(leapfrogs):
            v = v + 0.5 * size * slope
            place = place + size * v
            density, slope, new_ratio = self.log_density_and_gradient(place, beta)
            v = v + 0.5 * size * slope
        gain = density - 0.5 * v.square().sum(-1) - start
        chance = torch.nan_to_num(gain, nan=-torch.inf, posinf=-torch.inf).clamp(max=0).exp()
        accepted = self.vectors.uniforms(chains, f"{phase}/accept", first) < chance
        return Move(
            torch.where(accepted.unsqueeze(2), place, w), torch.where(accepted, new_ratio, ratio), chance.mean(1)
        )
