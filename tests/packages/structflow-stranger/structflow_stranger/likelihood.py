"""Noise with heavy tails."""

import math

import numpy as np
from pydantic import Field

from structflow.plugins import Likelihood, Options


class StudentTOptions(Options):
    """Keys of the likelihood `student_t`."""

    degrees_of_freedom: float = Field(
        4.0, gt=2, description="ν, fixed: small for heavy tails. Above 2, where the variance of y is finite."
    )


class StudentT(Likelihood):
    """p(y | f) = ∏_j Γ((ν+1)/2) / (Γ(ν/2) √(νπ) σ_j) · (1 + (y_j − f_j)² / (ν σ_j²))^(−(ν+1)/2), over the targets j.

    log σ_j is learned, in the units of the prepared targets and starting at 0; ν is fixed. The variance of y_j is
    σ_j² ν / (ν − 2). Lange, Little and Taylor, "Robust statistical modeling using the t distribution" (1989).
    """

    type = "student_t"
    interface = (2, 0)
    target = "continuous"
    Options = StudentTOptions

    @classmethod
    def output_shape(cls, options, n_targets, n_classes):
        return (n_targets,)

    def parameters(self, out_shape):
        return {"log_scale": np.zeros(out_shape)}

    def log_prob(self, parameters, y, f):
        nu = self.options.degrees_of_freedom
        log_scale = parameters["log_scale"]
        constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - math.log(nu * math.pi) / 2
        z = (y - f) * (-log_scale).exp()
        return (constant - log_scale - (nu + 1) / 2 * (z.square() / nu).log1p()).sum(-1)

    def moments(self, parameters, f):
        nu = self.options.degrees_of_freedom
        return f, ((2 * parameters["log_scale"]).exp() * (nu / (nu - 2))).expand_as(f)

    def draw(self, parameters, f, generator):
        scale = parameters["log_scale"].detach().exp().cpu().numpy()
        mean = f.detach().cpu().numpy()
        return mean + scale * generator.standard_t(self.options.degrees_of_freedom, mean.shape)

    def metrics(self, y, prediction):
        error = (y - prediction) * self.target_scale
        return {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.mean(np.abs(error)))}
