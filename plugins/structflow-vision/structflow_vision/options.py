"""Keys that the functions of this package have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from structflow.plugins import BasisOptions

from .activation import Activation


def odd(size: int) -> int:
    """The size, if it is odd."""
    if size % 2 == 0:
        raise ValueError(f"got {size}; a window has a middle, so its size must be odd (try {size + 1})")
    return size


WindowSize = Annotated[int, Field(ge=1, le=31), AfterValidator(odd)]


class ActivatedOptions(BasisOptions):
    """Keys of functions with weights."""

    activation: Activation = Field("relu", description="Applied to the input; `none` on an edge that leaves the data.")
    bias: bool = Field(True, description="Whether a constant is added, one number for every output channel.")


class WindowOptions(ActivatedOptions):
    """Keys of functions with a window of weights."""

    size: WindowSize = Field(3, description="Height and width of the window, odd.")


def sized_label(type_name: str, options: Any) -> str:
    """The type with the size of its window, such as `convolution:3`."""
    return f"{type_name}:{options.size}"
