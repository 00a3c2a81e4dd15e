"""The graph recursion f_j(x) = Σ_k Σ_l γ_l^{jk} g_l^{jk}(f_k(x); w_l^{jk}) for all members and samples at once.

Values of nodes are (M, S, rows, *shape): members, Monte Carlo samples, rows of data. The input has neither of the
first two axes, unless each member has rows of its own, and S is 1 where nothing random has been used yet. Under a
closed-form likelihood the functions that are linear in their weights and end in the output node are not sampled: their
output has a mean and a variance over the weights, given everything before them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from ..errors import FunctionError
from ..plugins import BasisFunction
from ..plugins.calling import Calling, origin_of
from ..spec.graph import INPUT, OUTPUT
from .layout import FunctionBlock, Layout
from .routing import Index, Routing

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Output:
    """The output node: mean (M, S, rows, *shape), and its variance over the weights not sampled, or None for 0."""

    mean: Tensor
    variance: Tensor | None


@dataclass(frozen=True)
class Network:
    """A layout with the routing of every edge. Stateless: weights, γ and index tensors are given."""

    layout: Layout
    routings: tuple[Routing, ...]
    members: int
    scale_by_structure: bool = False

    def forward(
        self,
        weights: Sequence[Weights],
        variances: Sequence[Weights | None],
        gamma: Sequence[Tensor | None],
        x: Tensor,
        indices: Sequence[Index],
        own_rows: bool = False,
    ) -> Output:
        """The output for every member, sample and row.

        `weights` and `variances` hold for every group tensors (slots, S or 1, *shape); a group with variances is
        integrated out and its weights are means. `gamma` holds for every edge (M, S, functions present), None where
        all are 1; `x` is (rows, *input_shape), seen in the shape of the input node. With `own_rows` it is
        (M, rows, *input_shape), as many rows for each member.
        """
        values: dict[str, Tensor] = {}
        if own_rows:
            values[INPUT] = x.reshape(self.members, 1, x.shape[1], *self.layout.node_shapes[INPUT])
            x = x[0]
        x = x.reshape(x.shape[0], *self.layout.node_shapes[INPUT])
        variance: Tensor | None = None
        for node in self.layout.graph.nodes[1:]:
            total: Tensor | None = None
            for edge_index, edge in self.layout.graph.edges_into(node):
                source = values.get(edge.source)
                mean, spread = self._edge(edge_index, weights, variances, gamma[edge_index], x, source, indices)
                if mean is not None:
                    total = mean if total is None else total + mean
                if spread is not None and node == OUTPUT:
                    variance = spread if variance is None else variance + spread
            if total is None:  # no function of any edge into this node is present in the batch
                shape = self.layout.node_shapes[node]
                total = x.new_zeros((self.members, 1, x.shape[0], *shape))
            values[node] = total
        return Output(values[OUTPUT], variance)

    def _edge(
        self,
        edge_index: int,
        weights: Sequence[Weights],
        variances: Sequence[Weights | None],
        gamma: Tensor | None,
        x: Tensor,
        source: Tensor | None,
        indices: Sequence[Index],
    ) -> tuple[Tensor | None, Tensor | None]:
        """Sum over the functions of one edge, and the variance of that sum; None where there is none."""
        blocks, routing, index = self.layout.blocks[edge_index], self.routings[edge_index], indices[edge_index]
        if not blocks:
            return None, None
        parts: Sequence[Tensor | None] = [None] * len(blocks)
        if source is not None:
            parts = routing.split(source, index)
        means: list[Tensor] = []
        spreads: list[Tensor | None] = []
        for position, (block, part) in enumerate(zip(blocks, parts, strict=True)):
            slots = len(routing.slots(position))
            weight = self._weights_of(block, position, weights, routing, index)
            scale = None if gamma is None else gamma[..., position]
            if scale is not None and self.scale_by_structure:
                weight = {name: scaled(value, scale) for name, value in weight.items()}
            mean = self._lift(block, weight, x, part, slots)
            means.append(mean if scale is None else scaled(mean, scale))
            uncertain = None if block.group is None else variances[block.group]
            if uncertain is None:
                spreads.append(None)
                continue
            if scale is not None and self.scale_by_structure:
                uncertain = {name: scaled(value, scale.square()) for name, value in uncertain.items()}
            spread = self._lift(block, uncertain, x, part, slots, variance=True)
            spreads.append(spread if scale is None else scaled(spread, scale.square()))
        mean = routing.merge(with_equal_samples(means), index)
        if all(spread is None for spread in spreads):
            return mean, None
        filled = [torch.zeros_like(m) if spread is None else spread for m, spread in zip(means, spreads, strict=True)]
        return mean, routing.merge(with_equal_samples(filled), index)

    def _lift(
        self, block: FunctionBlock, weights: Weights, x: Tensor, part: Tensor | None, slots: int, variance: bool = False
    ) -> Tensor:
        """`lift`, with errors that name the function, and its value checked."""
        name, method = named_function(self.layout, block), "output_variance" if variance else "forward"
        with Calling(type(block.function), method, name, FunctionError):
            value = lift(block.function, weights, x, part, slots, variance)
        checked_value(name, method, block.function, value, x, leading=2)
        return value

    def _weights_of(
        self, block: FunctionBlock, position: int, weights: Sequence[Weights], routing: Routing, index: Index
    ) -> Weights:
        """The weights of a function's slots; shared weights are held for all members and split like values."""
        if block.group is None:
            return {}
        if not self.layout.groups[block.group].is_shared:
            return weights[block.group]
        return {name: routing.split(value, index)[position] for name, value in weights[block.group].items()}


