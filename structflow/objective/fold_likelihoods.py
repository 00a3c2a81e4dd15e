"""Which members of several folds have one likelihood, though their targets were divided by different scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..plugins import Shape
from .guarded_likelihood import GuardedLikelihood

PROBES = 16
"""Random rows at which two likelihoods are compared."""


def members_by_density(likelihoods: Sequence[GuardedLikelihood], out_shape: Shape) -> list[list[int]]:
    """The numbers of the members whose likelihoods are one function of (y, f) and their parameters, for each there is.

    Likelihoods of several folds differ by the scale of the targets. Many don't depend on it: those that agree to the
    last bit at random points are treated as one, so that a step calls it once rather than once a fold.
    """
    by_scale: dict[tuple[float, ...], list[int]] = {}
    for number, likelihood in enumerate(likelihoods):
        by_scale.setdefault(tuple(likelihood.target_scale.tolist()), []).append(number)
    if len(by_scale) == 1:
        return list(by_scale.values())
    found: dict[bytes, list[int]] = {}
    for numbers in by_scale.values():
        found.setdefault(density_at_points(likelihoods[numbers[0]], out_shape), []).extend(numbers)
    return [sorted(numbers) for numbers in found.values()]


def density_at_points(likelihood: GuardedLikelihood, out_shape: Shape) -> bytes:
    """The bytes of log p(y | f), and of its expectation where it is known, at random y, f and parameters."""
    random = np.random.Generator(np.random.Philox(key=0))

    def normals(*shape: int) -> Tensor:
        return torch.from_numpy(random.standard_normal(shape))

    y, f = normals(PROBES, len(likelihood.target_scale)), normals(PROBES, *out_shape)
    own = {name: torch.from_numpy(np.asarray(value, dtype=np.float64)) for name, value in
           likelihood.parameters(out_shape).items()}  # fmt: skip
    own = {name: value + normals(*value.shape) for name, value in own.items()}
    values = [likelihood.log_prob(own, y, f)]
    if likelihood.closed_form:
        values.append(likelihood.expected_log_prob(own, y, f, normals(PROBES, *out_shape).square()))
    return torch.stack(values).detach().numpy().tobytes()
