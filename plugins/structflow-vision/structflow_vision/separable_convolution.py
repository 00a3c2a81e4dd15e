"""A convolution in two steps: within each channel, then across channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from structflow.plugins import BasisFunction, Shape

from .activation import activate, gain
from .image_shapes import same_padding, stride_between
from .options import WindowOptions, sized_label
from .start import scaled_start

if TYPE_CHECKING:
    from torch import Tensor


class SeparableConvolution(BasisFunction):
    """g(x; D, P, b)_o = Σ_c P_{co} (D_{··c} ∗ φ(x)_c) + b_o for images x, (channels, height, width).

    `depthwise` D is (size, size, channels in), `pointwise` P is (channels in, channels out), b is (channels out,): with
    n channels in and out size² · n + n² weights in place of size² · n². Activation, padding and stride are those of
    `convolution`. D starts with variance 2 / size² (1 without a rectifier), P with 1 / channels in. DARTS takes two
    such functions one after the other; two edges do the same here. Source: Chollet, "Xception", CVPR 2017.
    """

    type = "separable_convolution"
    Options = WindowOptions

    @classmethod
    def label(cls, options: WindowOptions) -> str:
        return sized_label(cls.type, options)

    @classmethod
    def weight_shapes(cls, options: WindowOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        stride_between(cls.type, in_shape, out_shape)
        channels_in, channels_out = in_shape[0], out_shape[0]
        shapes: dict[str, Shape] = {
            "depthwise": (options.size, options.size, channels_in),
            "pointwise": (channels_in, channels_out),
        }
        return shapes | {"bias": (channels_out,)} if options.bias else shapes

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        return scaled_start(normals, {"depthwise": gain(self.options.activation), "pointwise": 1.0})

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        from torch.nn.functional import conv2d

        stride = stride_between(self.type, self.in_shape, self.out_shape)
        depthwise = weights["depthwise"].permute(2, 0, 1).unsqueeze(1)
        padding = same_padding(self.options.size)
        x = conv2d(activate(self.options.activation, x), depthwise, None, stride, padding, groups=self.in_shape[0])
        return conv2d(x, weights["pointwise"].T[:, :, None, None], weights.get("bias"))
