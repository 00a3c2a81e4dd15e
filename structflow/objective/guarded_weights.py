"""Posterior and prior of the weights as the core calls them: what they return is checked, and errors name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor
from torch.func import vmap

from ..plugins import Options, WeightPosterior, WeightPrior, WeightPriorOptions
from ..plugins.calling import Calling, broken_contract
from ..plugins.weight_posterior import CurvatureKind
from .parameters import Named

RESERVED = ("log_precision", "structure", "structure_temperature", "prior_structure", "likelihood", "kept")
"""Names that a posterior's parameters can't have, because others have them."""


class GuardedPosterior:
    """A weight posterior over the slots (C) of a factor, and samples (S); it raises `PluginError` where it is broken.

    Checks look at shapes and dtypes, which tracing knows, and cost a program nothing.
    """

    def __init__(self, plugin: type[WeightPosterior], options: Options):
        self.plugin, self.options = plugin, options

    def start(self, mean: Tensor, fan_in: Tensor) -> Named:
        """Starting parameters (C, …) around means (C, n)."""
        found = self._named("start", self._lifted("start", (0, None), mean, fan_in))
        names = [name for name in found if name in RESERVED or not name.isidentifier()]
        if names or "mean" not in found or found["mean"].shape != mean.shape:
            got = f"parameters named {', '.join(map(repr, found))}"
            raise broken_contract(self.plugin, "start", got, "`mean` (n,) and others, none named as the core's own")
        return found

    def noise(self, n: int) -> int:
        """Standard normals of a draw."""
        with Calling(self.plugin, "noise"):
            found: object = self.plugin.noise(self.options, n)
        if type(found) is not int or found < 0:
            raise broken_contract(self.plugin, "noise", repr(found), "a whole number of at least 0")
        return found

    def draw(self, parameters: Named, noise: Tensor) -> Tensor:
        """w (C, S, n) from noise (C, S, k)."""
        return self._checked("draw", self._sampled("draw", parameters, noise), parameters, noise.shape[1])

    def entropy(self, parameters: Named) -> Tensor:
        """−E log q(w), (C,)."""
        return self._checked("entropy", self._lifted("entropy", (0,), parameters), parameters, None, number=True)

    def log_prob(self, parameters: Named, weights: Tensor) -> Tensor:
        """log q(w), (C, S), of w (C, S, n)."""
        found = self._sampled("log_prob", parameters, weights)
        return self._checked("log_prob", found, parameters, weights.shape[1], number=True)

    def log_prob_of_draw(self, parameters: Named, noise: Tensor) -> Tensor:
        """log q(w), (C, S), of what is drawn from noise (C, S, k)."""
        found = self._sampled("log_prob_of_draw", parameters, noise)
        return self._checked("log_prob_of_draw", found, parameters, noise.shape[1], number=True)

    def variance(self, parameters: Named) -> Tensor:
        """Var w, (C, n)."""
        return self._checked("variance", self._lifted("variance", (0,), parameters), parameters, None)

    def columns(self, parameters: Named) -> Tensor:
        """A square root of the covariance, (C, n, k)."""
        found = self._lifted("columns", (0,), parameters)
        if not isinstance(found, Tensor) or found.ndim != 3 or found.shape[:2] != parameters["mean"].shape:
            got = f"the shape {tuple(found.shape[1:])}" if isinstance(found, Tensor) else type(found).__name__
            raise broken_contract(self.plugin, "columns", got, "(n, k)")
        return found

    def curvature(self) -> CurvatureKind:
        """What H is, of a family that fits it after training."""
        with Calling(self.plugin, "curvature"):
            found = self.plugin.curvature(self.options)
        if found not in get_args(CurvatureKind):
            raise broken_contract(self.plugin, "curvature", repr(found), " or ".join(get_args(CurvatureKind)))
        return found

    def mask(self, parameters: Named, kept: Tensor) -> Named:
        """Parameters with the weights removed where `kept` (C, n) is 0."""
        return self._same("mask", self._lifted("mask", (0, 0), parameters, kept), parameters)

    def nearest(self, mean: Tensor, precision: Tensor) -> Named:
        """The parameters, without an axis of slots, of the q nearest to N(μ, P⁻¹)."""
        with Calling(self.plugin, "nearest"):
            return self.plugin.nearest(self.options, mean, precision)

    def transform(self, parameters: Named, matrix: Tensor, back: bool = False) -> Named:
        """Parameters in the coordinates of the matrices (C, n, n), or back."""
        method = "transform_back" if back else "transform"
        return self._same(method, self._lifted(method, (0, 0), parameters, matrix), parameters)

    def _lifted(self, method: str, axes: tuple[int | None, ...], *arguments: Tensor | Named) -> object:
        """A method over the slots."""
        call: Callable[..., object] = getattr(self.plugin, method)
        with Calling(self.plugin, method):
            return vmap(lambda *own: call(self.options, *own), axes)(*arguments)

    def _sampled(self, method: str, parameters: Named, values: Tensor) -> object:
        """A method over the slots and the samples of its last argument."""
        call: Callable[..., object] = getattr(self.plugin, method)
        with Calling(self.plugin, method):
            return vmap(vmap(lambda own, value: call(self.options, own, value), (None, 0)))(parameters, values)

    def _checked(
        self, method: str, found: object, parameters: Named, samples: int | None, number: bool = False
    ) -> Tensor:
        """A tensor (C, n), with samples (C, S, n), or numbers (C,) and (C, S); in the dtype of the parameters."""
        mean = parameters["mean"]
        shape = (len(mean), *([] if samples is None else [samples]), *([] if number else [mean.shape[1]]))
        if not isinstance(found, Tensor) or tuple(found.shape) != shape or found.dtype != mean.dtype:
            got = f"{tuple(found.shape)} in {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
            raise broken_contract(self.plugin, method, f"{got} for all members", f"{shape} in {mean.dtype}")
        return found

    def _same(self, method: str, found: object, parameters: Named) -> Named:
        """Parameters of the same names and shapes."""
        named = self._named(method, found)
        shapes, got = ({name: tuple(value.shape) for name, value in part.items()} for part in (parameters, named))
        if got != shapes:
            raise broken_contract(self.plugin, method, f"{got} for all members", f"{shapes}")
        return dict(named)

    def _named(self, method: str, found: object) -> Named:
        """Tensors by name."""
        if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
            raise broken_contract(self.plugin, method, type(found).__name__, "tensors by the names of the parameters")
        return found


class GuardedPrior:
    """A weight prior with the methods of its contract, which raise `PluginError` where it is broken."""

    def __init__(self, plugin: type[WeightPrior], options: WeightPriorOptions):
        self.plugin, self.options = plugin, options

    def log_prob(self, weights: Tensor, log_precision: Tensor) -> Tensor:
        """log p(w_i | A_i) of every weight."""
        with Calling(self.plugin, "log_prob"):
            found = self.plugin.log_prob(self.options, weights, log_precision)
        return self._checked("log_prob", found, weights, log_precision)

    def expected_log_prob(self, mean: Tensor, variance: Tensor, log_precision: Tensor) -> Tensor:
        """E log p(w_i | A_i) of every weight for w_i ~ N(mean_i, variance_i)."""
        with Calling(self.plugin, "expected_log_prob"):
            found = self.plugin.expected_log_prob(self.options, mean, variance, log_precision)
        return self._checked("expected_log_prob", found, mean, log_precision)

    def _checked(self, method: str, found: object, weights: Tensor, log_precision: Tensor) -> Tensor:
        """A number for each weight, in the dtype that the arguments have together."""
        shape = torch.broadcast_shapes(weights.shape, log_precision.shape)
        dtype = torch.promote_types(weights.dtype, log_precision.dtype)
        if not isinstance(found, Tensor) or found.shape != shape or found.dtype != dtype:
            got = f"{tuple(found.shape)} in {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
            raise broken_contract(self.plugin, method, got, f"{tuple(shape)} in {dtype}")
        return found
