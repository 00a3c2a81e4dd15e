"""A long short-term memory along a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from structflow.plugins import BasisFunction, Shape

from .series_shapes import series_sizes

if TYPE_CHECKING:
    from torch import Tensor

FORGET_BIAS = 1.0
"""Where b_f starts, so that a memory lasts from the first step on: Jozefowicz et al. 2015 find it matters."""


class LongShortTermMemory(BasisFunction):
    """h_t from x_t, h_{t−1} and the cell c_{t−1}, with h_0 = c_0 = 0; σ is the logistic function.

        i, f, o = σ(x_tᵀ W + h_{t−1}ᵀ U + b) for the gates i, f, o
        g = tanh(x_tᵀ W_g + h_{t−1}ᵀ U_g + b_g)
        c_t = f ⊙ c_{t−1} + i ⊙ g
        h_t = o ⊙ tanh(c_t)

    W is (channels, 4 units), U (units, 4 units), b (4 units,), each with i, f, g, o side by side as in torch.nn.LSTM;
    b_f starts at 1. The output is (length, units), or (units,) at the last step. Hochreiter & Schmidhuber, Long
    Short-Term Memory, 1997, with the forget gate of Gers, Schmidhuber & Cummins, 2000.

    The recurrence is a loop over the length that is unrolled when the program is made: compilation takes a time in
    proportion to the length. Keep series to some 50 steps.
    """

    type = "lstm"

    @classmethod
    def weight_shapes(cls, options: Any, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        """W as `input`, U as `recurrent`, b as `bias`."""
        _, channels, units, _ = series_sizes(cls.type, in_shape, out_shape)
        return {"input": (channels, 4 * units), "recurrent": (units, 4 * units), "bias": (4 * units,)}

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        """As for any function, but b_f at 1."""
        import torch

        started = super().start(normals)
        units = self.out_shape[-1]
        is_forget = torch.arange(4 * units, device=started["bias"].device) // units == 1
        return {**started, "bias": started["bias"] + FORGET_BIAS * is_forget}

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """(rows, length, channels) to (rows, length, units), or (rows, units)."""
        import torch

        units = self.out_shape[-1]
        from_input = x @ weights["input"] + weights["bias"]
        state = cell = x.new_zeros((x.shape[0], units))
        states = []
        for of_input in from_input.unbind(1):
            i, f, g, o = (of_input + state @ weights["recurrent"]).split(units, dim=-1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(cell)
            states.append(state)
        return torch.stack(states, dim=1) if len(self.out_shape) == 2 else state
