"""A stage half-way: what the loop needs to go on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .outer_level import Begun, OuterAscent


class Checkpoints(Protocol):
    """Where the loop leaves its state, and finds it again."""

    def load(self) -> Mapping[str, np.ndarray] | None:
        """The arrays of the newest checkpoint that is whole, if any."""

    def is_due(self, step: int, steps: int) -> bool:
        """Whether a checkpoint should be written now, after `step` of so many steps; asked after every one."""

    def save(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the arrays after so many steps; ends the process here where it was asked to stop."""


def state_arrays(
    step: int, tensors: Mapping[str, Tensor], trace: list[Tensor], ascent: OuterAscent | None
) -> dict[str, np.ndarray]:
    """The loop's state after `step` steps: its tensors, the trace so far, and the state of the outer level."""
    arrays = {"step": np.array(step), **{name: tensor.cpu().numpy() for name, tensor in tensors.items()}}
    if trace:
        arrays["trace"] = torch.stack(trace).cpu().numpy()
    if ascent is None:
        return arrays
    arrays.update({f"outer_{name}": value.cpu().numpy() for name, value in ascent.kept.items()})
    arrays["outer_steps"] = np.array(ascent.steps, dtype=np.int64)
    for name in ascent.reports[0] if ascent.reports else ():
        arrays[f"report/{name}"] = torch.stack([report[name] for report in ascent.reports]).cpu().numpy()
    if ascent.begun is not None:
        arrays["begun_step"] = np.array(ascent.begun.step)
        arrays["begun_flat"] = ascent.begun.flat.cpu().numpy()
        arrays["begun_velocity"] = ascent.begun.velocity.cpu().numpy()
    return arrays


def restore(
    arrays: Mapping[str, np.ndarray], tensors: Mapping[str, Tensor], trace: list[Tensor], ascent: OuterAscent | None
) -> int:
    """Put a state back in place; returns how many steps it has behind it."""

    def on_device(name: str, like: Tensor) -> Tensor:
        return torch.from_numpy(arrays[name]).to(like.device)

    for name, tensor in tensors.items():
        tensor.copy_(on_device(name, tensor))
    some = next(iter(tensors.values()))
    if "trace" in arrays:
        trace.extend(on_device("trace", some))
    if ascent is not None:
        for name, value in ascent.kept.items():
            value.copy_(on_device(f"outer_{name}", some))
        ascent.steps.extend(arrays["outer_steps"].tolist())
        reports = {name: on_device(name, some) for name in arrays if name.startswith("report/")}
        ascent.reports.extend(
            {name.removeprefix("report/"): values[index] for name, values in reports.items()}
            for index in range(len(ascent.steps))
        )
        if "begun_step" in arrays:
            flat, velocity = (on_device(f"begun_{part}", some) for part in ("flat", "velocity"))
            ascent.begun = Begun(int(arrays["begun_step"]), flat, velocity)
    return int(arrays["step"])
