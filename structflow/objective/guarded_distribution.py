"""A structure distribution as the core calls it: what it returns is checked, and its errors name it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..plugins import Space, StructureDistribution, StructureOptions
from ..plugins.calling import Calling, broken_contract


class GuardedDistribution:
    """A structure distribution with the methods of its contract, which raise `PluginError` where it is broken.

    Checks look at shapes and dtypes, which tracing knows, and cost a program nothing.
    """

    def __init__(self, plugin: type[StructureDistribution]):
        self.plugin = plugin

    def sample(self, space: Space, log_concentration: Tensor, temperature: Tensor, uniform: Tensor) -> Tensor:
        """Coordinates from uniforms on (0, 1), (…, K)."""
        with Calling(self.plugin, "sample"):
            found = self.plugin.sample(space, log_concentration, temperature, uniform)
        return self._checked("sample", found, uniform, torch.broadcast_shapes(log_concentration.shape, uniform.shape))

    def log_gamma(self, space: Space, coordinates: Tensor) -> Tensor:
        """log γ from the coordinates, (…, K)."""
        with Calling(self.plugin, "log_gamma"):
            found = self.plugin.log_gamma(space, coordinates)
        return self._checked("log_gamma", found, coordinates, coordinates.shape)

    def log_prob(self, space: Space, log_concentration: Tensor, temperature: Tensor, coordinates: Tensor) -> Tensor:
        """Log density at the coordinates, (…)."""
        with Calling(self.plugin, "log_prob"):
            found = self.plugin.log_prob(space, log_concentration, temperature, coordinates)
        leading = torch.broadcast_shapes(log_concentration.shape[:-1], temperature.shape, coordinates.shape[:-1])
        return self._checked("log_prob", found, coordinates, leading)

    def rounding_probabilities(self, space: Space, log_concentration: Tensor) -> Tensor:
        """P(the rounded γ picks l), (…, K)."""
        with Calling(self.plugin, "rounding_probabilities"):
            found = self.plugin.rounding_probabilities(space, log_concentration)
        return self._checked("rounding_probabilities", found, log_concentration, log_concentration.shape)

    def vertex_log_prob(self, space: Space, log_concentration: Tensor, chosen: Tensor) -> Tensor:
        """log P(the rounded γ is the vertex of the chosen functions), (…)."""
        with Calling(self.plugin, "vertex_log_prob"):
            found = self.plugin.vertex_log_prob(space, log_concentration, chosen)
        leading = torch.broadcast_shapes(log_concentration.shape[:-1], chosen.shape[:-1])
        return self._checked("vertex_log_prob", found, log_concentration, leading)

    def prior_log_concentration(self, space: Space, options: StructureOptions, n_functions: int) -> list[float]:
        """Starting log s of the prior, K numbers."""
        method = "prior_log_concentration"
        with Calling(self.plugin, method):
            found = [float(value) for value in self.plugin.prior_log_concentration(space, options, n_functions)]
        if len(found) != n_functions or not all(map(math.isfinite, found)):
            raise broken_contract(self.plugin, method, repr(found), f"{n_functions} finite numbers, one a function")
        return found

    def _checked(self, method: str, found: object, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A tensor of this shape, in the dtype and on the device of the arguments."""
        if not isinstance(found, Tensor):
            raise broken_contract(self.plugin, method, type(found).__name__, f"a tensor of shape {tuple(shape)}")
        if tuple(found.shape) != tuple(shape) or found.dtype != like.dtype or found.device != like.device:
            got = f"the shape {tuple(found.shape)} in {found.dtype} on {found.device}"
            raise broken_contract(self.plugin, method, got, f"{tuple(shape)} in {like.dtype} on {like.device}")
        return found
