"""Spaces and records for tests of what regimes decide, which are pure functions of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from structflow.plugins import Candidate, Decision, MemberRecord, RoundBound
from structflow.plugins.regime_rounds import parent_of
from structflow.plugins.registry import registry
from structflow.spec.models import Spec
from structflow.spec.searched import open_problems
from structflow.spec.structures import EdgeChoice, Structure, StructureSpace

SPACE = StructureSpace(
    (
        EdgeChoice("x->h", ("a", "b", "c"), "one", sizes={(None, None): (5, 3, 3)}),
        EdgeChoice("h->y", ("d", "e"), "any", sizes={(None, None): (2, 1)}),
    )
)
"""3 functions × 3 subsets, and the empty subset, with which it doesn't matter what h is: the simplest structure."""


def structure(one: str, many: str = "") -> Structure:
    """A structure of `SPACE`: `structure("a", "de")`; all with the empty subset are the same."""
    return SPACE.canonical_form(Structure((("x->h", (one,)), ("h->y", tuple(many)))))


def options(type_name: str, **keys: Any) -> Any:
    return registry().of_kind("regimes")[type_name].options(**keys)


def rounds(type_name: str, space: StructureSpace, restarts: int, **keys: Any) -> list[RoundBound]:
    plugin = registry().get("regimes", type_name)
    found: list[RoundBound] = plugin.rounds(options(type_name, **keys), space, restarts)
    return found


def decide(
    type_name: str, space: StructureSpace, restarts: int, index: int, records: Sequence[MemberRecord], **keys: Any
) -> Decision:
    plugin = registry().get("regimes", type_name)
    decision: Decision = plugin.decide(options(type_name, **keys), space, restarts, index, records)
    return decision


def spec(**sections: Any) -> Spec:
    """The spec whose space is `SPACE`, with sections."""
    named = [{"type": "linear", "name": name} for name in "abcde"]
    edges = [
        {"from": "x", "to": "h", "choose": "one", "basis": named[:3]},
        {"from": "h", "to": "y", "choose": "any", "basis": named[3:]},
    ]
    model = {"nodes": {"x": {}, "h": {"shape": [1]}, "y": {}}, "edges": edges}
    data = {"source": "synthetic", "rows": 10, "inputs": 1, "formula": "x0"}
    return Spec.model_validate({"data": data, "model": model, **sections})


def problems(regime: Mapping[str, Any], space: StructureSpace = SPACE, **sections: Any) -> dict[str, str]:
    """Messages by path of what is wrong with `open`, or else of what the regime finds wrong."""
    given = spec(regime=regime, **sections)
    found = open_problems(given, space) or registry().get("regimes", given.regime.type).conflicts(given, space)
    assert all(problem.suggestion for problem in found)
    return {problem.path: problem.message for problem in found}


def number_from(*parts: object) -> int:
    """A whole number that depends on the parts, the same in every process."""
    return zlib.crc32(repr(parts).encode())


Finish = Callable[[Candidate, int], MemberRecord]
"""What training would find of a member of a round."""


def play(type_name: str, space: StructureSpace, restarts: int, finish: Finish, **keys: Any) -> list[Decision]:
    """All rounds of a regime, its members finished by `finish`; checks that no round exceeds its bound."""
    records: list[MemberRecord] = []
    decisions = []
    for index, bound in enumerate(rounds(type_name, space, restarts, **keys)):
        decision = decide(type_name, space, restarts, index, records, **keys)
        assert decide(type_name, space, restarts, index, records[::-1], **keys) == decision  # order doesn't matter
        assert len(decision.candidates) <= bound.most
        assert len(decision.candidates) == bound.most or not bound.exact
        assert all((candidate.structure is None) == bound.relaxed for candidate in decision.candidates)
        assert len(set(decision.candidates)) == len(decision.candidates)
        assert len({candidate.open for candidate in decision.candidates}) <= 1
        finished = {parent_of(record) for record in records}
        assert {candidate.parent for candidate in decision.candidates} <= {None, *finished}
        records += [finish(candidate, index) for candidate in decision.candidates]
        decisions.append(decision)
    return decisions
