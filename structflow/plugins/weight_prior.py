"""The contract of a prior p(w | h) of the weights."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from .options import Options
from .plugin import Plugin

if TYPE_CHECKING:
    from torch import Tensor

Grouping = Literal["shared", "per_function", "per_parameter"]


class InverseGamma(Options):
    """Hyperprior of a variance v = 1/A, as a density of log v: λ₁ log λ₂ − ln Γ(λ₁) − λ₁ log v − λ₂ / v."""

    type: Literal["inverse_gamma"] = Field("inverse_gamma", description="The family.")
    shape: float = Field(gt=0, description="λ₁.")
    scale: float = Field(gt=0, description="λ₂, in squared units of the weights.")


class WeightPriorOptions(Options):
    """Keys that every prior of the weights has: its precisions A, which are the core's to group and to learn.

    `precision` is a number (shared by all weights) or how learned precisions are grouped.
    """

    precision: Annotated[float, Field(gt=0)] | Grouping = "shared"
    learned: bool | None = Field(None, description="Default: learned unless `precision` is a number.")
    scale_by_structure: bool = Field(False, description="w_l ~ N(0, γ_l² A_l⁻¹), in the non-centred form.")
    start_range: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = Field(
        None,
        description="Learned precisions start at random here, uniformly in their logarithm, anew in every restart.",
    )
    hyperprior: InverseGamma | None = Field(None, description="Hyperprior of every learned variance 1/A.")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_learned(cls, values: Any) -> Any:
        """Written out, so that a spec that says the default is equal to one that leaves it out."""
        if isinstance(values, dict) and values.get("learned") is None:
            precision = values.get("precision", "shared")
            return {**values, "learned": isinstance(precision, str)}
        return values

    @property
    def grouping(self) -> Grouping:
        """Which weights have one precision in common."""
        return "shared" if isinstance(self.precision, float) else self.precision

    @property
    def start(self) -> float:
        """The fixed precision, or the one learning starts from."""
        return self.precision if isinstance(self.precision, float) else 1.0

    @property
    def is_learned(self) -> bool:
        """`learned` with its default filled in."""
        return not isinstance(self.precision, float) if self.learned is None else self.learned


class WeightPrior(Plugin):
    """p(w | A) = ∏ p(w_i | A_i): weights independent and symmetric around 0, A_i^{-1/2} the scale of each.

    The core groups and learns A; methods take log A beside the weights and broadcast. `closed_form` says whether
    `expected_log_prob` is available, and `is_normal` that p is N(0, A⁻¹): evidence in closed form, and the maximum and
    coordinates of models that are linear in their weights rest on it.
    """

    Options: ClassVar[type[WeightPriorOptions]] = WeightPriorOptions
    is_normal: ClassVar[bool] = False
    closed_form: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def log_prob(options: Any, weights: Tensor, log_precision: Tensor) -> Tensor:
        """log p(w_i | A_i), normalised, of every weight: the shape that weights and log A broadcast to."""

    @classmethod
    def expected_log_prob(cls, options: Any, mean: Tensor, variance: Tensor, log_precision: Tensor) -> Tensor:
        """E log p(w_i | A_i) of every weight for w_i ~ N(mean_i, variance_i), variance_i > 0; where `closed_form`."""
        raise TypeError(f"prior {cls.type} has no closed-form expectation")
