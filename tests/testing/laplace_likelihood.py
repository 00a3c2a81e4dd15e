"""A likelihood that keeps all promises, for tests to break."""

from __future__ import annotations

import math

import numpy as np
import torch

from structflow.plugins import Likelihood


class Laplace(Likelihood):
    """p(y | f) = ∏_j exp(−|y_j − f_j|) / 2, over the targets j."""

    type = "laplace"
    target = "continuous"

    @classmethod
    def output_shape(cls, options, n_targets, n_classes):
        return (n_targets,)

    def log_prob(self, parameters, y, f):
        return (-(y - f).abs() - math.log(2)).sum(-1)

    def moments(self, parameters, f):
        return f, torch.full_like(f, 2.0)

    def draw(self, parameters, f, generator):
        return f.numpy() + generator.laplace(size=f.shape)

    def metrics(self, y, prediction):
        return {"mae": float(np.abs(y - prediction).mean())}
