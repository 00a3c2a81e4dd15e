"""Where observed targets stand in the predictive distribution: P(Y < y) and P(Y = y), for every kind of likelihood.

The predictive distribution is the mixture (1/S) Σ_s p(y | f_s) over samples of q. The contract of a likelihood has no
CDF, but it says what y given f is drawn from. A likelihood that keeps the default `draw` is normal or Poisson with
its `moments`, and its CDF is known. Of one that overrides `draw`, one y is drawn for each sample of q, and the place
of the observed y among the S draws takes the CDF's place: if y is from the same distribution, all S + 1 ranks are
equally likely, for any S. (Talts et al., "Validating Bayesian inference algorithms with simulation-based
calibration", 2018.)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..distributions.counter_noise import purpose_code
from ..objective.guarded_likelihood import GuardedLikelihood
from ..plugins.likelihood import LARGEST_RATE

Standing = tuple[Tensor, Tensor]
"""P(Y < y) and P(Y = y), each (M, rows, targets)."""


def exact_standing(likelihood: GuardedLikelihood, y: Tensor, means: Tensor, variances: Tensor) -> Standing:
    """Sums over samples for the default `draw`, from moments (M, S, rows, targets) and y (rows, targets).

    Normal: Φ((y − mean) / sd) and 0. Poisson with rate r: P(Y < y) = Γ(y, r) / Γ(y), P(Y = y) = r^y e^−r / y!.
    """
    if likelihood.target == "continuous":
        deviations = variances.sqrt().clamp(min=torch.finfo(means.dtype).tiny)
        below = torch.special.ndtr((y - means) / deviations)
        return below.sum(1), torch.zeros_like(below[:, 0])
    rate = means.clamp(max=LARGEST_RATE)
    counts = y.expand_as(rate)
    below = torch.where(counts > 0, torch.special.gammaincc(counts.clamp(min=1), rate), 0.0)
    equal = (torch.special.xlogy(counts, rate) - rate - (counts + 1).lgamma()).exp()
    return below.sum(1), equal.sum(1)


def drawn_standing(
    likelihood: GuardedLikelihood,
    own: Mapping[str, Tensor],
    y: Tensor,
    f: Tensor,
    keys: np.ndarray,
    phase: str,
    first: int,
) -> Standing:
    """How many of one draw a sample are below y and equal to it, from outputs f (M, S, rows, *out_shape).

    `first` is the number of the first sample. A draw's numbers are those of the member's key, `phase` and the number
    of the sample.
    """
    observed = y.cpu().numpy()
    below, equal = (np.zeros((len(f), *observed.shape)) for _ in range(2))
    for member, values in enumerate(f):
        parameters = {name: value[member] for name, value in own.items()}
        for sample, value in enumerate(values, start=first):
            drawn = likelihood.draw(parameters, value, generator_of(keys[member], phase, sample))
            below[member] += drawn < observed
            equal[member] += drawn == observed
    return torch.from_numpy(below).to(f.device), torch.from_numpy(equal).to(f.device)


def generator_of(key: np.ndarray, phase: str, sample: int) -> np.random.Generator:
    """NumPy's generator for a member's Philox key: another stream for every phase and sample."""
    first, second = map(int, key)
    counter = np.array([0, 0, sample, purpose_code(phase)], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=first << 32 | second))
