"""Starting means of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def scaled_start(normals: dict[str, Tensor], gains: Mapping[str, float]) -> dict[str, Tensor]:
    """w ~ N(0, gain / fan_in) for the weights with a gain, the others (biases) at 0.

    fan_in is the product of all axes but the last, over which outputs run.
    """
    return {
        name: normal * math.sqrt(gains[name] / math.prod(normal.shape[:-1])) if name in gains else normal * 0.0
        for name, normal in normals.items()
    }
