"""The contract of a regime: the rule that says which members are trained after which."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import Problem
from .plugin import Plugin

if TYPE_CHECKING:
    from ..spec.structures import Structure, StructureSpace


@dataclass(frozen=True)
class Candidate:
    """What one member trains: a discrete structure, or (None) the relaxation over all of them."""

    structure: Structure | None
    restart: int


@dataclass(frozen=True)
class RoundBound:
    """What a round can grow to, known before any training.

    `relaxed` says whether its members are relaxed, `most` how many members it can have, `exact` whether it has
    exactly that many.
    """

    name: str
    relaxed: bool
    most: int
    exact: bool


@dataclass(frozen=True)
class MemberRecord:
    """What a later round may know of a finished member: its score and, if relaxed, the structure it rounds to."""

    candidate: Candidate
    score: float
    rounded: Structure | None


class Regime(Plugin):
    """A trajectory over rounds. `decide` is a pure function of the space, the settings and the records so far."""

    @staticmethod
    def conflicts(spec: Any, space: StructureSpace) -> list[Problem]:
        """Settings of the validated spec, or a space of structures, that this regime can't work with."""
        return []

    @staticmethod
    @abstractmethod
    def rounds(options: Any, space: StructureSpace, restarts: int) -> list[RoundBound]:
        """The rounds and their bounds, in order."""

    @staticmethod
    @abstractmethod
    def decide(
        options: Any, space: StructureSpace, restarts: int, round_index: int, records: Sequence[MemberRecord]
    ) -> list[Candidate]:
        """The members of round `round_index`, given the records of all earlier rounds; ties by canonical order."""
