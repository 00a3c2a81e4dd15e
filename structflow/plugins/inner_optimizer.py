"""The contract of an inner optimiser: how θ moves up the gradient of its objective."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field

from ..errors import Problem
from .options import Options
from .plugin import Plugin
from .schedule import PositiveMetaparameter

if TYPE_CHECKING:
    from torch import Tensor

Steps = Annotated[int, Field(ge=1, le=10_000_000)]

RELAXED, DISCRETE = "relaxed", "discrete"
"""Kinds of rounds, as `steps` names them."""


class InnerOptions(Options):
    """Keys that every inner optimiser has."""

    lr: PositiveMetaparameter = Field(0.01, description="Learning rate, a number or a schedule.")
    decay: Literal["cosine", "none"] = Field("cosine", description="Decay of a learning rate that is a number.")
    steps: Steps | Annotated[dict[str, Steps], Field(min_length=1)] = Field(
        2000, description="Number of steps; or numbers by the names of rounds, or by `relaxed` and `discrete`."
    )
    samples: int = Field(1, ge=1, le=10_000, description="Monte Carlo samples of q a step.")
    structure_warmup: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of the (first stage's) steps in which q(Γ) stays at its start, while every function learns.",
    )
    batch_size: Annotated[int, Field(ge=1)] | None = Field(None, description="Rows a step; by default all of them.")


class MemberNumbers(Protocol):
    """Which of the P numbers of a population belong to which of its M members."""

    def sum_by_member(self, values: Tensor) -> Tensor:
        """The sum of every member's own numbers, (P,) to (M,): of a product of two vectors their dot products."""

    def spread(self, values: Tensor) -> Tensor:
        """A value for each member (M,) at each of its numbers, (P,)."""


class InnerOptimizer(Plugin):
    """How θ moves up ∇L, for all members at once; the spec names it at `optimizer.inner`.

    Its options extend `InnerOptions`. Everything is a pure function of tensors: nothing branches on values, because
    steps are traced once and compiled, and nothing mixes members. One that `has_step_sizes` can be asked how far a
    number moves for a unit of its gradient, which some hypergradients need.
    """

    Options = InnerOptions
    has_step_sizes: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def start(options: Any, parameters: Tensor) -> dict[str, Tensor]:
        """The state before the first step from `parameters` (P,): tensors by name, of any shape."""

    @staticmethod
    @abstractmethod
    def ascend(
        options: Any,
        parameters: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        rate: Tensor,
        step: Tensor,
        members: MemberNumbers,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The parameters (P,) after a step up the `gradient` (P,), and the state, whose tensors keep their shapes.

        `rate` is the learning rate of this step and `step` its number from 0, 0-d each. The gradient is 0 for numbers
        that are held; where they have bounds, parameters that a step leads across are put back on them.
        """

    @staticmethod
    def step_sizes(options: Any, state: dict[str, Tensor], gradient: Tensor, rate: Tensor, step: Tensor) -> Tensor:
        """How far each number would move in the end for a unit of its gradient, (P,), in a step up `gradient`.

        `state` is that after `step` steps.
        """
        raise NotImplementedError("an optimiser with `has_step_sizes = True` says what they are")

    @staticmethod
    def momentum(options: Any) -> float | None:
        """μ where a step is v ← μ v + ∇L, θ ← θ + rate · v, and the state {"velocity": v}; None for all others.

        Hypergradients that differentiate through steps of θ want such steps.
        """
        return None

    @staticmethod
    def conflicts(spec: Any) -> list[Problem]:
        """Settings of the validated spec under which the optimiser doesn't work."""
        return []
