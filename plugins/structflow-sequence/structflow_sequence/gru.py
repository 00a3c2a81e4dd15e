"""A gated recurrent unit along a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from structflow.plugins import BasisFunction, Shape

from .series_shapes import series_sizes

if TYPE_CHECKING:
    from torch import Tensor


class GatedRecurrentUnit(BasisFunction):
    """h_t from x_t and h_{t−1}, with h_0 = 0; σ is the logistic function, ⊙ the product by elements.

        r = σ(x_tᵀ W_r + h_{t−1}ᵀ U_r + b_r)
        z = σ(x_tᵀ W_z + h_{t−1}ᵀ U_z + b_z)
        n = tanh(x_tᵀ W_n + b_n + r ⊙ (h_{t−1}ᵀ U_n + c))
        h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}

    W is (channels, 3 units), U (units, 3 units), b (3 units,), each with r, z, n side by side; c is (units,). The
    output is (length, units), or (units,) at the last step. Cho et al., Learning Phrase Representations using RNN
    Encoder-Decoder, 2014, with r applied after the product, as in torch.nn.GRU.

    The recurrence is a loop over the length that is unrolled when the program is made: compilation takes a time in
    proportion to the length. Keep series to some 50 steps.
    """

    type = "gru"

    @classmethod
    def weight_shapes(cls, options: Any, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        """W as `input`, U as `recurrent`, b as `bias`, c as `recurrent_bias`."""
        _, channels, units, _ = series_sizes(cls.type, in_shape, out_shape)
        return {
            "input": (channels, 3 * units),
            "recurrent": (units, 3 * units),
            "bias": (3 * units,),
            "recurrent_bias": (units,),
        }

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """(rows, length, channels) to (rows, length, units), or (rows, units)."""
        import torch

        units = self.out_shape[-1]
        gates, candidates = (x @ weights["input"] + weights["bias"]).split([2 * units, units], dim=-1)
        state = x.new_zeros((x.shape[0], units))
        states = []
        for gates_of_input, candidate_of_input in zip(gates.unbind(1), candidates.unbind(1), strict=True):
            gates_of_state, candidate_of_state = (state @ weights["recurrent"]).split([2 * units, units], dim=-1)
            r, z = torch.sigmoid(gates_of_input + gates_of_state).split(units, dim=-1)
            n = torch.tanh(candidate_of_input + r * (candidate_of_state + weights["recurrent_bias"]))
            state = n + z * (state - n)
            states.append(state)
        return torch.stack(states, dim=1) if len(self.out_shape) == 2 else state
