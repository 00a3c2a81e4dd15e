"""A stage before its first step: the parameters of a population as one vector, and what the steps take."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..objective.bound import Bound
from .conditioning import Coordinates, coordinates_for
from .flat import FlatLayout
from .linear_structures import Level
from .metaparameters import MetaparameterTables
from .stage_inputs import Execution, Minibatching, StageInputs, TrainingData
from .step import HYPERPARAMETER_NAMES as HYPERPARAMETER_NAMES
from .step import Objectives, is_of

STRUCTURE_NAMES = ("structure", "structure_temperature", "prior_structure")
"""First parts of the names of parameters of q(Γ) and p(Γ)."""

CONCENTRATION_NAMES = ("structure", "prior_structure")
"""First parts of the names of log concentrations."""


@dataclass(frozen=True)
class OpenStage:
    """Vectors over all P numbers: where they `start`, which are of q(Γ) or p(Γ) and which of h, and their `limit`.

    `setup` is what compiled programs depend on beside the shapes of their arguments.
    """

    start: Tensor
    of_structure: Tensor
    of_h: Tensor
    limit: Tensor
    objectives: Objectives
    inputs: StageInputs
    setup: str

    @property
    def coordinates(self) -> Coordinates:
        """The coordinates that the vector holds the parameters in."""
        return self.objectives.coordinates

    @property
    def layout(self) -> FlatLayout:
        """Where each parameter stands in the vector."""
        return self.objectives.layout

    def parameters(self, state: Tensor) -> dict[str, Tensor]:
        """The parameters in plain coordinates and float64, from the vector (P,)."""
        return self.coordinates.plain(self.layout.unpack(state.double()), self.coordinates.whitening)


def open_stage(
    bound: Bound,
    parameters: dict[str, Tensor],
    keys: np.ndarray,
    data: TrainingData,
    tables: MetaparameterTables,
    samples: int,
    minibatching: Minibatching,
    execution: Execution,
    largest_log_concentration: float | None = None,
    names_of_h: tuple[str, ...] = HYPERPARAMETER_NAMES,
) -> OpenStage:
    """The stage of `bound`'s population that starts from `parameters`; `keys` (M, 2) are the members' Philox keys.

    log s of q(Γ) and p(Γ) stays within ± `largest_log_concentration`. `names_of_h` are the first parts of those of h.
    """
    c_reg = float(tables.column("c_reg")[0]) if tables.steps else 1.0
    level = Level(data.x, data.y, c_reg, data.inner_weights, data.row_weight)
    coordinates = coordinates_for(bound, parameters, level)
    whitening = {name: value.to(execution.dtype) for name, value in coordinates.whitening.items()}
    start = coordinates.whitened({name: value.double().to(execution.device) for name, value in parameters.items()})
    layout = FlatLayout.of(start)
    state = layout.pack(start).to(execution.device, execution.dtype, copy=True)
    limit = torch.full_like(state, math.inf)
    if largest_log_concentration is not None:
        boxed = numbers_of(layout, start, CONCENTRATION_NAMES)
        limit = torch.where(boxed, torch.full_like(state, largest_log_concentration), limit)
    return OpenStage(
        state,
        numbers_of(layout, start, STRUCTURE_NAMES),
        numbers_of(layout, start, HYPERPARAMETER_NAMES),
        limit,
        Objectives(bound, layout, coordinates),
        StageInputs.of(bound, keys, data, tables, samples, minibatching, execution, whitening),
        f"{bound.signature}|{sorted(data.weights)}|{execution}|{sorted(whitening)}|{names_of_h}",
    )


def numbers_of(layout: FlatLayout, parameters: dict[str, Tensor], names: tuple[str, ...]) -> Tensor:
    """Which numbers of the flat vector belong to parameters whose names begin so, booleans (P,)."""
    flags = {name: torch.full_like(value, is_of(name, names), dtype=torch.bool) for name, value in parameters.items()}
    return layout.pack(flags).bool()
