"""How the members of a batch are led to the basis functions they chose, and back.

On an edge every basis function runs over just the members that use it. A routing splits a tensor whose first axis
runs over the M members into one part for each function (its *slots*), and merges the functions' outputs into a sum
for each member. Which routing serves an edge follows from the batch: everyone uses everything (relaxed members, or
no choice), the batch is a full grid of structures (views only), or anything else (index tensors). Index tensors are
inputs of the compiled program and not constants, so that another choice doesn't recompile it: `index` holds them,
and `split` and `merge` are given them back.

A function may have spare slots, so that batches with other counts fit the same program: a spare slot repeats a
member, and what it computes is left out when outputs are merged (never multiplied by zero: 0 · NaN is NaN). For the
same reason its input is zeros instead of that member's values: a gradient of 0 · ∞ in a spare slot stays there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Index = tuple[Tensor, ...]


class Routing(ABC):
    """Splits over the functions of one edge and merges again; `slots(l)` are the members function l runs over."""

    @abstractmethod
    def split(self, x: Tensor, index: Index) -> list[Tensor]:
        """x (M, …) → for each function l its rows (C_l, …)."""

    @abstractmethod
    def merge(self, outputs: Sequence[Tensor], index: Index) -> Tensor:
        """For each function l (C_l, …) → the sum over its functions for each member, (M, …)."""

    @abstractmethod
    def slots(self, function: int) -> np.ndarray:
        """Member of every slot of one function, (C_l,)."""

    def live(self, function: int) -> np.ndarray:
        """Whether a slot counts, (C_l,): false for spare slots."""
        return np.ones(len(self.slots(function)), dtype=bool)

    @property
    def signature(self) -> tuple[object, ...]:
        """What the compiled program depends on."""
        return (type(self).__name__,)

    @property
    def index(self) -> Index:
        """Index tensors, where there are some."""
        return ()


@dataclass
class Everyone(Routing):
    """Every member uses every one of the K functions."""

    members: int
    n_functions: int

    def split(self, x: Tensor, index: Index) -> list[Tensor]:
        """The tensor itself, K times."""
        return [x] * self.n_functions

    def merge(self, outputs: Sequence[Tensor], index: Index) -> Tensor:
        """The sum."""
        return sum_in_order(outputs)

    def slots(self, function: int) -> np.ndarray:
        """All members."""
        return np.arange(self.members)


@dataclass
class GridOne(Routing):
    """A full grid in which this edge's choice of one function is an axis: members are (outer, K, inner)."""

    outer: int
    n_functions: int
    inner: int

    @property
    def signature(self) -> tuple[object, ...]:
        """The three sizes."""
        return (type(self).__name__, self.outer, self.n_functions, self.inner)

    def split(self, x: Tensor, index: Index) -> list[Tensor]:
        """One slice of the axis for each function."""
        parts = x.reshape(self.outer, self.n_functions, self.inner, *x.shape[1:]).unbind(1)
        return [part.reshape(self.outer * self.inner, *x.shape[1:]) for part in parts]

    def merge(self, outputs: Sequence[Tensor], index: Index) -> Tensor:
        """Slices stacked along the axis."""
        rest = outputs[0].shape[1:]
        stacked = torch.stack([output.reshape(self.outer, self.inner, *rest) for output in outputs], dim=1)
        return stacked.reshape(self.outer * self.n_functions * self.inner, *rest)

    def slots(self, function: int) -> np.ndarray:
        """Members of one slice."""
        grid = np.arange(self.outer * self.n_functions * self.inner).reshape(self.outer, self.n_functions, self.inner)
        return grid[:, function].reshape(-1)


@dataclass
class GridAny(Routing):
    """A full grid over all subsets of K functions: members are (outer, 2, …, 2, inner), one axis a function."""

    outer: int
    n_functions: int
    inner: int

    @property
    def signature(self) -> tuple[object, ...]:
        """The three sizes."""
        return (type(self).__name__, self.outer, self.n_functions, self.inner)

    def _sizes(self, function: int) -> tuple[int, int]:
        """Members before and after the axis of one function."""
        return self.outer * 2**function, 2 ** (self.n_functions - 1 - function) * self.inner

    def split(self, x: Tensor, index: Index) -> list[Tensor]:
        """The half of the members that has each function."""
        parts = []
        for function in range(self.n_functions):
            before, after = self._sizes(function)
            present = x.reshape(before, 2, after, *x.shape[1:])[:, 1]
            parts.append(present.reshape(before * after, *x.shape[1:]))
        return parts

    def merge(self, outputs: Sequence[Tensor], index: Index) -> Tensor:
        """Each output beside zeros for the members without the function, summed."""
        spread = []
        for function, output in enumerate(outputs):
            before, after = self._sizes(function)
            present = output.reshape(before, after, *output.shape[1:])
            spread.append(torch.stack([torch.zeros_like(present), present], dim=1).flatten(0, 2))
        return sum_in_order(spread)

    def slots(self, function: int) -> np.ndarray:
        """Members that have the function."""
        before, after = self._sizes(function)
        return np.arange(2 * before * after).reshape(before, 2, after)[:, 1].reshape(-1)


