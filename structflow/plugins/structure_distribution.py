"""The contract of a distribution over the structure weights γ of one edge."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from .options import Options
from .plugin import Plugin

if TYPE_CHECKING:
    from torch import Tensor

Space = Literal["one", "any"]


class StructureDistribution(Plugin):
    """Relaxed distributions over a simplex (`choose: one`) and a cube (`choose: any`), one edge at a time.

    Leading axes (members, samples) broadcast; the last axis runs over the K basis functions. `log_concentration`
    is log s and `temperature` c > 0. Values are log γ throughout, because γ itself underflows.
    """

    Options: ClassVar[type[Options]]

    @staticmethod
    @abstractmethod
    def sample(space: Space, log_concentration: Tensor, temperature: Tensor, uniform: Tensor) -> Tensor:
        """The distribution's own coordinates (see `log_prob`) from uniforms on (0, 1) of shape (…, K)."""

    @staticmethod
    @abstractmethod
    def log_gamma(space: Space, coordinates: Tensor) -> Tensor:
        """log γ from the coordinates, shape (…, K)."""

    @staticmethod
    @abstractmethod
    def log_prob(space: Space, log_concentration: Tensor, temperature: Tensor, coordinates: Tensor) -> Tensor:
        """Log density at the coordinates, summed over the edge: shape (…).

        The coordinates may be any smooth reparameterisation of γ, the same for every concentration and
        temperature, so that differences of log densities (a KL) don't depend on it.
        """

    @staticmethod
    @abstractmethod
    def rounding_probabilities(space: Space, log_concentration: Tensor) -> Tensor:
        """P(the rounded γ picks l): for `one` they sum to one, for `any` each is P(γ_l > ½). Shape (…, K)."""

    @staticmethod
    def prior_log_concentration(space: Space, options: Any, n_functions: int) -> list[float]:
        """Starting log s of the prior over K = `n_functions`; symmetric by default, from `options.concentration`."""
        import math

        return [0.0 if space == "one" else math.log(options.concentration)] * n_functions
