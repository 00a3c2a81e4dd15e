"""Trajectories of gradient steps and the entropy of the distribution that their weights come from.

A step w' = w + β ∇log p(y, w) is a map with the Jacobian I − βH. It is one to one for βλ_max(H) < 1, and changes the
entropy S of the distribution of w by

    E log|det(I − βH)| ≥ E Σ_i [−βλ_i − (βλ_i)²] = −E [r0ᵀ(βH r0) + |βH r0|²]        for βλ_max ≤ 0.68,

r0 a vector of random signs. It is r0ᵀ(−2 r0 + 3 r1 − r2) of Maclaurin, Duvenaud and Adams, "Early stopping as
nonparametric variational inference" (2016), with r1 = (I − βH) r0, r2 = (I − βH) r1 and, H being symmetric, r0ᵀr2 =
|r1|²: one product with H in place of two. Signs have less variance than their normals (Hutchinson 1990).

Langevin dynamics (Welling and Teh 2011) adds noise of variance ε = 2β. By the entropy power inequality then
S ← (n/2) log(e^{2S/n} + e^{2S_noise/n}) at least, S_noise = (n/2) log 2πeε (Bakhteev and Strijov 2018).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .curvature import curvature
from .early_stop import halves

if TYPE_CHECKING:
    from torch import Tensor

    from .descent_start import DescentStart
    from .joint_derivatives import LogJoint


CURVATURE_EVERY = 10
"""Steps between two looks at the largest eigenvalue of H, which changes slowly."""


@dataclass(frozen=True)
class Look:
    """What r trajectories of M members are like after some steps: w (M, r, n), log p(y, w) and S (M, r).

    The mean of `entropy` over restarts is the estimate of S; its spread is the error of that estimate. `largest_step`
    (M, r) is the largest β|λ|_max seen so far.
    """

    step: int
    weights: Tensor
    log_joint: Tensor
    entropy: Tensor
    surprise: Tensor
    largest_step: Tensor

    @property
    def bound(self) -> Tensor:
        """log p(y, w) + S of every restart, (M, r): its mean is a lower bound of log p(y) in expectation.

        −log q⁰(w⁰) − S⁰ of the start w⁰, of which nothing is left on average, is added: a start far out raises it and
        lowers log p(y, w), so that the sum varies less.
        """
        return self.log_joint + self.entropy + self.surprise


@dataclass(frozen=True)
class Descent:
    """How trajectories go: β `rate` (M,), with or without Langevin noise, and when they are looked at.

    Of `measure_every` steps one, drawn uniformly, tells the change of entropy of all of them, without bias.
    """

    joint: LogJoint
    rate: Tensor
    langevin: bool
    steps: int
    check_every: int
    measure_every: int
    phase: str

    def looks(self, start: DescentStart) -> Iterator[Look]:
        """A look at the start, after every `check_every` steps, and at the end."""
        import torch

        joint, rate, w, surprise = self.joint, self.rate.reshape(-1, 1), start.draws, start.surprise
        entropy = start.entropy.unsqueeze(1).expand_as(surprise)
        largest_step, seen = torch.zeros_like(entropy), None
        for step in range(self.steps + 1):
            if step % CURVATURE_EVERY == 0 or step == self.steps:
                seen = curvature(joint, w, step, self.phase, seen)
                largest_step = torch.maximum(largest_step, rate * seen.largest)
            change = None
            if step % self.measure_every == measured(step // self.measure_every, self.measure_every):
                signs = joint.weights.normals(w.shape[1], f"{self.phase}/signs/{step}").sign()
                value, gradient, product = joint.product(w, signs, step)
                change, size = entropy_change(signs, rate.unsqueeze(2) * product)
                largest_step = torch.maximum(largest_step, size)
            else:
                value, gradient = joint.gradient(w, step)
            if step % self.check_every == 0 or step == self.steps:
                on_all_rows = value if joint.parts == 1 else joint.value(w)
                yield Look(step, w, on_all_rows, entropy, surprise, largest_step)
            entropy = entropy if change is None else entropy + self.measure_every * change
            w = w + rate.unsqueeze(2) * gradient
            if self.langevin:
                noise = joint.weights.normals(w.shape[1], f"{self.phase}/noise/{step}")
                w = w + (2 * rate).sqrt().unsqueeze(2) * noise
                entropy, kept = with_noise(entropy, 2 * rate, joint.weights.used.sum(1, keepdim=True))
                surprise = kept * surprise


def measured(block: int, size: int) -> int:
    """Which step of a block is measured: uniform, and the same for everyone, as restarts are stepped together."""
    return int(np.random.default_rng(block).integers(size))


def entropy_change(signs: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
    """−r0ᵀv − |v|² for signs r0 and v = βH r0, (M, r, n) each, and |v|/|r0| ≤ β|λ|_max: (M, r) each."""
    square = product.square().sum(-1)
    change = -(signs * product).sum(-1) - square
    return change, (square / signs.square().sum(-1).clamp(min=1)).sqrt()


def with_noise(entropy: Tensor, variance: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """(n/2) log(e^{2S/n} + 2πe ε) for `entropy` (M, r), `variance` ε (M, 1) and `size` n (M, 1): (M, r).

    S is the mean over each half of the restarts, which must not know of the other one (see `early_stop`). What a
    restart differs from it by counts as much less as S does: the derivative of the result is e^{2S/n} / (e^{2S/n} +
    2πe ε), the second result, (M, r). So the spread over restarts stays the error of their mean, to first order.
    """
    import torch

    n = size.clamp(min=1).double()
    mean = torch.cat([part.mean(1, keepdim=True).expand_as(part) for part in halves(entropy)], dim=1)
    power = 2 * mean / n
    total = torch.logaddexp(power, (2 * math.pi * math.e * variance).log().expand_as(power))
    kept = (power - total).exp()
    return torch.where(size > 0, 0.5 * n * total + kept * (entropy - mean), entropy), kept
