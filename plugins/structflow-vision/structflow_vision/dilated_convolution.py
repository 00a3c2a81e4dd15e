"""A convolution whose window has gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from structflow.plugins import BasisFunction, Shape

from .activation import activate, gain
from .convolution import convolution_shapes, convolved
from .image_shapes import stride_between
from .options import WindowOptions, sized_label
from .start import scaled_start

if TYPE_CHECKING:
    from torch import Tensor


class DilatedOptions(WindowOptions):
    """Keys of the basis function `dilated_convolution`."""

    dilation: int = Field(2, ge=1, le=16, description="Pixels from one weight of the window to the next.")


class DilatedConvolution(BasisFunction):
    """g(x; W, b): the `convolution` whose window takes every `dilation`-th pixel (Yu and Koltun, ICLR 2016).

    A window of `size` covers dilation · (size − 1) + 1 pixels with as many weights as without gaps. Weights, start,
    activation and stride are those of `convolution`.
    """

    type = "dilated_convolution"
    Options = DilatedOptions
    linear_in_weights = True

    @classmethod
    def label(cls, options: DilatedOptions) -> str:
        return sized_label(cls.type, options)

    @classmethod
    def weight_shapes(cls, options: DilatedOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        return convolution_shapes(cls.type, options, in_shape, out_shape)

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        return scaled_start(normals, {"weight": gain(self.options.activation)})

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return self._convolved(weights, activate(self.options.activation, x))

    def output_variance(self, variances: dict[str, Tensor], x: Tensor) -> Tensor:
        return self._convolved(variances, activate(self.options.activation, x).square())

    def _convolved(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        stride = stride_between(self.type, self.in_shape, self.out_shape)
        return convolved(weights, x, stride, self.options.dilation)
