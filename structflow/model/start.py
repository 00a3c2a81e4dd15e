"""Where the weights of a basis function start, for all its slots at once."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.func import vmap

from ..errors import FunctionError
from ..plugins.calling import Calling, origin_of
from .layout import WeightGroup


def started(group: WeightGroup, normals: dict[str, Tensor]) -> dict[str, Tensor]:
    """Starting means of a group's weights from standard normals (slots, *shape), of the same shapes.

    Raises `FunctionError` where the function's `start` gives anything else than tensors of these names and shapes.
    """
    plugin = type(group.starter)

    def name() -> str:
        return f"weights {group.name!r} ({origin_of(plugin)})"

    with Calling(plugin, "start", name, FunctionError):
        means: Any = vmap(group.starter.start)(normals)
    expected = {key: described(value) for key, value in normals.items()}
    is_mapping = isinstance(means, dict)
    got = {key: described(value) for key, value in means.items()} if is_mapping else type(means).__name__
    if got != expected:
        raise FunctionError(
            f"{name()} broke its contract: {plugin.__name__}.start returned {got}; expected {expected}, "
            "as the normals that it is given"
        )
    return dict(means)


def described(value: Any) -> str:
    """Shape, dtype and device of a tensor; the type of anything else."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{list(value.shape)} in {value.dtype} on {value.device}"
