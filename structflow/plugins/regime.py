"""The contract of a regime: the rule that says which members are trained after which."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from ..errors import Problem
from .options import Options
from .plugin import Plugin

if TYPE_CHECKING:
    from ..spec.structures import OpenSet, Structure, StructureSpace


@dataclass(frozen=True)
class Parent:
    """An earlier member whose trained parameters a member starts from: what it was, and in which round."""

    round: int
    structure: Structure | None
    open: OpenSet | None
    restart: int


@dataclass(frozen=True)
class Removal:
    """Single weights to remove from a member's parent before it is trained on: the least relevant by a criterion.

    `criterion` is the type of a relevance, and `share` the part of all the member's weights that are removed in the
    end, those that the parent lacks among them.
    """

    criterion: str
    share: float


@dataclass(frozen=True)
class Candidate:
    """What one member trains: a discrete structure, or (None) the relaxation over the functions that are `open`.

    `open` None stands for every function that the spec lets the regime choose. All relaxed members of a round have
    the same open set. `parent` is where the member's parameters come from, None for a fresh start. `removed` are single
    weights of a discrete member that are held at zero; without a parent only a share of 0 can be.
    """

    structure: Structure | None
    restart: int
    open: OpenSet | None = None
    parent: Parent | None = None
    fold: int = 0
    removed: Removal | None = None

    @property
    def is_pruned(self) -> bool:
        """Whether some of its weights are pruned: its score then depends on a mask that was chosen from the data."""
        return self.removed is not None and self.removed.share > 0


@dataclass(frozen=True)
class RoundBound:
    """What a round can grow to, known before any training.

    `relaxed` says whether its members are relaxed, `most` how many members it can have, `exact` whether it has
    exactly that many. `metaparameters` are keys of the spec's `objective` that have other values in this round.
    """

    name: str
    relaxed: bool
    most: int
    exact: bool
    metaparameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """The members of a round, none where it passes through.

    `against` are structures that the round's relaxed objective is repelled from or drawn to, by the sign of
    `objective.c_comb`, beside those of the spec.
    """

    candidates: Sequence[Candidate]
    against: tuple[Structure, ...] = ()


@dataclass(frozen=True)
class MemberRecord:
    """What a later round may know of a finished member.

    `score` is its bound with all c = 1, with log p(Γ) where it is discrete, and `objective` the value of its round's
    own Q, both −∞ where it diverged or its code raised; in the second case nothing else is known. For a relaxed member
    `rounded` is the structure it rounds to (None where it diverged) and `probabilities` holds for every edge with a
    choice P(a rounded γ picks the function) by name, 0 for functions that aren't open.
    """

    candidate: Candidate
    round: int
    score: float
    objective: float
    rounded: Structure | None = None
    probabilities: Mapping[str, Mapping[str, float]] | None = None


class RegimeOptions(Options):
    """Keys that every regime takes."""

    open: dict[str, tuple[str, ...]] = Field(
        {},
        description="For an edge, as `x->h`, the functions that may be chosen; all of them on edges it doesn't name.",
    )


class Regime(Plugin):
    """A trajectory over rounds. `decide` is a pure function of the space, the settings and the records so far.

    The space that `rounds` and `decide` are given holds only the functions that the key `open` leaves.
    """

    Options: ClassVar[type[Options]] = RegimeOptions

    @staticmethod
    def conflicts(spec: Any, space: StructureSpace) -> list[Problem]:
        """Settings of the validated spec, or a space of structures (the whole one), that it can't work with."""
        return []

    @staticmethod
    @abstractmethod
    def rounds(options: Any, space: StructureSpace, restarts: int) -> list[RoundBound]:
        """The rounds and their bounds, in order."""

    @staticmethod
    @abstractmethod
    def decide(
        options: Any, space: StructureSpace, restarts: int, round_index: int, records: Sequence[MemberRecord]
    ) -> Decision:
        """The members of round `round_index`, given the records of all earlier rounds; ties by canonical order."""
