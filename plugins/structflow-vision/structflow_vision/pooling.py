"""The largest or the mean value in a window around each pixel, without weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from structflow.plugins import BasisFunction, BasisOptions, Shape

from .image_shapes import check_same_channels, same_padding, stride_between
from .options import WindowSize, sized_label

if TYPE_CHECKING:
    from torch import Tensor


class PoolOptions(BasisOptions):
    """Keys of the basis functions `max_pool` and `average_pool`."""

    size: WindowSize = Field(3, description="Height and width of the window, odd.")


class MaxPool(BasisFunction):
    """g(x)_c = the largest x_c in the window of `size` × `size` around a pixel; images have as many channels after it.

    Pixels outside the image don't count. The stride follows from the shapes: out = ⌈in / stride⌉.
    """

    type = "max_pool"
    Options = PoolOptions
    linear_in_weights = True

    @classmethod
    def label(cls, options: PoolOptions) -> str:
        return sized_label(cls.type, options)

    @classmethod
    def weight_shapes(cls, options: PoolOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        return pool_shapes(cls.type, in_shape, out_shape)

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        from torch.nn.functional import max_pool2d

        size, stride = self.options.size, stride_between(self.type, self.in_shape, self.out_shape)
        return max_pool2d(x, size, stride, same_padding(size))


class AveragePool(BasisFunction):
    """g(x)_c = the mean of x_c in the window of `size` × `size` around a pixel; the channels stay as many.

    Pixels outside the image don't count: the mean is over those inside. The stride follows from the shapes:
    out = ⌈in / stride⌉.
    """

    type = "average_pool"
    Options = PoolOptions
    linear_in_weights = True

    @classmethod
    def label(cls, options: PoolOptions) -> str:
        return sized_label(cls.type, options)

    @classmethod
    def weight_shapes(cls, options: PoolOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        return pool_shapes(cls.type, in_shape, out_shape)

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        from torch.nn.functional import avg_pool2d

        size, stride = self.options.size, stride_between(self.type, self.in_shape, self.out_shape)
        return avg_pool2d(x, size, stride, same_padding(size), count_include_pad=False)


def pool_shapes(name: str, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
    """No weights; raises `ShapeMismatch` where channels change or no stride leads from the one size to the other."""
    stride_between(name, in_shape, out_shape)
    check_same_channels(name, in_shape, out_shape)
    return {}
