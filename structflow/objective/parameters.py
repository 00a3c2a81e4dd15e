"""What each parameter of a population is, so that nobody reads it off its name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from torch import Tensor

Parameters = dict[str, Tensor]
"""Parameters of a population by name."""


class Role(Enum):
    """The part of the objective that a parameter belongs to."""

    WEIGHTS = "q(w)"
    MASK = "which weights are kept"
    PRECISION = "p(w | h)"
    STRUCTURE = "q(Γ)"
    STRUCTURE_TEMPERATURE = "the temperature of q(Γ)"
    STRUCTURE_PRIOR = "p(Γ | h)"
    LIKELIHOOD = "p(y | f)"


@dataclass(frozen=True)
class Parameter:
    """One parameter: its first axis runs over the slots of the weight group numbered `group`, or over members.

    `edge` is the number of the edge whose open functions its second axis runs over.
    """

    role: Role
    group: int | None = None
    edge: int | None = None
