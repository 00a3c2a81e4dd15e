"""The basis function `dense` with activations that raise, each at a place of its own."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from structflow.errors import StorageError
from structflow.plugins.registry import registry
from structflow.train import program


def fail_at(monkeypatch: pytest.MonkeyPatch, **places: str | int) -> None:
    """Make `dense` raise for some activations: `fail_at(monkeypatch, sin="start")`.

    `start` and `forward` raise there, `once` in the first forward pass alone, `float64` in one in double precision
    (what follows training in single precision), a number in one on so many rows. `cholesky` factors the number
    1 − W[0, 0], which torch refuses where a sample of the weight is above 1. `memory` and `storage` raise errors that
    are no member's.
    """
    calls = itertools.count()
    dense = registry().get("basis_functions", "dense")
    own_start, own_forward = dense.start, dense.forward

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        if places.get(self.options.activation) == "start":
            raise LookupError("no such start")
        return own_start(self, normals)

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        place, value = places.get(self.options.activation), own_forward(self, weights, x)
        if place == "forward":
            raise ZeroDivisionError("division\nby zero")
        if place == "float64" and x.dtype == torch.float64:
            raise TypeError("single precision only")
        if place == x.shape[0]:
            raise ValueError(f"{place} rows")
        if place == "once" and next(calls) == 0:
            raise RuntimeError("a passing cloud")
        if place == "memory":
            raise MemoryError("all is used up")
        if place == "storage":
            raise StorageError("no space left")
        if place == "cholesky":
            return value * torch.linalg.cholesky((1 - weights["weight"][0, 0]).reshape(1, 1))[0, 0]
        return value

    monkeypatch.setattr(program, "_programs", {})  # those of earlier tests were traced without an error
    monkeypatch.setattr(dense, "start", start)
    monkeypatch.setattr(dense, "forward", forward)
