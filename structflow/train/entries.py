"""What each entry of a flat vector of parameters is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..objective.bound import Bound
from ..objective.parameters import Parameter, Role
from .flat import FlatLayout

HYPERPARAMETERS = (Role.PRECISION, Role.STRUCTURE_PRIOR)
"""Roles of h; the likelihood's own parameters are raised with θ, unless Q is of the curvature."""

OF_CURVATURE = (*HYPERPARAMETERS, Role.LIKELIHOOD)
"""The same where Q is the evidence that the curvature at θ gives."""

CONCENTRATIONS = (Role.STRUCTURE, Role.STRUCTURE_PRIOR)


class Entries(NamedTuple):
    """For each of the P entries whether it is of q(Γ) or p(Γ), and of h; its limit ±; and the member it is of."""

    of_structure: Tensor
    of_h: Tensor
    limit: Tensor
    member_of: Tensor


def entries_of(
    bound: Bound,
    layout: FlatLayout,
    dtype: torch.dtype,
    largest_log_concentration: float | None = None,
    of_h: tuple[Role, ...] = HYPERPARAMETERS,
) -> Entries:
    """The entries of a layout, on the CPU; log concentrations have the given limit, all others none."""
    largest = math.inf if largest_log_concentration is None else largest_log_concentration

    def flags(*roles: Role) -> Tensor:
        return torch.from_numpy(by_row(layout, lambda parameter, rows: np.full(rows, parameter.role in roles)))

    def members(parameter: Parameter, rows: int) -> np.ndarray:
        return np.arange(rows) if parameter.group is None else bound.population.groups[parameter.group].slots

    return Entries(
        flags(*CONCENTRATIONS, Role.STRUCTURE_TEMPERATURE),
        flags(*of_h),
        torch.where(flags(*CONCENTRATIONS), torch.tensor(largest, dtype=dtype), math.inf),
        torch.from_numpy(by_row(layout, members).astype(np.int64)),
    )


def by_row(layout: FlatLayout, of_rows: Callable[[Parameter, int], np.ndarray]) -> np.ndarray:
    """A value for each row of each parameter, at all entries of the row, (P,)."""
    parts = [np.zeros(0, dtype=bool)]
    for parameter, shape in layout.shapes:
        parts.append(np.repeat(of_rows(parameter, shape[0]), math.prod(shape[1:])))
    return np.concatenate(parts)
