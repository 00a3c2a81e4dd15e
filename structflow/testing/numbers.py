"""Numbers that the tests are made with, and comparisons: of tensors, of gradients with differences, of precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import grad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .check import Complaint, expect

DOUBLE = torch.float64
ROUNDING = 1e-9
"""Relative difference that rounding in float64 may make."""

Weights = dict[str, Tensor]


def normal(*shape: int, seed: int, dtype: torch.dtype = DOUBLE) -> Tensor:
    """Standard normal numbers, the same for the same seed and shape whatever the dtype."""
    drawn = torch.randn(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    return drawn.to(dtype)


def uniform(*shape: int, seed: int) -> Tensor:
    """Uniform numbers on the open interval (0, 1)."""
    drawn = torch.rand(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    return drawn.clamp(1e-12, 1 - 1e-12)


def expect_shape(value: object, shape: tuple[int, ...], what: str) -> None:
    """Complain unless the value is a tensor of this shape."""
    expect(isinstance(value, Tensor), f"{what} is {type(value).__name__}, not a tensor")
    assert isinstance(value, Tensor)
    expect(tuple(value.shape) == tuple(shape), f"{what} of shape {tuple(value.shape)}, not {tuple(shape)}")


def expect_finite(value: Tensor, what: str) -> None:
    """Complain about NaN and infinities."""
    wrong = int((~torch.isfinite(value)).sum())
    expect(wrong == 0, f"{what}: {wrong} of {value.numel()} numbers are NaN or infinite")


def expect_close(got: Tensor, wanted: Tensor, what: str, relative: float = ROUNDING) -> None:
    """Complain unless the two agree to `relative` of the largest number (of 1, where all are smaller)."""
    expect_shape(got, tuple(wanted.shape), what)
    if wanted.numel() == 0:
        return
    scale = max(1.0, float(wanted.detach().abs().nan_to_num(0.0).max()))
    difference = (got.detach().double() - wanted.detach().double()).abs()
    same = (got == wanted) | (torch.isnan(got) & torch.isnan(wanted)) | (difference <= relative * scale)
    largest = float(difference.nan_to_num(float("inf")).max())
    expect(bool(same.all()), f"{what} differs by up to {largest:.3g} where numbers are up to {scale:.3g}")


def expect_all_close(got: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> None:
    """Complain unless tensors of the same names agree."""
    expect(set(got) == set(wanted), f"{what} of {sorted(got)}, not {sorted(wanted)}")
    for name, value in wanted.items():
        expect_close(got[name], value, f"{what} {name}")


def copies(tensors: Mapping[str, Tensor]) -> Weights:
    """Copies, to see later whether the originals were changed."""
    return {name: value.clone() for name, value in tensors.items()}


def cast(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Weights:
    """The same numbers in another dtype."""
    return {name: value.to(dtype) for name, value in tensors.items()}


def moved(tensors: Mapping[str, Tensor], device: str) -> Weights:
    """The same tensors on a device."""
    return {name: value.to(device) for name, value in tensors.items()}


STEP = 1e-6
"""Half the distance of a central difference."""

ALLOWED = 1e-5
"""Relative error that it may have in float64."""


def expect_gradients(value: Callable[[Weights], Tensor], points: Mapping[int, Weights], what: str) -> None:
    """Complain where the gradient of a number isn't that of central differences, by name, at any of the points.

    A kink within the step is bad luck that hardly occurs twice: a name is reported only if it is wrong at all points.
    `points` are tensors by name, by the seed of the direction.
    """
    wrong: dict[str, list[str]] = {}
    for seed, point in points.items():
        slopes: Weights = grad(value)(point)
        for number, (name, at) in enumerate(point.items()):
            direction = normal(*at.shape, seed=1000 * seed + number)
            direction = direction / direction.norm().clamp(min=1e-300)
            sides = [value({**point, name: at + sign * STEP * direction}) for sign in (1, -1)]
            difference = float((sides[0] - sides[1]) / (2 * STEP))
            found = float((slopes[name] * direction).sum())
            scale = max(1.0, abs(difference), 1e-6 * abs(float(sides[0])))
            if not abs(found - difference) <= ALLOWED * scale:
                said = f"{what} by {name} is {found:.6g} along a direction; central differences give {difference:.6g}"
                wrong.setdefault(name, []).append(said)
    for complaints in wrong.values():
        if len(complaints) == len(points):
            raise Complaint(complaints[0])


def is_right(value: Callable[[Weights], Tensor], points: Mapping[int, Weights]) -> bool:
    """Whether gradients are those of central differences at the points."""
    try:
        expect_gradients(value, points, "gradient")
    except Complaint:
        return False
    return True


def flattened(tensor: Tensor) -> Tensor:
    """A smooth number that depends on every element of a tensor: Σ a_i v_i with a_i = cos i."""
    a = torch.arange(tensor.numel(), dtype=tensor.dtype, device=tensor.device).cos().reshape(tensor.shape)
    return (a * tensor).sum()


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
