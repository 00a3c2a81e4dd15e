"""The random numbers of a population, drawn for many steps in one call.

A group of weights, or the γ of an edge, needs numbers for each of its slots, from the key of the slot's member. All
of them are laid end to end in one row, so that one small kernel serves every population: it is compiled once, for
any length. The numbers are those of `normals` and `uniforms` for the same key, step and purpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..distributions.counter_noise import (
    WORDS_PER_CALL,
    box_muller,
    member_key,
    philox_4x32,
    purpose_code,
    unit_interval,
)
from ..plugins import Shape


@dataclass(frozen=True)
class NoiseField:
    """Numbers wanted under one name: `shape` for each slot, `slots` (C,) the member of each."""

    name: str
    slots: np.ndarray
    shape: Shape

    @property
    def calls(self) -> int:
        """Philox calls for one slot."""
        return -(-math.prod(self.shape) // WORDS_PER_CALL)


@dataclass(frozen=True)
class NoiseLayout:
    """Where every field's numbers stand in a row; static, so a compiled program can unpack with it."""

    fields: tuple[NoiseField, ...]

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        """Numbers (S, length) of one step → for every field (C, S, *shape)."""
        unpacked, begin = {}, 0
        for field in self.fields:
            length = len(field.slots) * field.calls * WORDS_PER_CALL
            part = flat[:, begin : begin + length].reshape(flat.shape[0], len(field.slots), -1)
            numbers = part[..., : math.prod(field.shape)].reshape(flat.shape[0], len(field.slots), *field.shape)
            unpacked[field.name] = numbers.transpose(0, 1)
            begin += length
        return unpacked


@dataclass(frozen=True)
class NoiseSource:
    """Draws rows of numbers: counters and keys of every Philox call, laid end to end."""

    call: Tensor
    purpose: Tensor
    key0: Tensor
    key1: Tensor

    def to(self, device: torch.device) -> NoiseSource:
        """The same source on a device."""
        return NoiseSource(*(tensor.to(device) for tensor in (self.call, self.purpose, self.key0, self.key1)))

    def normals(self, steps: Tensor, samples: int, dtype: torch.dtype, compiled: bool) -> Tensor:
        """Standard normals of several steps, (T, S, length)."""
        return self._draw(flat_normals, steps, samples, dtype, compiled)

    def uniforms(self, steps: Tensor, samples: int, dtype: torch.dtype, compiled: bool) -> Tensor:
        """Uniforms on (0, 1) of several steps, (T, S, length)."""
        return self._draw(flat_uniforms, steps, samples, dtype, compiled)

    def _draw(
        self, kernel: Callable[..., Tensor], steps: Tensor, samples: int, dtype: torch.dtype, compiled: bool
    ) -> Tensor:
        if self.call.numel() == 0:
            return torch.zeros((len(steps), samples, 0), dtype=dtype, device=steps.device)
        if compiled:
            kernel = compiled_kernel(kernel)
        sample = torch.arange(samples, device=steps.device).reshape(1, samples, 1)
        return kernel(self.call, steps.reshape(-1, 1, 1), sample, self.purpose, self.key0, self.key1, dtype)


def flat_normals(
    call: Tensor, step: Tensor, sample: Tensor, purpose: Tensor, key0: Tensor, key1: Tensor, dtype: torch.dtype
) -> Tensor:
    """Box-Muller normals, four a call, in the order of `counter_noise.normals`."""
    first, second, third, fourth = philox_4x32((call, step, sample, purpose), (key0, key1))
    pairs = [*box_muller(first, second, dtype), *box_muller(third, fourth, dtype)]
    return torch.stack(pairs, dim=-1).flatten(-2)


def flat_uniforms(
    call: Tensor, step: Tensor, sample: Tensor, purpose: Tensor, key0: Tensor, key1: Tensor, dtype: torch.dtype
) -> Tensor:
    """Uniforms, four a call, in the order of `counter_noise.uniforms`."""
    words = philox_4x32((call, step, sample, purpose), (key0, key1))
    return torch.stack([unit_interval(word, dtype) for word in words], dim=-1).flatten(-2)


@cache
def compiled_kernel(kernel: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The kernel compiled once for rows of any length and any number of steps."""
    return torch.compile(kernel, dynamic=True, fullgraph=True)


def member_keys(texts: Sequence[str]) -> np.ndarray:
    """Philox keys of members from their noise keys, (M, 2) words."""
    return np.array([member_key(text) for text in texts], dtype=np.int64).reshape(-1, 2)


def noise_source(layout: NoiseLayout, keys: np.ndarray, phase: str) -> NoiseSource:
    """The source of a layout's numbers for members with `keys` (M, 2); `phase` keeps training and evaluation apart."""
    calls, purposes, first, second = [], [], [], []
    for field in layout.fields:
        shape = (len(field.slots), field.calls)
        calls.append(np.broadcast_to(np.arange(field.calls), shape).reshape(-1))
        purposes.append(np.full(shape, purpose_code(f"{phase}/{field.name}"), dtype=np.int64).reshape(-1))
        first.append(np.broadcast_to(keys[field.slots, 0, None], shape).reshape(-1))
        second.append(np.broadcast_to(keys[field.slots, 1, None], shape).reshape(-1))
    empty = [np.zeros(0, dtype=np.int64)]
    return NoiseSource(*(torch.from_numpy(np.concatenate(rows or empty)) for rows in (calls, purposes, first, second)))


def draw_once(layout: NoiseLayout, keys: np.ndarray, phase: str) -> Mapping[str, Tensor]:
    """One set of normals in float64, (C, *shape) a field: what starting values are made of."""
    source = noise_source(layout, keys, phase)
    flat = source.normals(torch.zeros(1, dtype=torch.int64), 1, torch.float64, compiled=False)[0]
    return {name: value.squeeze(1) for name, value in layout.unpack(flat).items()}
