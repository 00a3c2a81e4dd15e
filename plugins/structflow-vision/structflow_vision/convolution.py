"""A convolution over images.

Functions are lifted over members by `torch.func.vmap`, which makes one grouped convolution of `conv2d`. On a CPU
matrix products with shifted slices or `unfold` took 1.6 to 5.6 times as long, forward and backward, for 1 to 8 members;
the README has the table.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from structflow.plugins import BasisFunction, Shape

from .activation import activate, gain
from .image_shapes import same_padding, stride_between
from .options import WindowOptions, sized_label
from .start import scaled_start

if TYPE_CHECKING:
    from torch import Tensor


class LinearConvolution(BasisFunction):
    """What the convolutions that are linear in their weights have in common; they differ in `dilation`."""

    linear_in_weights = True

    @property
    @abstractmethod
    def dilation(self) -> int:
        """Pixels from one weight of the window to the next."""

    @classmethod
    def label(cls, options: WindowOptions) -> str:
        return sized_label(cls.type, options)

    @classmethod
    def weight_shapes(cls, options: WindowOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        return convolution_shapes(cls.type, options, in_shape, out_shape)

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        return scaled_start(normals, {"weight": gain(self.options.activation)})

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return self._convolved(weights, activate(self.options.activation, x))

    def output_variance(self, variances: dict[str, Tensor], x: Tensor) -> Tensor:
        return self._convolved(variances, activate(self.options.activation, x).square())

    def _convolved(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return convolved(weights, x, stride_between(self.type, self.in_shape, self.out_shape), self.dilation)


class Convolution(LinearConvolution):
    """g(x; W, b)_o = Σ_c W_{c··o} ∗ φ(x)_c + b_o for images x, (channels, height, width).

    ∗ is the cross-correlation with a window of `size` × `size` whose surroundings are zeros, and φ the `activation`. It
    comes first, as in the operations of Liu, Simonyan and Yang, "DARTS: differentiable architecture search", ICLR
    2019: g is linear in W and b, and what skips the function isn't cut. W is (channels in, size, size, channels out), b
    is (channels out,). The stride follows from the shapes: out = ⌈in / stride⌉. Nothing is normalised over rows, since
    the bound is a sum over them; W starts with variance 2 / (channels in · size²) (1 without a rectifier) instead.
    """

    type = "convolution"
    Options = WindowOptions

    @property
    def dilation(self) -> int:
        return 1


def convolution_shapes(name: str, options: WindowOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
    """Weights of a convolution; raises `ShapeMismatch` where no stride leads from the one shape to the other."""
    stride_between(name, in_shape, out_shape)
    channels_in, channels_out = in_shape[0], out_shape[0]
    shapes: dict[str, Shape] = {"weight": (channels_in, options.size, options.size, channels_out)}
    return shapes | {"bias": (channels_out,)} if options.bias else shapes


def convolved(weights: dict[str, Tensor], x: Tensor, stride: int, dilation: int) -> Tensor:
    """W ∗ x + b with "same" padding, without b where there is none."""
    from torch.nn.functional import conv2d

    weight = weights["weight"]
    padding = same_padding(weight.shape[1], dilation)
    return conv2d(x, weight.permute(3, 0, 1, 2), weights.get("bias"), stride=stride, padding=padding, dilation=dilation)
