"""Ridge functions with a wavelet as profile."""

from pydantic import Field

from structflow.errors import ShapeMismatch
from structflow.plugins import BasisFunction, BasisOptions


class RidgeWaveletOptions(BasisOptions):
    """Keys of the basis function `ridge_wavelet`."""

    scale: float = Field(1.0, gt=0, description="Width of the wavelet: its argument is divided by it.")


class RidgeWavelet(BasisFunction):
    """g(x; W, b) = ψ((xᵀW + b) / s), ψ(z) = (1 − z²) exp(−z²/2), for vectors x; W is (inputs, outputs), b is (outputs,).

    ψ is the Mexican-hat wavelet, the negative second derivative of exp(−z²/2), and s the scale. Candès, "Ridgelets"
    (1998). With s = 1 this is ψ(xᵀW + b).
    """

    type = "ridge_wavelet"
    interface = (2, 0)
    Options = RidgeWaveletOptions

    @classmethod
    def label(cls, options):
        return f"ridge_wavelet:{options.scale:g}"

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        if len(in_shape) != 1 or len(out_shape) != 1:
            raise ShapeMismatch(f"ridge_wavelet maps a vector to a vector; got {list(in_shape)} to {list(out_shape)}")
        return {"weight": (*in_shape, *out_shape), "shift": out_shape}

    def forward(self, weights, x):
        square = ((x @ weights["weight"] + weights["shift"]) / self.options.scale).square()
        return (1 - square) * (-square / 2).exp()
