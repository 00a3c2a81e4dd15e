"""All of q(w) at one point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import WeightPosterior

if TYPE_CHECKING:
    from torch import Tensor


class Point(WeightPosterior):
    """q(w) = δ(w − μ), held as `mean` μ (n,).

    In place of the divergence, which is infinite, stands −log p(w | h): the bound is then log p(y, w | h) at the point.
    """

    type = "point"
    independent = True
    has_density = False

    @staticmethod
    def start(options: Any, mean: Tensor, fan_in: Tensor) -> dict[str, Tensor]:
        """The starting means."""
        return {"mean": mean}

    @staticmethod
    def noise(options: Any, n: int) -> int:
        """Nothing is random."""
        return 0

    @staticmethod
    def draw(options: Any, parameters: dict[str, Tensor], noise: Tensor) -> Tensor:
        """μ."""
        return parameters["mean"]

    @staticmethod
    def entropy(options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """0, by convention."""
        return parameters["mean"].new_zeros(())

    @staticmethod
    def log_prob(options: Any, parameters: dict[str, Tensor], weights: Tensor) -> Tensor:
        """0, by convention."""
        return weights.new_zeros(())

    @staticmethod
    def variance(options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """0."""
        return parameters["mean"].new_zeros(parameters["mean"].shape)

    @staticmethod
    def mask(options: Any, parameters: dict[str, Tensor], kept: Tensor) -> dict[str, Tensor]:
        """μ = 0 of removed weights."""
        return {"mean": parameters["mean"] * kept}

    @staticmethod
    def nearest(options: Any, mean: Tensor, precision: Tensor) -> dict[str, Tensor]:
        """The mean, which is the mode."""
        return {"mean": mean}

    @staticmethod
    def parameter_count(options: Any, n: int) -> int:
        """n."""
        return n
