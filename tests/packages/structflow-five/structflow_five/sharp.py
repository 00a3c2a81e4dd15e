"""A posterior of independent weights that is sharp at its mean."""

import math

from pydantic import Field
from structflow.plugins import Options, WeightPosterior


class SharpOptions(Options):
    start: float = Field(
        0.1, gt=0, description="Standard deviation at first, as a share of the scale of the starting means."
    )


class Sharp(WeightPosterior):
    """q(w) = ∏ e^(−|w − μ|/b) / 2b, double exponential, held as `mean` μ and `log_scale` log b, (n,) each."""

    type, interface = "sharp", (2, 0)
    Options = SharpOptions
    independent = True

    @staticmethod
    def start(options, mean, fan_in):
        return {"mean": mean, "log_scale": (options.start * (2 * fan_in).rsqrt()).log()}

    @staticmethod
    def noise(options, n):
        return n

    @staticmethod
    def draw(options, parameters, noise):
        """w = μ − b sign(ε) log 2(1 − Φ(|ε|)): the double exponential quantile of Φ(ε)."""
        from torch.special import log_ndtr

        tail = math.log(2) + log_ndtr(-noise.abs())
        return parameters["mean"] - parameters["log_scale"].exp() * noise.sign() * tail

    @staticmethod
    def entropy(options, parameters):
        """Σ (1 + log 2b)."""
        return (parameters["log_scale"] + 1 + math.log(2)).sum(-1)

    @staticmethod
    def log_prob(options, parameters, weights):
        scaled = (weights - parameters["mean"]).abs() * (-parameters["log_scale"]).exp()
        return (-scaled - parameters["log_scale"] - math.log(2)).sum(-1)

    @staticmethod
    def variance(options, parameters):
        """2b²."""
        return 2 * (2 * parameters["log_scale"]).exp()

    @staticmethod
    def mask(options, parameters, kept):
        """Removed weights have μ = 0 and b = 1."""
        return {name: value * kept for name, value in parameters.items()}

    @staticmethod
    def nearest(options, mean, precision):
        """KL(q ‖ N) = const − log b + P b² is least at b² = 1/2P."""
        return {"mean": mean, "log_scale": -0.5 * (2 * precision).log()}

    @staticmethod
    def parameter_count(options, n):
        return 2 * n
