"""The activation φ that the functions of this package apply to their input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Activation = Literal["relu", "gelu", "silu", "elu", "tanh", "none"]


def activate(name: Activation, x: Tensor) -> Tensor:
    """φ(x) of every element; `none` is x itself."""
    from torch.nn import functional

    if name == "none":
        return x
    activated: Tensor = x.tanh() if name == "tanh" else getattr(functional, name)(x)
    return activated


def gain(name: Activation) -> float:
    """Variance of the weights times fan-in that a layer starts with: 2 after a rectifier, else 1.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015, equation 10: relu halves E x². The smooth ones do
    so roughly (0.36 for silu to 0.64 for elu, of a standard normal x).
    """
    return 2.0 if name in ("relu", "gelu", "silu", "elu") else 1.0
