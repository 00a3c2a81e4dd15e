"""The contract of a likelihood p(y | f)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from .basis_function import Shape
from .plugin import Plugin

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

TargetKind = Literal["continuous", "classes", "binary", "counts"]

LARGEST_RATE = 2.0**62
"""Above it a draw from a Poisson distribution would not fit into 64 bits."""


class Likelihood(Plugin):
    """log p(y | f) for ONE member; f is the output node's value, y the targets as the data layer prepared them.

    `target` says how the target column is read: `continuous` numbers (standardised on request), `classes` (any
    labels, coded 0..C−1, one column), `binary` (two labels, coded 0 and 1, columns kept), `counts` (whole
    numbers ≥ 0). Learned parameters (a noise level) are raised with θ, or with h under a method that says so: one
    unconstrained tensor each. One that `is_normal` is N(f, Σ) with the mean f and a diagonal Σ that depends on neither
    f nor the row: what is linear in f is then known in closed form.
    """

    target: ClassVar[TargetKind]
    is_normal: ClassVar[bool] = False

    def __init__(self, options: Any, target_scale: np.ndarray):
        """`target_scale` (targets,) is what the targets were divided by: 1 where they were not standardised."""
        self.options = options
        self.target_scale = target_scale

    @classmethod
    @abstractmethod
    def output_shape(cls, options: Any, n_targets: int, n_classes: int) -> Shape:
        """Shape of the output node."""

    def parameters(self, out_shape: Shape) -> dict[str, np.ndarray]:
        """Starting values of the learned parameters by name; empty where nothing is learned."""
        return {}

    @abstractmethod
    def log_prob(self, parameters: dict[str, Tensor], y: Tensor, f: Tensor) -> Tensor:
        """log p(y_i | f_i) of every row, shaped (rows,), for the prepared targets y and f (rows, *out_shape)."""

    @property
    def closed_form(self) -> bool:
        """Whether `expected_log_prob` is available."""
        return False

    def expected_log_prob(self, parameters: dict[str, Tensor], y: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """E log p(y_i | f_i) for f_i ~ N(mean_i, variance_i), shaped (rows,); only where `closed_form`."""
        raise TypeError(f"likelihood {self.type} has no closed-form expectation")

    def curvature(self, parameters: dict[str, Tensor], y: Tensor, f: Tensor) -> Tensor:
        """Λ_i = −∂²log p(y_i | f_i)/∂f_i², (rows, out, out), f flattened; or its expectation over y_i given f_i.

        The latter is the Fisher information, which is positive semidefinite where the former isn't: negative
        eigenvalues count as 0. By default the former, by differentiation.
        """
        import torch
        from torch.func import grad, jvp, vmap

        def slope(values: Tensor) -> Tensor:
            found: Tensor = grad(lambda at: -self.log_prob(parameters, y, at).sum())(values)
            return found

        units = torch.eye(f[0].numel(), dtype=f.dtype, device=f.device).reshape(-1, *f.shape[1:])
        columns: Tensor = vmap(lambda unit: jvp(slope, (f,), (unit.expand_as(f),))[1])(units)
        return columns.flatten(2).movedim(0, -1)

    @abstractmethod
    def moments(self, parameters: dict[str, Tensor], f: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of y given f, both shaped as the prediction of one row, (rows, …).

        For classes: the probabilities of the classes and their variances p(1 − p).
        """

    def draw(self, parameters: dict[str, Tensor], f: Tensor, generator: np.random.Generator) -> np.ndarray:
        """One draw of y given f for every row, shaped as the mean in `moments`; of classes, 1 for the drawn one.

        By default from the moments, as `target` says: normal, categorical, Bernoulli or Poisson. Override it where y
        given f is distributed otherwise: predictions and the calibration error rest on it.
        """
        import numpy as np

        mean, variance = (moment.detach().cpu().numpy() for moment in self.moments(parameters, f))
        if self.target == "continuous":
            return np.asarray(mean + np.sqrt(variance) * generator.standard_normal(mean.shape))
        if self.target == "counts":
            return np.asarray(generator.poisson(np.minimum(mean, LARGEST_RATE)), dtype=np.float64)
        uniform = generator.random((*mean.shape[:-1], 1) if self.target == "classes" else mean.shape)
        if self.target == "binary":
            return np.asarray(uniform < mean, dtype=np.float64)
        cumulative = mean.cumsum(-1)
        drawn = (uniform * cumulative[..., -1:] >= cumulative).sum(-1)
        return np.asarray(np.eye(mean.shape[-1])[drawn])

    def metrics(self, y: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        """Metrics by name beside those of the kind of targets: of y and the mean prediction, in prepared units.

        One that has a name of theirs, such as `rmse`, takes its place.
        """
        return {}
