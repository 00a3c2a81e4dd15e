"""A basis function that keeps every promise, for tests that break one of them."""

from __future__ import annotations

from structflow.errors import ShapeMismatch
from structflow.plugins import BasisFunction
from structflow.testing import BasisExample

EXAMPLES = [BasisExample({}, (3,), (2,))]


class Good(BasisFunction):
    """g(x; W, b) = tanh(xᵀW + b)."""

    type = "good"

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        if len(in_shape) != 1 or len(out_shape) != 1:
            raise ShapeMismatch(f"good maps vectors; got {in_shape} to {out_shape}")
        return {"weight": (*in_shape, *out_shape), "bias": out_shape}

    def forward(self, weights, x):
        return (x @ weights["weight"] + weights["bias"]).tanh()