def padded_slots(active: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Members where `active` (M,) is true, the first of them repeated up to `capacity`; and which slots are live."""
    members = np.flatnonzero(active)
    filler = members[0] if len(members) else 0
    slots = np.concatenate([members, np.full(capacity - len(members), filler)])
    return slots.astype(np.int64), np.arange(capacity) < len(members)


class Indexed(Routing):
    """What indexed routings share: slots, live flags, and for every member its slot (or C_l where it has none)."""

    def __init__(self, active: np.ndarray, capacities: Sequence[int]):
        """`active` (M, K) says who uses what; `capacities` (K,) are the numbers of slots, at least the counts."""
        self.active = active
        self.capacities = tuple(int(capacity) for capacity in capacities)
        pairs = [padded_slots(active[:, column], capacity) for column, capacity in enumerate(self.capacities)]
        self._slots = [slots for slots, _ in pairs]
        self._live = [live for _, live in pairs]
        self.positions = []
        for slots, live in pairs:
            position = np.full(len(active), len(slots), dtype=np.int64)
            position[slots[live]] = np.flatnonzero(live)
            self.positions.append(position)

    @property
    def has_spares(self) -> bool:
        """Whether any slot is spare."""
        return not all(live.all() for live in self._live)

    @property
    def signature(self) -> tuple[object, ...]:
        """The numbers of slots, and whether some are spare."""
        return (type(self).__name__, len(self.active), self.capacities, self.has_spares)

    def slots(self, function: int) -> np.ndarray:
        """Members of the slots, spare ones included."""
        return self._slots[function]

    def live(self, function: int) -> np.ndarray:
        """Which slots aren't spare."""
        return self._live[function]


class IndexedOne(Indexed):
    """Every member uses exactly one function: one permutation in, one out."""

    @property
    def index(self) -> Index:
        """Members sorted by function, where each member stands among them, and which slots are live if not all."""
        offsets = np.concatenate([[0], np.cumsum(self.capacities)])
        chosen = self.active.argmax(axis=1)
        back = [offsets[function] + self.positions[function][member] for member, function in enumerate(chosen)]
        live = [torch.from_numpy(np.concatenate(self._live))] if self.has_spares else []
        return torch.from_numpy(np.concatenate(self._slots)), torch.from_numpy(np.array(back, dtype=np.int64)), *live

    def split(self, x: Tensor, index: Index) -> list[Tensor]:
        """Members sorted by their function."""
        rows = x.index_select(0, index[0])
        return list((only_live(rows, index[2]) if self.has_spares else rows).split(self.capacities))

    def merge(self, outputs: Sequence[Tensor], index: Index) -> Tensor:
        """Back to the order of the members; spare slots are never picked."""
        return torch.cat(list(outputs)).index_select(0, index[1])


class IndexedAny(Indexed):
    """Every member uses any subset of the functions."""

    @property
    def index(self) -> Index:
        """The slots of every function, the positions in them of every member, and which are live if not all."""
        live = self._live if self.has_spares else []
        return tuple(torch.from_numpy(array) for array in (*self._slots, *self.positions, *live))

    def split(self, x: Tensor, index: Index) -> list[Tensor]:
        """The members of each function; one gather a function, so that gradients add up in a fixed order."""
        count = len(self.capacities)
        parts = [x.index_select(0, slots) for slots in index[:count]]
        if self.has_spares:
            parts = [only_live(part, live) for part, live in zip(parts, index[2 * count :], strict=True)]
        return parts

    def merge(self, outputs: Sequence[Tensor], index: Index) -> Tensor:
        """Each member's slot, or a row of zeros where it doesn't use the function, summed."""
        count = len(self.capacities)
        spread = [
            torch.cat([output, torch.zeros_like(output[:1])]).index_select(0, position)
            for output, position in zip(outputs, index[count : 2 * count], strict=True)
        ]
        return sum_in_order(spread)


def only_live(rows: Tensor, live: Tensor) -> Tensor:
    """Rows (C, …) with zeros where `live` (C,) is false; no gradient passes there, not even NaN."""
    return torch.where(live.reshape(-1, *(1,) * (rows.ndim - 1)), rows, torch.zeros_like(rows[:1]))


def sum_in_order(parts: Sequence[Tensor]) -> Tensor:
    """The sum from first to last: a fixed order, so that rounding is the same every time."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def routing_for(active: np.ndarray, capacities: Sequence[int], one: bool) -> Routing:
    """The cheapest routing for who uses what.

    `active` (M, K) holds only functions with a slot, `capacities` (K,) their numbers of slots, and `one` says that
    every member uses exactly one of them.
    """
    members, n_functions = active.shape
    if n_functions == 0:
        return Everyone(members, 0)
    if active.all() and all(capacity == members for capacity in capacities):
        return Everyone(members, n_functions)
    exact = all(int(column.sum()) == capacity for column, capacity in zip(active.T, capacities, strict=True))
    grid = find_grid(active, one) if exact else None
    if grid is not None:
        return grid
    return IndexedOne(active, capacities) if one else IndexedAny(active, capacities)


def find_grid(active: np.ndarray, one: bool) -> GridOne | GridAny | None:
    """The grid whose pattern of use is `active`, if there is one."""
    members, n_functions = active.shape
    axis = n_functions if one else 2**n_functions
    column = active[:, 0] if one else active[:, -1]
    changes = np.flatnonzero(column != column[0])
    inner = int(changes[0]) if len(changes) else members
    if members % (axis * inner):
        return None
    grid = (GridOne if one else GridAny)(members // (axis * inner), n_functions, inner)
    pattern = np.zeros_like(active)
    for function in range(n_functions):
        pattern[grid.slots(function), function] = True
    return grid if bool((pattern == active).all()) else None