def named_function(layout: Layout, block: FunctionBlock) -> Callable[[], str]:
    """How a function is named in a message."""
    edge = layout.graph.edges[block.edge].key
    return lambda: f"basis function {block.name!r} on edge {edge} ({origin_of(type(block.function))})"


def checked_value(
    name: Callable[[], str], method: str, function: BasisFunction, value: Any, x: Tensor, leading: int
) -> None:
    """Raise `FunctionError` unless a value of a function has the shape, dtype and device that those after it rely on.

    A wrong shape would be broadcast silently, and a wrong dtype would raise in the next function. `x` are rows
    (rows, …) beside it, and the first `leading` axes of the value are those of members and samples.
    """
    if isinstance(value, Tensor):
        got, expected = tuple(value.shape[leading:]), (len(x), *function.out_shape)
        if got == expected and value.dtype == x.dtype and value.device == x.device:
            return
        returned, wanted = f"the shape {shown_shape(got)}", f"(rows, *out_shape) = {shown_shape(expected)}"
        if got == expected:
            returned = f"{value.dtype} on {value.device}"
            wanted = f"{x.dtype} on {x.device}, as its arguments: make constants with x.new_tensor(…)"
    else:
        returned, wanted = type(value).__name__, "a tensor (rows, *out_shape)"
    raise FunctionError(
        f"{name()} broke its contract: {type(function).__name__}.{method} returned {returned}; expected {wanted}"
    )


def shown_shape(shape: tuple[int, ...]) -> str:
    """A shape as it is written in Python."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def scaled(value: Tensor, scale: Tensor) -> Tensor:
    """value (M, S, …) times scale (M, S)."""
    return value * scale.reshape(*scale.shape, *(1,) * (value.ndim - 2))


def with_equal_samples(values: Sequence[Tensor]) -> list[Tensor]:
    """The same tensors with one length of the sample axis, so that they can stand side by side."""
    samples = max(value.shape[1] for value in values)
    return [value.expand(value.shape[0], samples, *value.shape[2:]) for value in values]


def lift(
    function: BasisFunction, weights: Weights, x: Tensor, part: Tensor | None, slots: int, variance: bool = False
) -> Tensor:
    """One basis function over its slots and the samples: (slots, S, rows, *out_shape).

    `weights` are (slots, S or 1, *shape); the input is the data `x` (rows, *in_shape) itself, or where `part` is
    given (slots, S or 1, rows, *in_shape). With `variance`, weights are variances and so is the result.
    """
    apply = function.output_variance if variance else function.forward
    if not weights and part is None:
        value: Any = apply({}, x)
        return value.expand(slots, 1, *value.shape) if isinstance(value, Tensor) else value
    if part is None:
        return vmap(vmap(apply, (0, None)), (0, None))(weights, x)
    if not weights:
        return vmap(vmap(lambda rows: apply({}, rows)))(part)
    samples_of_weights = next(iter(weights.values())).shape[1]
    if samples_of_weights == part.shape[1]:
        return vmap(vmap(apply))(weights, part)
    if samples_of_weights == 1:
        return vmap(vmap(apply, (None, 0)))({name: value.squeeze(1) for name, value in weights.items()}, part)
    return vmap(vmap(apply, (0, None)))(weights, part.squeeze(1))
