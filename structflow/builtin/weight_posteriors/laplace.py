"""A mode of log p(y, w | h), and the normal distribution that the curvature there gives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...plugins import Options, WeightPosterior
from .point import Point


class LaplaceOptions(Options):
    """Keys of `posterior.weights` with `type: laplace`."""

    curvature: Literal["ggn", "diagonal"] = Field(
        "ggn",
        description="H: the generalised Gauss-Newton matrix of all weights, for up to some thousand of them, or its "
        "diagonal.",
    )


class Laplace(WeightPosterior):
    """N(w*, H⁻¹) with H = A + Σ_i J_iᵀ Λ_i J_i, held as the mode `mean` w* (n,).

    While it is trained it is a point, on log p(y, w | h); h, which includes the noise, is learned from the evidence
    that H gives. Predictions are those of the network linearised at w*. MacKay, "A practical Bayesian framework for
    backpropagation networks" (1992); Immer, Korzepa and Bauer, "Improving predictions of Bayesian neural nets via
    local linearization" (2021).
    """

    type = "laplace"
    Options = LaplaceOptions
    independent = True
    has_density = False
    fits_curvature = True
    default_outer = "laplace"
    default_estimator = "laplace"

    start = Point.start
    noise = Point.noise
    draw = Point.draw
    entropy = Point.entropy
    log_prob = Point.log_prob
    variance = Point.variance
    mask = Point.mask
    nearest = Point.nearest
    parameter_count = Point.parameter_count

    @staticmethod
    def curvature(options: LaplaceOptions) -> Literal["full", "diagonal"]:
        return "full" if options.curvature == "ggn" else "diagonal"
