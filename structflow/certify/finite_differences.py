"""The slow, obvious derivative by chosen hyperparameters: central differences, all members at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..distributions.counter_noise import member_key

WIDTHS = (1e-3, 1e-4, 1e-5)
"""Widths of the differences, each a tenth of the one before. Hyperparameters are logarithms, so that 1 is their scale.

The error of a wide one is its third derivative, that of a narrow one the rounding of Q, or a kink of an activation that
it steps over; where two agree neither matters.
"""


@dataclass(frozen=True)
class Differences:
    """dQ/dh at `places` (K, M) of the flat vector, −1 where a member has fewer; `value` and `uncertainty` (K, M).

    `uncertainty` is how far two widths are from one another, an upper estimate of the error of `value`.
    """

    places: np.ndarray
    value: np.ndarray
    uncertainty: np.ndarray


def chosen_places(groups: Sequence[Sequence[np.ndarray]], most: int, seed: int, first: np.ndarray) -> np.ndarray:
    """At most `most` places of each group of each member, drawn at random, (K, M) with −1 in the blanks.

    `groups` holds for every member the places of its hyperparameters, one array a kind. Those among `first` are drawn
    before all others.
    """
    columns = []
    for member, kinds in enumerate(groups):
        column: list[int] = []
        for kind, places in enumerate(kinds):
            key = np.array(member_key(f"certificate/{seed}/{member}/{kind}"), dtype=np.uint64)
            order = np.random.Generator(np.random.Philox(key=key)).permutation(places)
            wanted = np.isin(order, first)
            column += sorted(np.concatenate([order[wanted], order[~wanted]])[:most].tolist())
        columns.append(column)
    most_of_all = max(map(len, columns))
    return np.array([column + [-1] * (most_of_all - len(column)) for column in columns]).T


def central_differences(value: Callable[[Tensor], Tensor], flat: Tensor, places: np.ndarray) -> Differences:
    """(Q(h + δ e_k) − Q(h − δ e_k)) / 2δ for the k-th place of every member at once: nothing mixes members.

    `value` gives every member's Q (M,) at numbers (P,). Of three widths the two neighbours that agree best are taken,
    member by member, and extrapolated: D = (100 D(δ/10) − D(δ)) / 99 has an error of order δ⁴.
    """
    found = []
    for row in places:
        unit = torch.zeros_like(flat)
        unit[torch.from_numpy(row[row >= 0]).to(flat.device)] = 1
        slopes = [(value(flat + width * unit) - value(flat - width * unit)) / (2 * width) for width in WIDTHS]
        found.append(torch.stack(slopes))
    slopes_of_all = torch.stack(found).double().cpu().numpy()
    wide, narrow = slopes_of_all[:, :-1], slopes_of_all[:, 1:]
    apart = np.abs(wide - narrow)
    best = np.nan_to_num(apart, nan=np.inf).argmin(axis=1)[:, None]
    extrapolated = (100 * narrow - wide) / 99
    blank = places < 0
    picked = (np.take_along_axis(each, best, axis=1)[:, 0] for each in (extrapolated, apart))
    return Differences(places, *(np.where(blank, 0.0, each) for each in picked))
