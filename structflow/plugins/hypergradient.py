"""The contract of a way to optimise the hyperparameters h (the outer level)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import Field

from ..errors import Problem
from .options import Options
from .plugin import BaseOptions, Plugin
from .schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor


class TwoLevelOptions(Options):
    """Keys that every method with two levels has."""

    every: int = Field(20, ge=1, description="Steps of θ between two steps of h.")
    rate: float = Field(0.05, gt=0, description="Learning rate of h (Adam); it decays by cosine over the stage.")
    samples: int = Field(16, ge=1, description="Monte Carlo samples of q for one hypergradient, held within it.")


class InnerPath(Protocol):
    """The η steps of θ that led to a point, with h held.

    v_{τ+1} = μ v_τ + ∇_θ L_τ(θ_τ, h) and θ_{τ+1} = θ_τ + β_τ v_{τ+1} for τ = 0, …, η − 1. Each step has its own
    minibatch and noise, which are recomputed whenever they are asked for. Vectors are as in `TwoLevelPoint`; those that
    stand for θ_τ hold h, too.
    """

    @property
    def length(self) -> int:
        """η."""

    @property
    def momentum(self) -> float:
        """μ."""

    @property
    def start(self) -> Tensor:
        """θ_0, (P,)."""

    @property
    def start_velocity(self) -> Tensor:
        """v_0, (P,)."""

    @property
    def end(self) -> Tensor:
        """θ_η, (P,)."""

    @property
    def moves(self) -> Tensor:
        """Which numbers the steps move, booleans (P,)."""

    def rate(self, step: int) -> Tensor:
        """β_τ, a 0-d tensor."""

    def gradient(self, step: int, at: Tensor) -> Tensor:
        """∇_θ L_τ at θ_τ, (P,) and zero where nothing moves."""

    def curvature_product(self, step: int, at: Tensor, direction: Tensor) -> Tensor:
        """∇²(−L_τ) · v at θ_τ, (P,), with the parts along θ and h as in `TwoLevelPoint`."""


class TwoLevelPoint(Protocol):
    """A point (θ, h) of the two-level problem, for all members at once and with the noise held fixed.

    θ and h stand end to end in one vector of P numbers, and so do directions and gradients. Nothing mixes members:
    derivatives of the sums ΣL and ΣQ are every member's own.
    """

    @property
    def iteration(self) -> int:
        """How many hypergradients were taken before this one."""

    @property
    def of_theta(self) -> Tensor:
        """Which numbers are of θ and can respond to h, booleans (P,)."""

    @property
    def step_sizes(self) -> Tensor:
        """How far a step of θ from here moves each number for a unit of ∇L, (P,): β, or what Adam makes of it."""

    def sizes(self, gradient: Tensor) -> Tensor:
        """The same of a step along another gradient, (P,): Adam's √v̂ takes in the gradient that a step is along."""

    @property
    def previous(self) -> TwoLevelPoint:
        """The point before the last step of θ, with the same noise, for a method that `looks_back`."""

    @property
    def path(self) -> InnerPath:
        """How θ came here, for a method that `follows_path`."""

    def after(self, move: Tensor) -> TwoLevelPoint:
        """The point whose numbers are moved by (P,), with the same noise."""

    def inner_gradient(self) -> Tensor:
        """∇L at the point, (P,)."""

    def outer_gradient(self) -> Tensor:
        """∇Q at the point, (P,)."""

    def evidence_gradient(self) -> Tensor:
        """∂/∂h of the log evidence that the curvature at θ gives, plus log p(h), (P,), where q(w) fits one."""

    def curvature_product(self, direction: Tensor) -> Tensor:
        """∇²(−L) · v, (P,): for v along θ, its part along θ is H v and its part along h is (∇²_{θh}(−L))ᵀ v."""

    def mixed_product(self, direction: Tensor) -> Tensor:
        """(∇²_{θh}(−L))ᵀ v for v along θ, (P,): of `curvature_product` the part along h, at a fraction of its cost."""

    def dot(self, left: Tensor, right: Tensor) -> Tensor:
        """The inner product of every member's own numbers, (M,)."""

    def spread(self, values: Tensor) -> Tensor:
        """A value for each member (M,) at each of its numbers, (P,)."""


@dataclass(frozen=True)
class OuterGradient:
    """dQ/dh, (P,) and zero along θ; and what is worth knowing of every member about how it was found, (M,) each."""

    gradient: Tensor
    report: Mapping[str, Tensor] = field(default_factory=dict)


class Hypergradient(Plugin):
    """How h follows from the inner problem; the spec names it at `optimizer.outer`.

    A method with one level raises θ and h together and needs no `gradient`; with none, h stays where it starts. One
    with two levels is asked for it every `every` steps of θ; its options extend `TwoLevelOptions`. One that
    `follows_path` differentiates through those steps, which have to be gradient steps, with or without momentum. One
    that `looks_back` is given `point.previous`. One that is `flat` never branches on values nor looks at
    `point.iteration`: it is compiled together with the step of h. One that is `of_curvature` raises the log evidence
    that the curvature at θ gives, for a weight posterior that fits it; the likelihood's own parameters then belong to
    h.
    """

    levels: ClassVar[Literal[0, 1, 2]]
    follows_path: ClassVar[bool] = False
    looks_back: ClassVar[bool] = False
    flat: ClassVar[bool] = False
    of_curvature: ClassVar[bool] = False

    @classmethod
    def least_options(cls, of_kind: type[BaseOptions]) -> type[BaseOptions]:
        """`TwoLevelOptions` for a method of two levels."""
        return TwoLevelOptions if cls.levels == 2 else of_kind

    @staticmethod
    def conflicts(spec: Any) -> list[Problem]:
        """Settings of the validated spec under which this method doesn't solve the problem that is asked."""
        return []

    @staticmethod
    def steps(options: Any) -> int:
        """How many steps of h, each with a hypergradient of its own, follow one another at the same θ."""
        return 1

    @staticmethod
    def burn_in(options: Any) -> float:
        """The share of a stage's steps of θ before the first step of h."""
        return 0.0

    @staticmethod
    def cost(options: Any, samples: int) -> float:
        """About how many steps of θ, each of so many `samples`, one hypergradient takes: for forecasts of time."""
        return 2.0 * float(options.samples) / samples

    @staticmethod
    def gradient(options: Any, point: TwoLevelPoint) -> OuterGradient:
        """The derivative of every member's Q by its h at the point."""
        raise NotImplementedError("a method with one level has no hypergradient")


def factors_agree(factors: Any) -> bool:
    """Whether c_train > 0 and c_prior / c_train = c_reg at every step: then Q is c_train · L plus terms in h alone.

    `factors` has the three as attributes: a spec's objective, or what its criterion makes of it.
    """
    c_reg, c_train, c_prior = factors.c_reg, factors.c_train, factors.c_prior
    smallest = c_train.extremes()[0] if isinstance(c_train, Schedule) else c_train
    if smallest <= 0:
        return False
    if not any(isinstance(value, Schedule) for value in (c_reg, c_train, c_prior)):
        return bool(abs(c_prior - c_reg * c_train) <= 1e-9 * max(c_prior, 1.0))
    return bool((c_reg == 1 and c_prior == c_train) or (c_train == 1 and c_prior == c_reg))
