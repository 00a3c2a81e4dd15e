"""A stage before its first step: the parameters of a population as one vector, and what the steps take."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..objective.bound import Bound
from ..objective.parameters import Parameters, Role
from .conditioning import coordinates_for
from .entries import HYPERPARAMETERS, Entries, entries_of
from .flat import FlatLayout
from .program import Configuration
from .stage_inputs import StageInputs, StageSetup
from .step import Objectives


@dataclass(frozen=True)
class OpenStage:
    """A stage from the vector `start` (P,); `configuration` is what its programs depend on beside arguments."""

    start: Tensor
    entries: Entries
    objectives: Objectives
    inputs: StageInputs
    configuration: Configuration

    @property
    def layout(self) -> FlatLayout:
        """Where each parameter stands in the vector."""
        return self.objectives.layout

    @property
    def members(self) -> int:
        """M."""
        return self.objectives.bound.population.size

    def parameters(self, state: Tensor) -> Parameters:
        """The parameters in plain coordinates and float64, from the vector (P,)."""
        coordinates = self.objectives.coordinates
        return coordinates.plain(self.layout.unpack(state.double()), coordinates.whitening)


def open_stage(
    bound: Bound, parameters: Parameters, setup: StageSetup, of_h: tuple[Role, ...] = HYPERPARAMETERS
) -> OpenStage:
    """The stage of `bound`'s population that starts from `parameters`; h are those of the roles `of_h`."""
    coordinates, execution = coordinates_for(bound, parameters, setup.level(0)), setup.execution
    whitening = {name: value.to(execution.dtype) for name, value in coordinates.whitening.items()}
    start = coordinates.whitened(parameters.map(lambda value: value.double().to(execution.device)))
    layout = FlatLayout.of(bound.described, start)
    entries = entries_of(bound, layout, execution.dtype, setup.largest_log_concentration, of_h)
    return OpenStage(
        layout.pack(start).to(execution.device, execution.dtype, copy=True),
        Entries(*(each.to(execution.device) for each in entries)),
        Objectives(bound, layout, coordinates, of_h),
        StageInputs.of(bound, setup, whitening),
        (bound.signature, execution, of_h),
    )
