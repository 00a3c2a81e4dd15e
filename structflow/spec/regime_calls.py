"""What a regime is asked: its rounds and the members of one, which are checked before they are used."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..plugins import Candidate, Decision, MemberRecord, RoundBound
from ..plugins.calling import Calling, broken_contract
from ..plugins.regime_rounds import parent_of
from ..plugins.registry import registry
from .models import Spec
from .searched import searched_space
from .structures import StructureSpace

MOST_SHOWN = 300
"""Characters of a value in a message."""


def regime_rounds(spec: Spec, space: StructureSpace) -> list[RoundBound]:
    """The rounds of the spec's regime over a space of structures; raises `PluginError` where they aren't rounds."""
    regime, method = registry().get("regimes", spec.regime.type), "rounds"
    searched = searched_space(space, spec.regime)
    with Calling(regime, method):
        rounds: list[Any] = list(regime.rounds(spec.regime, searched, spec.optimizer.restarts))
    if not rounds:
        raise broken_contract(regime, method, "no rounds", "at least one RoundBound")
    for each in rounds:
        wrong = wrong_round(each, spec)
        if wrong is not None:
            raise broken_contract(regime, method, *wrong)
    names = [each.name for each in rounds]
    if len(set(names)) < len(names):
        raise broken_contract(regime, method, f"rounds named {names}", "a name of its own for each")
    return rounds


def wrong_round(bound: Any, spec: Spec) -> tuple[str, str] | None:
    """What is wrong with a bound, and what is expected in its place."""
    if not isinstance(bound, RoundBound) or not isinstance(bound.name, str):
        return shown(bound), "a list of structflow.plugins.RoundBound"
    if type(bound.most) is not int or bound.most < 0:
        return f"most={bound.most!r} for round {bound.name!r}", "a whole number of members"
    metaparameters: Any = bound.metaparameters
    if not isinstance(metaparameters, Mapping):
        return f"metaparameters={metaparameters!r} for round {bound.name!r}", "a dictionary"
    known = type(spec.objective).model_fields
    for name, value in metaparameters.items():
        if name not in known or isinstance(value, bool) or not isinstance(value, int | float):
            got = f"the metaparameter {name!r} of {shown(value)} for round {bound.name!r}"
            return got, f"numbers by the names of the keys of `objective`: {', '.join(known)}"
    return None


def regime_decision(spec: Spec, space: StructureSpace, round_index: int, records: Sequence[MemberRecord]) -> Decision:
    """The members of a round, given the records of the rounds before; raises `PluginError` where they can't be."""
    regime, method = registry().get("regimes", spec.regime.type), "decide"
    searched = searched_space(space, spec.regime)
    with Calling(regime, method):
        decision: Any = regime.decide(spec.regime, searched, spec.optimizer.restarts, round_index, records)
        if isinstance(decision, Decision):
            decision = replace(decision, candidates=list(decision.candidates), against=tuple(decision.against))
    if not isinstance(decision, Decision):
        raise broken_contract(regime, method, shown(decision), "a structflow.plugins.Decision")
    known = {parent_of(record) for record in records}
    wrong = None
    for each in decision.candidates:
        wrong = wrong or wrong_candidate(each, searched, spec.optimizer.restarts, known)
    outside = [structure for structure in decision.against if structure not in space]
    if outside:
        wrong = wrong or (f"against {shown(outside[0])}", "structures of the space that it is given")
    wrong = wrong or wrong_together(decision.candidates)
    if wrong is not None:
        raise broken_contract(regime, method, f"{wrong[0]} in round {round_index}", wrong[1])
    return in_canonical_form(decision, searched)


def in_canonical_form(decision: Decision, space: StructureSpace) -> Decision:
    """A decision in which each candidate trains the canonical structure, and of equal candidates only the first.

    A regime may name any combination of choices; what has no effect is not trained a second time.
    """
    candidates: dict[Candidate, Candidate] = {}
    for each in decision.candidates:
        found = each if each.structure is None else replace(each, structure=space.canonical_form(each.structure))
        candidates.setdefault(replace(found, parent=None), found)
    against = dict.fromkeys(space.canonical_form(structure) for structure in decision.against)
    return replace(decision, candidates=list(candidates.values()), against=tuple(against))


def wrong_candidate(
    candidate: Any, space: StructureSpace, restarts: int, parents: Collection[Any]
) -> tuple[str, str] | None:
    """What is wrong with a member, and what is expected in its place."""
    if not isinstance(candidate, Candidate):
        return shown(candidate), "a list of structflow.plugins.Candidate"
    if candidate.structure is not None and candidate.structure not in space:
        return f"the structure {shown(candidate.structure)}", "structures of the space that it is given"
    if type(candidate.restart) is not int or not 0 <= candidate.restart < restarts:
        return f"the restart {candidate.restart!r}", f"a whole number from 0 to {restarts - 1}"
    if candidate.fold != 0:
        return f"the fold {candidate.fold!r}", "fold 0: a run itself adds the members that hold rows out"
    if candidate.parent is not None and candidate.parent not in parents:
        return f"the parent {shown(candidate.parent)}", "a member of an earlier round, as `parent_of(record)` gives it"
    if candidate.open is not None:
        whole = {edge.key: set(edge.names) for edge in space.edges}
        inside = all(key in whole and set(names) <= whole[key] for key, names in candidate.open.edges)
        if not inside or space.restricted(candidate.open).count == 0:
            return f"the open set {candidate.open.as_dict()}", "functions of the space, enough to choose from"
    return None


def wrong_together(candidates: Sequence[Candidate]) -> tuple[str, str] | None:
    """What is wrong with the members of a round beside one another."""
    if len(set(candidates)) < len(candidates):
        twice = next(each for number, each in enumerate(candidates) if each in candidates[:number])
        return f"{shown(twice)} twice", "every member once"
    if len({candidate.structure is None for candidate in candidates}) > 1:
        return "relaxed members beside structures", "only the one or the other in a round"
    if len({candidate.open for candidate in candidates}) > 1:
        return "relaxed members over several open sets", "one open set for all members of a round"
    return None


def shown(value: Any) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"
