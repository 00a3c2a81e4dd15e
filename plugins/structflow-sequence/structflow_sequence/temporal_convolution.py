"""A causal dilated convolution along a series: the layer of a temporal convolutional network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from structflow.errors import ShapeMismatch
from structflow.plugins import BasisFunction, BasisOptions, Shape

from .series_shapes import series_sizes

if TYPE_CHECKING:
    from torch import Tensor


class TemporalConvolutionOptions(BasisOptions):
    """Keys of the basis function `temporal_convolution`."""

    kernel_size: int = Field(3, ge=1, description="How many steps one output sees.")
    dilation: int = Field(1, ge=1, description="Distance between two of them.")
    activation: Literal["relu", "tanh", "gelu", "identity"] = Field("relu", description="The function φ.")


class TemporalConvolution(BasisFunction):
    """g(x; W, b)_t = φ(b + Σ_{k=0}^{K−1} x_{t−dk}ᵀ W_k), with x_s = 0 before the series begins.

    x is (length, channels), W is (kernel_size, channels, units) with the present first, b is (units,), d the dilation,
    φ the activation. Step t sees nothing later than t. The output is (length, units), or (units,) at the last step
    alone. A network with a long memory is a chain of such edges with dilations 1, 2, 4, …; a residual connection is
    an edge beside them. Bai, Kolter & Koltun, An Empirical Evaluation of Generic Convolutional and Recurrent Networks
    for Sequence Modeling, 2018.
    """

    type = "temporal_convolution"
    Options = TemporalConvolutionOptions

    @classmethod
    def label(cls, options: TemporalConvolutionOptions) -> str:
        """Type and kernel, with the dilation where there is one: `temporal_convolution:3` or `…:3x4`."""
        dilation = "" if options.dilation == 1 else f"x{options.dilation}"
        return f"{cls.type}:{options.kernel_size}{dilation}"

    @classmethod
    def weight_shapes(cls, options: TemporalConvolutionOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        """W as `weight` and b as `bias`; raises `ShapeMismatch` for a kernel that reaches beyond the series."""
        sizes = series_sizes(cls.type, in_shape, out_shape)
        span = (options.kernel_size - 1) * options.dilation + 1
        if span > sizes.length:
            raise ShapeMismatch(
                f"{cls.type} with kernel_size {options.kernel_size} and dilation {options.dilation} spans {span} "
                f"steps, but the series has {sizes.length}; choose a smaller kernel or dilation"
            )
        return {"weight": (options.kernel_size, sizes.channels, sizes.units), "bias": (sizes.units,)}

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """(rows, length, channels) to (rows, length, units), or (rows, units).

        One matrix product of the steps side by side: over members with weights of their own it is much faster than
        a convolution, which would have one group a member.
        """
        import torch
        from torch.nn import functional

        length, dilation = self.in_shape[0], self.options.dilation
        delays = [dilation * k for k in range(self.options.kernel_size)]
        if len(self.out_shape) == 2:
            padded = functional.pad(x, (0, 0, delays[-1], 0))
            seen = torch.cat([padded[:, delays[-1] - delay :][:, :length] for delay in delays], dim=-1)
        else:
            seen = torch.cat([x[:, length - 1 - delay] for delay in delays], dim=-1)
        summed = seen @ weights["weight"].flatten(0, 1) + weights["bias"]
        if self.options.activation == "identity":
            return summed
        activations: dict[str, Callable[[Tensor], Tensor]] = {
            "relu": torch.relu,
            "tanh": torch.tanh,
            "gelu": functional.gelu,
        }
        return activations[self.options.activation](summed)
