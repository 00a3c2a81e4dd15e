"""Numbers that the checks are made with, and comparisons that say how far off they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .check import expect

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
