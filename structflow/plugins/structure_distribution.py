"""The contract of a distribution over the structure weights γ of one edge."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from .options import Options
from .plugin import Plugin
from .schedule import Metaparameter

if TYPE_CHECKING:
    from torch import Tensor

Space = Literal["one", "any"]


class StructureOptions(Protocol):
    """Keys that every structure distribution has."""

    @property
    def temperature(self) -> Metaparameter:
        """c of the relaxation."""

    @property
    def learned(self) -> bool:
        """Whether concentrations of the prior are hyperparameters."""


class StructureDistribution(Plugin):
    """Relaxed distributions over a simplex (`choose: one`) and a cube (`choose: any`), one edge at a time.

    Leading axes (members, samples) broadcast; the last axis runs over the K basis functions. `log_concentration`
    is log s and `temperature` c > 0. Values are log γ throughout, because γ itself underflows.
    """

    Options: ClassVar[type[Options]]
    needed_options: ClassVar[tuple[str, ...]] = ("temperature", "learned")

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

    @classmethod
    def vertex_log_prob(cls, space: Space, log_concentration: Tensor, chosen: Tensor) -> Tensor:
        """log P(the rounded γ is the vertex whose functions are `chosen`), from booleans (…, K): shape (…).

        One function is chosen for `one`; for `any` each by itself. By default it is made of `rounding_probabilities`,
        which are exact to about 1e-16: where their logarithms have a closed form, as at odds of 1e20, give that.
        """
        import torch

        chances = cls.rounding_probabilities(space, log_concentration)
        smallest = torch.finfo(chances.dtype).tiny
        picked, left = chances.clamp(min=smallest).log(), (1 - chances).clamp(min=smallest).log()
        return torch.where(chosen, picked, left if space == "any" else torch.zeros_like(left)).sum(-1)

    @staticmethod
    def prior_log_concentration(space: Space, options: Any, n_functions: int) -> list[float]:
        """log s of the prior over the K = `n_functions` of an edge in the order of the spec, where it starts.

        Symmetric by default, from `options.concentration`. Structures are ranked by the prior that follows from it.
        """
        import math

        return [0.0 if space == "one" else math.log(options.concentration)] * n_functions
