"""Routings against one loop over members: who uses what, added up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from structflow.model.group_index import GroupIndex, to_members, to_slots
from structflow.model.routing import (
    Everyone,
    GridAny,
    GridOne,
    IndexedAny,
    IndexedOne,
    Routing,
    find_grid,
    routing_for,
)

VALUES = 3


def scale_and_shift(function: int, x: Tensor) -> Tensor:
    """A different map for every function."""
    return (function + 2) * x + 10.0**function


def through(routing: Routing, x: Tensor) -> Tensor:
    parts = routing.split(x, routing.index)
    return routing.merge([scale_and_shift(number, part) for number, part in enumerate(parts)], routing.index)


def by_loop(active: np.ndarray, x: Tensor) -> Tensor:
    rows = []
    for member, uses in enumerate(active):
        total = 0.0 * x[member]
        for function in np.flatnonzero(uses):
            total = total + scale_and_shift(int(function), x[member])
        rows.append(total)
    return torch.stack(rows)


def check(routing: Routing, active: np.ndarray) -> None:
    """Split, functions and merge equal the loop, and so do the gradients; slots and live flags say who runs where."""
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.normal(size=(len(active), VALUES))).requires_grad_()
    upstream = torch.from_numpy(generator.normal(size=(len(active), VALUES)))
    merged, expected = through(routing, x), by_loop(active, x)
    torch.testing.assert_close(merged, expected, rtol=1e-14, atol=0)
    gradient, wanted = (torch.autograd.grad((value * upstream).sum(), x)[0] for value in (merged, expected))
    torch.testing.assert_close(gradient, wanted, rtol=1e-13, atol=1e-13)
    for function, column in enumerate(active.T):
        live = routing.live(function)
        assert sorted(routing.slots(function)[live]) == np.flatnonzero(column).tolist()


@st.composite
def tables(draw, one: bool) -> tuple[np.ndarray, list[int]]:
    """Who uses what, and capacities with up to two spare slots; every function has at least one slot."""
    members, functions = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    if one:
        chosen = draw(st.lists(st.integers(0, functions - 1), min_size=members, max_size=members))
        active = np.eye(functions, dtype=bool)[chosen]
    else:
        flags = st.lists(st.booleans(), min_size=functions, max_size=functions)
        active = np.array(draw(st.lists(flags, min_size=members, max_size=members)), dtype=bool)
    spare = draw(st.lists(st.integers(0, 2), min_size=functions, max_size=functions))
    counts = active.sum(0)
    return active, [max(1, int(count) + extra) for count, extra in zip(counts, spare, strict=True)]


@given(tables(one=True))
@settings(max_examples=80, deadline=None)
def test_one_function_a_member(case):
    active, capacities = case
    check(IndexedOne(active, capacities), active)
    check(routing_for(active, capacities, one=True), active)


@given(tables(one=False))
@settings(max_examples=80, deadline=None)
def test_any_subset_a_member(case):
    active, capacities = case
    check(IndexedAny(active, capacities), active)
    check(routing_for(active, capacities, one=False), active)


@pytest.mark.parametrize("functions", [1, 3])
def test_everyone(functions):
    check(Everyone(4, functions), np.ones((4, functions), dtype=bool))


def grid_table(sizes: list[int], axis: int) -> np.ndarray:
    """Use of the functions of edge `axis`, members running over the product of `sizes` with the last fastest."""
    return np.array(
        [[choice[axis] == k for k in range(sizes[axis])] for choice in itertools.product(*map(range, sizes))]
    )


@pytest.mark.parametrize("axis", range(3))
def test_a_full_grid_over_choices_of_one_is_found(axis):
    """Edges of 2, 3 and 4 functions: edge `axis` has outer = product before it, inner = product after it."""
    sizes = [2, 3, 4]
    active = grid_table(sizes, axis)
    found = find_grid(active, one=True)
    assert found == GridOne(int(np.prod(sizes[:axis])), sizes[axis], int(np.prod(sizes[axis + 1 :])))
    check(found, active)


def test_restarts_may_be_innermost_or_outermost():
    active = grid_table([3], 0)
    inside, outside = np.repeat(active, 5, axis=0), np.tile(active, (5, 1))
    assert find_grid(inside, one=True) == GridOne(1, 3, 5)
    assert find_grid(outside, one=True) == GridOne(5, 3, 1)
    check(GridOne(1, 3, 5), inside)
    check(GridOne(5, 3, 1), outside)


@pytest.mark.parametrize(("before", "functions", "after"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (1, 2, 4)])
def test_a_full_grid_over_subsets_is_found(before, functions, after):
    """The subsets in the order of StructureSpace: the last function changes fastest."""
    subsets = np.array(list(itertools.product((False, True), repeat=functions)))
    active = np.tile(np.repeat(subsets, after, axis=0), (before, 1))
    assert find_grid(active, one=False) == GridAny(before, functions, after)
    check(GridAny(before, functions, after), active)


def test_what_is_not_a_full_grid_is_refused():
    grid = np.repeat(grid_table([3], 0), 2, axis=0)
    subsets = np.array(list(itertools.product((False, True), repeat=2)))
    assert find_grid(grid[:-1], one=True) is None  # one member short
    assert find_grid(grid[::-1], one=True) is None  # functions in reverse
    assert find_grid(grid[[0, 1, 4, 5, 2, 3]], one=True) is None  # two functions swapped
    assert find_grid(grid[[0, 2, 1, 3, 4, 5]], one=True) is None  # shuffled
    assert find_grid(subsets[1:], one=False) is None  # without the empty subset
    assert find_grid(subsets[[0, 2, 1, 3]], one=False) is None  # the first function fastest
    assert find_grid(np.repeat(grid[:1], 6, axis=0), one=True) is None  # all alike
    assert find_grid(np.concatenate([grid, grid[:3]]), one=True) is None


@given(tables(one=True))
@settings(max_examples=60, deadline=None)
def test_a_grid_is_found_only_where_it_describes_the_members(case):
    active, _ = case
    found = find_grid(active, one=True)
    if found is not None:
        check(found, active)


def test_the_cheapest_routing_is_taken():
    grid = np.repeat(grid_table([3], 0), 2, axis=0)
    shuffled = grid[[3, 0, 5, 1, 2, 4]]
    assert isinstance(routing_for(np.ones((4, 2), dtype=bool), [4, 4], one=False), Everyone)
    assert isinstance(routing_for(grid, [2, 2, 2], one=True), GridOne)
    assert isinstance(routing_for(grid, [2, 2, 3], one=True), IndexedOne)
    assert isinstance(routing_for(shuffled, [2, 2, 2], one=True), IndexedOne)
    assert isinstance(routing_for(shuffled, [2, 2, 2], one=False), IndexedAny)


@pytest.mark.parametrize("kind", [IndexedOne, IndexedAny])
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_spare_slots_reach_neither_outputs_nor_gradients(kind, poison):
    """Three members use function 0, nobody uses function 1; slopes of the spare slots are not finite.

    Function l is x · slope_l: with slope 2 for the live slots the output is 2x and its gradient 2, exactly, although
    a spare slot's gradient is 0 · poison = NaN.
    """
    active = np.array([[True, False]] * 3)
    routing = kind(active, [5, 2])
    x = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64, requires_grad=True)
    slopes = [torch.tensor([[2.0]] * 3 + [[poison]] * 2).double(), torch.full((2, 1), poison).double()]
    parts = routing.split(x, routing.index)
    merged = routing.merge([part * slope for part, slope in zip(parts, slopes, strict=True)], routing.index)
    (gradient,) = torch.autograd.grad(merged.sum(), x)
    assert merged.tolist() == [[2.0], [4.0], [6.0]]
    assert gradient.tolist() == [[2.0], [2.0], [2.0]]


def test_values_go_to_slots_and_come_back():
    """Slots of members 3 and 1 and a spare one; members 0 and 2 don't use the group and get zero."""
    group = GroupIndex(np.array([3, 1, 3]), np.array([3, 1, 3, 0]))
    value = torch.tensor([10.0, 11.0, 12.0, 13.0], requires_grad=True)
    per_slot = to_slots(value, group.tensors)
    assert per_slot.tolist() == [13.0, 11.0, 0.0]
    assert to_members(per_slot, group.tensors).tolist() == [0.0, 11.0, 0.0, 13.0]
    poisoned = per_slot * torch.tensor([1.0, 1.0, float("nan")])
    (gradient,) = torch.autograd.grad(to_members(poisoned, group.tensors).sum(), value)
    assert gradient.tolist() == [0.0, 1.0, 0.0, 1.0]


def test_a_group_of_everyone_needs_no_index():
    group = GroupIndex(np.arange(3), np.arange(3))
    assert group.everyone
    assert group.tensors == ()
    value = torch.arange(3.0)
    assert to_slots(value, ()) is value
    assert to_members(value, ()) is value
