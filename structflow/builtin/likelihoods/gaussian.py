"""Normal noise on continuous targets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ...plugins import Likelihood, Options, Shape

if TYPE_CHECKING:
    from torch import Tensor


class GaussianOptions(Options):
    """Keys of the likelihood `gaussian`."""

    noise: Annotated[float, Field(gt=0)] | Literal["learned"] = Field(
        "learned", description="Standard deviation in the target's own units, or learned: one for each target."
    )


class Gaussian(Likelihood):
    """p(y | f) = ∏_j N(y_j | f_j, σ_j²), over the targets j.

    A learned σ is held as log σ, in the units of the prepared targets; σ starts at 1.
    """

    type = "gaussian"
    Options = GaussianOptions
    target = "continuous"
    is_normal = True
    options: GaussianOptions

    @classmethod
    def output_shape(cls, options: Any, n_targets: int, n_classes: int) -> Shape:
        return (n_targets,)

    def parameters(self, out_shape: Shape) -> dict[str, np.ndarray]:
        return {"log_noise": np.zeros(out_shape)} if self.options.noise == "learned" else {}

    def log_noise(self, parameters: dict[str, Tensor], like: Tensor) -> Tensor:
        """log σ in prepared units, (targets,)."""
        if isinstance(self.options.noise, float):
            return like.new_tensor([math.log(self.options.noise / scale) for scale in self.target_scale.tolist()])
        return parameters["log_noise"]

    def log_prob(self, parameters: dict[str, Tensor], y: Tensor, f: Tensor) -> Tensor:
        return self.expected_log_prob(parameters, y, f, None)

    @property
    def closed_form(self) -> bool:
        return True

    def expected_log_prob(
        self, parameters: dict[str, Tensor], y: Tensor, mean: Tensor, variance: Tensor | None
    ) -> Tensor:
        """E log N(y | f, σ²) = −½ log 2π − log σ − ((y − mean)² + variance) / (2 σ²), summed over targets."""
        log_noise = self.log_noise(parameters, mean)
        square = (y - mean).square()
        if variance is not None:
            square = square + variance
        return (-0.5 * math.log(2 * math.pi) - log_noise - 0.5 * square * (-2 * log_noise).exp()).sum(-1)

    def curvature(self, parameters: dict[str, Tensor], y: Tensor, f: Tensor) -> Tensor:
        """diag 1/σ²."""
        return (-2 * self.log_noise(parameters, f)).exp().expand_as(f).diag_embed()

    def moments(self, parameters: dict[str, Tensor], f: Tensor) -> tuple[Tensor, Tensor]:
        return f, (2 * self.log_noise(parameters, f)).exp().expand_as(f)
