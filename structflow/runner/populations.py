"""Trained members put together as a population again, whoever they were trained beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from ..evidence.trained import TrainedPopulation
from ..objective.bound import Bound
from ..objective.members import Own, stack, unstack
from ..plan.batching import make_batches
from ..plan.tasks import Task
from ..plugins import Candidate
from ..store.run_directory import RunDirectory
from .context import RunContext
from .decided import stored_members, trainings

PARAMETER = "parameter/"
"""Begins the names of a member's arrays that hold parameters."""


def parameters_of(directory: RunDirectory, keys: Sequence[str]) -> list[Own]:
    """The parameters of members by their keys, in float64 on the CPU."""
    return [own_parameters(arrays) for arrays in directory.members.arrays(keys, is_parameter)]


def own_parameters(arrays: Mapping[str, np.ndarray]) -> Own:
    """The parameters among the arrays of a member, in float64."""
    return {
        name.removeprefix(PARAMETER): torch.from_numpy(value).double()
        for name, value in arrays.items()
        if is_parameter(name)
    }


def is_parameter(name: str) -> bool:
    """Whether an array of a member is a parameter."""
    return name.startswith(PARAMETER)


def population_of(
    context: RunContext, task: Task, members: Mapping[Candidate, Own], integrate: bool = True
) -> TrainedPopulation:
    """Members of one batch after the stage of a task, as a population of their own without spare slots, for evaluation.

    Their order is that of `bound.population.members`.
    """
    (batch,) = make_batches(context.study.graph, list(members), len(members))
    spec = context.round_stages(task.setting, task.round)[task.stage]
    bound = context.bound(context.population(batch, spec), spec, integrate)
    return trained_with(context, task, bound, members)


def trained_with(context: RunContext, task: Task, bound: Bound, members: Mapping[Candidate, Own]) -> TrainedPopulation:
    """The members of a bound's population after the stage of a task."""
    ordered = bound.population.members
    parameters = stack([members[member] for member in ordered], bound)
    return context.trained(bound, parameters, ordered, task.setting, task.round, task.stage)


def part_of(
    context: RunContext, task: Task, trained: TrainedPopulation, numbers: Sequence[int], integrate: bool = True
) -> TrainedPopulation:
    """Some members of a population as a population."""
    own = unstack(trained.parameters.map(torch.Tensor.cpu), trained.bound)
    members = trained.bound.population.members
    return population_of(context, task, {members[number]: own[number] for number in numbers}, integrate)


def trained_populations(
    context: RunContext, setting: int, round_index: int, stage: int = -1, integrate: bool = True
) -> Iterator[TrainedPopulation]:
    """The members of a round after a stage, by default the last, batch by batch, without those that failed."""
    for task in trainings(context.plan, setting, stage):
        if task.round == round_index:
            members = stored_members(context.directory, task, is_parameter)
            if members:
                own = {each.candidate: own_parameters(each.arrays) for each in members}
                yield population_of(context, task, own, integrate)
