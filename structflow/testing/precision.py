"""Whether code that is given double precision stays in it: a constant in single precision spoils eight digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .check import expect

COARSE = (torch.float32, torch.float16, torch.bfloat16)

REMEDY = "make constants in the dtype of the arguments: x.new_tensor(0.1), torch.zeros_like(x), or Python numbers"


class CoarseNumbers(TorchDispatchMode):
    """Notes the operations in which numbers of less than double precision take part."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Carry out the operation."""
        result = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, result)) if isinstance(each, Tensor)]
        if any(each.dtype in COARSE for each in tensors):
            self.operations.append(str(func))
        return result


def expect_double(compute: Callable[[], object], what: str) -> None:
    """Complain where numbers in single precision take part in something that is given double precision alone."""
    with CoarseNumbers() as found:
        compute()
    names = ", ".join(dict.fromkeys(found.operations))
    expect(not found.operations, f"{what} of numbers in float64 computes in single precision (in {names})")
