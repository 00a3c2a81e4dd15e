"""A convolution whose window has gaps."""

from __future__ import annotations

from pydantic import Field

from .convolution import LinearConvolution
from .options import WindowOptions


class DilatedOptions(WindowOptions):
    """Keys of the basis function `dilated_convolution`."""

    dilation: int = Field(2, ge=1, le=16, description="Pixels from one weight of the window to the next.")


class DilatedConvolution(LinearConvolution):
    """g(x; W, b): the `convolution` whose window takes every `dilation`-th pixel (Yu and Koltun, ICLR 2016).

    A window of `size` covers dilation · (size − 1) + 1 pixels with as many weights as without gaps. Weights, start,
    activation and stride are those of `convolution`.
    """

    type = "dilated_convolution"
    Options = DilatedOptions

    @property
    def dilation(self) -> int:
        dilation: int = self.options.dilation
        return dilation
