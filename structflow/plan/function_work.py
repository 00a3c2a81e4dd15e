"""How much work a basis function is, counted on a few rows: what forecasts of time are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ..plugins import BasisFunction, Shape
from ..spec.graph import GraphFunction

FEW, MORE = 2, 4
"""Rows on which a function is counted; the difference is what each row adds."""


@dataclass(frozen=True)
class FunctionWork:
    """One evaluation of g(x; w): its tensor `operations`, and for each row the numbers they make and multiply.

    `values` are the numbers that the operations give, `multiplications` those of matrix products and convolutions.
    """

    operations: int
    values: float
    multiplications: float


class Counter(TorchDispatchMode):
    """Counts what is done within it; views cost nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        self.operations = 0
        self.values = 0
        self.multiplications = 0

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do an operation and count it."""
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.operations += 1
            self.values += sum(value.numel() for value in tree_leaves(found) if isinstance(value, Tensor))
            flops = flop_registry.get(func.overloadpacket)
            if flops is not None:
                self.multiplications += flops(*args, **(kwargs or {}), out_val=found) // 2
        return found


def function_work(function: GraphFunction, in_shape: Shape, out_shape: Shape) -> FunctionWork:
    """The work of a candidate between two shapes.

    One that can't be evaluated counts as one operation that makes its output: why it can't is said where it is trained.
    """
    return counted(function.plugin, Hashable(function.options), in_shape, out_shape)


@dataclass(frozen=True)
class Hashable:
    """The options of a function, equal to others of the same values."""

    options: Any

    def __hash__(self) -> int:
        return hash(repr(self.options))


@lru_cache(maxsize=1024)
def counted(plugin: type[BasisFunction], options: Hashable, in_shape: Shape, out_shape: Shape) -> FunctionWork:
    """`function_work`, once for each function and shape."""
    shapes = plugin.weight_shapes(options.options, in_shape, out_shape)
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    counts = []
    try:
        function = plugin(options.options, in_shape, out_shape)
        for rows in (FEW, MORE):
            with torch.no_grad(), Counter() as counter:
                function.forward(weights, torch.zeros(rows, *in_shape))
            counts.append(counter)
    except Exception:  # whatever a plugin raises
        return FunctionWork(1, float(torch.Size(out_shape).numel()), 0.0)
    few, more = counts
    return FunctionWork(
        more.operations,
        max(0, more.values - few.values) / (MORE - FEW),
        max(0, more.multiplications - few.multiplications) / (MORE - FEW),
    )
