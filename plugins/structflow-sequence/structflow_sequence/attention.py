"""Scaled dot-product self-attention along a series."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from structflow.errors import ShapeMismatch
from structflow.plugins import BasisFunction, BasisOptions, Shape

from .series_shapes import series_sizes

if TYPE_CHECKING:
    from torch import Tensor


class AttentionOptions(BasisOptions):
    """Keys of the basis function `attention`."""

    heads: int = Field(1, ge=1, description="Parts of the units that attend on their own; it must divide them.")
    causal: bool = Field(True, description="Whether a step attends to itself and earlier steps alone.")
    position_channels: int = Field(
        16, ge=0, multiple_of=2, description="Sines and cosines that say where a step stands, D; 0 for none."
    )
    position_base: float = Field(10_000.0, gt=1, description="Their periods go from 2π steps to 2π base^((D − 2)/D).")


class Attention(BasisFunction):
    """g(x; w) = softmax(Q Kᵀ / √d) V by heads, with Q = z W_Q + b_Q, K = z W_K, V = z W_V + b_V and z = [x, P].

    x is (length, channels), W_Q, W_K, W_V are (channels + position_channels, units), b_Q and b_V are (units,); a
    head has d = units / heads of the units, and the heads stand side by side in the output. That is (length, units),
    or (units,) for the query of the last step alone. Vaswani et al., Attention Is All You Need, 2017, with
    P_{t,2i} = sin(t / base^{2i/D}), P_{t,2i+1} = cos(t / base^{2i/D}) for D = position_channels.

    P stands beside the channels instead of being added to them, since a series often has a single one; under the
    matrices that follow this is the same as adding a linear map of P. K has no constant, which the softmax would
    cancel; the map that mixes heads is left to the next edge.
    """

    type = "attention"
    Options = AttentionOptions

    @classmethod
    def label(cls, options: AttentionOptions) -> str:
        """`attention:2` for two heads."""
        return cls.type if options.heads == 1 else f"{cls.type}:{options.heads}"

    @classmethod
    def weight_shapes(cls, options: AttentionOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        """W as `query`, `key`, `value`, b as `…_bias`; raises `ShapeMismatch` unless the heads divide the units."""
        _, channels, units, _ = series_sizes(cls.type, in_shape, out_shape)
        if units % options.heads:
            raise ShapeMismatch(
                f"{cls.type}.heads is {options.heads}, which doesn't divide the {units} units; "
                f"choose a divisor of {units}"
            )
        width = channels + options.position_channels
        matrices: dict[str, Shape] = dict.fromkeys(("query", "key", "value"), (width, units))
        return matrices | dict.fromkeys(("query_bias", "value_bias"), (units,))

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """(rows, length, channels) to (rows, length, units), or (rows, units)."""
        import torch

        rows, length, _ = x.shape
        heads, whole = self.options.heads, len(self.out_shape) == 2
        size = self.out_shape[-1] // heads
        z = x
        if self.options.position_channels:
            positions = sinusoidal_positions(x, self.options.position_channels, self.options.position_base)
            z = torch.cat([x, positions.expand(rows, *positions.shape)], dim=-1)
        asked = z if whole else z[:, -1:]

        def by_heads(values: Tensor) -> Tensor:
            return values.reshape(rows, values.shape[1], heads, size).transpose(1, 2)

        query = by_heads(asked @ weights["query"] + weights["query_bias"])
        key, value = by_heads(z @ weights["key"]), by_heads(z @ weights["value"] + weights["value_bias"])
        scores = query @ key.transpose(-1, -2) / math.sqrt(size)
        if whole and self.options.causal:
            step = torch.arange(length, device=x.device)
            scores = scores.masked_fill(step[None, :] > step[:, None], -math.inf)
        attended = (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        return attended if whole else attended.squeeze(1)


def sinusoidal_positions(x: Tensor, channels: int, base: float) -> Tensor:
    """P (length, channels) for the series x (rows, length, …), in its dtype and on its device."""
    import torch

    step = torch.arange(x.shape[1], dtype=x.dtype, device=x.device)
    rate = base ** (-torch.arange(0, channels, 2, dtype=x.dtype, device=x.device) / channels)
    angle = step[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
