"""The inner optimiser of a stage: a plugin with its options, and what it is told of members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

from torch import Tensor

from ..errors import CallError
from ..plugins import InnerOptimizer, InnerOptions
from ..plugins.calling import Calling, broken_contract
from ..plugins.registry import registry
from ..spec.models import Spec

State = dict[str, Tensor]
"""What an optimiser keeps from step to step, by name."""


class OptimizerState(NamedTuple):
    """Where an optimiser is, (P,), and what it keeps."""

    values: Tensor
    kept: State

    def move(self, values: Tensor, kept: State) -> None:
        """Go on to other values, in place; what is kept comes first, because it may hold the values before the step."""
        for name, value in kept.items():
            self.kept[name].copy_(value)
        self.values.copy_(values)


@dataclass(frozen=True)
class NumbersOfMembers:
    """The member (P,) that each number belongs to, of so many `members`; see `plugins.MemberNumbers`."""

    member_of: Tensor
    members: int

    def sum_by_member(self, values: Tensor) -> Tensor:
        """Σ of every member's numbers, (M,)."""
        return values.new_zeros(self.members).index_add(0, self.member_of, values)

    def spread(self, values: Tensor) -> Tensor:
        """Every member's value at its numbers, (P,)."""
        return values.index_select(0, self.member_of)


@dataclass(frozen=True)
class InnerMethod:
    """An inner optimiser with its options; see `plugins.InnerOptimizer`."""

    plugin: type[InnerOptimizer]
    options: InnerOptions

    @property
    def momentum(self) -> float | None:
        """μ of gradient steps; None of all other steps."""
        with Calling(self.plugin, "momentum"):
            return self.plugin.momentum(self.options)

    @property
    def signature(self) -> str:
        """What a compiled step depends on: options that every optimiser has are given as tensors."""
        own = self.options.model_dump(exclude=set(InnerOptions.model_fields))
        return f"{self.plugin.__module__}.{self.plugin.__qualname__}{own}"

    def start(self, parameters: Tensor) -> State:
        """The state before the first step; raises `PluginError` where it isn't tensors by name."""
        with Calling(self.plugin, "start"):
            found: object = self.plugin.start(self.options, parameters)
        if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
            raise broken_contract(self.plugin, "start", type(found).__name__, "a dictionary of tensors")
        return found

    def ascend(
        self, parameters: Tensor, gradient: Tensor, state: State, rate: Tensor, step: Tensor, members: NumbersOfMembers
    ) -> tuple[Tensor, State]:
        """Parameters and state after a step; raises `PluginError` where a tensor has another shape than before."""
        with Calling(self.plugin, "ascend"):
            after, kept = self.plugin.ascend(self.options, parameters, gradient, state, rate, step, members)
        shapes, expected = ({name: tuple(each.shape) for name, each in part.items()} for part in (kept, state))
        if after.shape != parameters.shape or shapes != expected:
            got = f"parameters {tuple(after.shape)} and a state {shapes}"
            raise broken_contract(self.plugin, "ascend", got, f"{tuple(parameters.shape)} and {expected}")
        return after, kept

    def step_sizes(self, state: State, gradient: Tensor, rate: Tensor, step: Tensor) -> Tensor:
        """How far a number moves in the end for a unit of its gradient, (P,), after `step` steps."""
        if not self.plugin.has_step_sizes:
            raise CallError(f"optimizer.inner {self.plugin.type} has no step sizes, which the outer method asks for")
        with Calling(self.plugin, "step_sizes"):
            return self.plugin.step_sizes(self.options, state, gradient, rate, step)


def inner_method(type_name: str = "adam", **options: object) -> InnerMethod:
    """An installed optimiser with these options, the others by default; raises `PluginError` where there is none."""
    plugin = registry().get("inner_optimizers", type_name)
    chosen = registry().of_kind("inner_optimizers")[type_name].options(**options)
    return InnerMethod(plugin, cast("InnerOptions", chosen))


def method_of(spec: Spec) -> InnerMethod:
    """The optimiser that a spec names."""
    options = spec.optimizer.inner
    return InnerMethod(registry().get("inner_optimizers", options.type), options)
