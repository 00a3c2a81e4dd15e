"""What a regime promises: rounds that are bounded beforehand, and decisions that follow from records alone."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

from ..plan.batching import Batch, make_batches
from ..plugins import Candidate, Decision, RoundBound
from ..plugins.regime_rounds import parent_of
from ..plugins.registry import registry
from ..spec.models import Spec
from ..spec.structures import Structure
from ..store.records import BatchRecord
from .check import PROBLEMS, expect, expect_problems, remedy
from .default_spec import default_spec
from .plugin_tests import PluginTests
from .regime_records import FINISHES, GRAPHS, Game, Round
from .subject import Subject

RESTARTS = (1, 2)
MEMBERS_PER_BATCH = 5


def specs(subject: Subject) -> list[Spec]:
    """Specs that a regime may ask for: all defaults, an objective that repels, a hypergradient with two levels."""
    plain = default_spec(regime=subject.options)
    repelling = plain.model_copy(update={"objective": plain.objective.model_copy(update={"c_comb": -1.0})})
    return [plain, repelling, default_spec({"outer": outer_of_two_levels()}, regime=subject.options)]


def outer_of_two_levels() -> Any:
    """Options of a hypergradient with two levels, the first that is installed."""
    methods = registry().of_kind("hypergradients").values()
    return next(method.options() for method in methods if method.plugin.levels == 2)


def games(subject: Subject) -> Iterator[tuple[str, Game]]:
    """The regime on every space that it accepts under one of the specs."""
    for graph in GRAPHS:
        space = graph.structure_space()
        if all(subject.plugin.conflicts(spec, space) for spec in specs(subject)):
            continue
        for restarts in RESTARTS:
            yield f"{space.count} structures, {restarts} restarts", Game(subject, graph, restarts)


def rounds_of(subject: Subject) -> Iterator[tuple[str, Game, Round]]:
    """Every round of every game, played with members that train well and with some or all that diverge."""
    for name, game in games(subject):
        for how, finish in FINISHES:
            for each in game.play(finish):
                yield f"round {each.index} of {name}, {how}", game, each


def shown(structures: set[Structure]) -> str:
    """The first structures in a message."""
    return ", ".join(sorted(structure.canonical for structure in structures)[:3])


class RegimeTests(PluginTests):
    """Tests of one regime."""

    kind = "regimes"

    @remedy(PROBLEMS)
    def test_conflicts_are_problems(self, subject: Subject) -> None:
        """`conflicts` gives problems with path, message and remedy, the same at every call; some space is accepted."""
        for spec, graph in product(specs(subject), GRAPHS):
            conflicts = partial(subject.plugin.conflicts, spec, graph.structure_space())
            expect_problems(conflicts, f"{graph.structure_space().count} structures")
        expect(
            any(True for _ in games(subject)), "every space that the kit has is refused; give an example that takes one"
        )

    @remedy("return a list of RoundBound from `rounds`, computed from its arguments alone, each with a name of its own")
    def test_rounds_are_bounded(self, subject: Subject) -> None:
        """`rounds` gives one bound or more, names that differ, whole numbers of members, the same at every call."""
        for name, game in games(subject):
            bounds = game.bounds()
            fits = isinstance(bounds, list) and len(bounds) > 0 and all(isinstance(each, RoundBound) for each in bounds)
            expect(fits, f"rounds {bounds!r}, {name}")
            names = [each.name for each in bounds]
            expect(len(set(names)) == len(names), f"rounds named {names}, {name}")
            wrong = [each for each in bounds if type(each.most) is not int or each.most < 0]
            expect(not wrong, f"{wrong}, {name}")
            plain = [dict(each.metaparameters) for each in bounds]
            expect(json.loads(json.dumps(plain)) == plain, f"metaparameters {plain}, {name}")
            expect(game.bounds() == bounds, f"other rounds at the second call, {name}")

    @remedy("raise `most` in `rounds`, or decide for fewer members; `exact` only where the number is always reached")
    def test_rounds_keep_their_bounds(self, subject: Subject) -> None:
        """No round has more members than its bound, nor fewer if it is exact and none diverged; relaxed as it says."""
        for name, _, each in rounds_of(subject):
            members = len(each.decision.candidates)
            exact = each.bound.exact and all(math.isfinite(record.score) for record in each.records)
            expect(members <= each.bound.most, f"{members} members; the bound is {each.bound.most}, {name}")
            expect(members == each.bound.most or not exact, f"{members} members of exactly {each.bound.most}, {name}")
            kinds = {member.structure is None for member in each.decision.candidates}
            expect(
                kinds <= {each.bound.relaxed},
                f"members that are relaxed: {kinds}; the bound says {each.bound.relaxed}, {name}",
            )

    @remedy(
        "choose structures of the space that is given, restarts below `restarts`, and one open set for a relaxed round"
    )
    def test_candidates_are_in_the_space(self, subject: Subject) -> None:
        """Candidates are structures of the space, or relaxations over some of its functions; none is named twice."""
        for name, game, each in rounds_of(subject):
            members = each.decision.candidates
            expect(all(isinstance(member, Candidate) for member in members), f"candidates {members!r}, {name}")
            expect(len(set(members)) == len(members), f"a candidate twice, {name}")
            chosen = {member.structure for member in members if member.structure is not None} | set(
                each.decision.against
            )
            outside = {structure for structure in chosen if structure not in game.space}
            expect(not outside, f"structures outside the space: {shown(outside)}, {name}")
            numbers = {member.restart for member in members}
            expect(all(0 <= number < game.restarts for number in numbers), f"restarts {sorted(numbers)}, {name}")
            expect(len({member.open for member in members}) <= 1, f"relaxed members over several open sets, {name}")
            whole = {edge.key: set(edge.names) for edge in game.space.edges}
            for left in {member.open for member in members if member.open is not None}:
                known = all(key in whole and set(names) <= whole[key] for key, names in left.edges)
                expect(known, f"open functions outside the space: {left.as_dict()}, {name}")
                expect(
                    game.space.restricted(left).count > 0,
                    f"an open set that leaves no structure: {left.as_dict()}, {name}",
                )

    @remedy("name parents with structflow.plugins.regime_rounds.parent_of, from the records that are given")
    def test_parents_came_before(self, subject: Subject) -> None:
        """Parents are members of earlier rounds."""
        for name, _, each in rounds_of(subject):
            before = {parent_of(record) for record in each.records}
            parents = {member.parent for member in each.decision.candidates if member.parent is not None}
            expect(parents <= before, f"parents that weren't trained: {sorted(map(str, parents - before))}, {name}")

    @remedy("keep no state and draw no random numbers in `decide`; break ties by Structure.canonical, not by order")
    def test_decisions_follow_from_records(self, subject: Subject) -> None:
        """The same records give the same decision, in whatever order they come."""
        for name, game, each in rounds_of(subject):
            for order, records in (("the same", each.records), ("the reverse", each.records[::-1])):
                again = game.decide(each.index, list(records))
                same = (
                    list(again.candidates) == list(each.decision.candidates) and again.against == each.decision.against
                )
                expect(same, f"another decision for records in {order} order, {name}")

    @remedy("put plain numbers, tuples and Structures into candidates, as the store writes them")
    def test_decisions_survive_the_store(self, subject: Subject) -> None:
        """Decisions come back equal from pickle, and from batches that were written as JSON."""
        for name, game, each in rounds_of(subject):
            decision: Decision = pickle.loads(pickle.dumps(each.decision))
            expect(decision == each.decision, f"another decision after pickle, {name}")
            batches = make_batches(game.graph, list(decision.candidates), MEMBERS_PER_BATCH)
            texts = [batch.record([()] * len(batch.members)).model_dump_json() for batch in batches]
            stored = [Batch.of_record(BatchRecord.model_validate_json(text)) for text in texts]
            members = {member for batch in stored for member in batch.members}
            expect(members == set(decision.candidates), f"other members after JSON, {name}")
            against = tuple(Structure.from_dict(json.loads(json.dumps(item.as_dict()))) for item in decision.against)
            expect(against == tuple(decision.against), f"other repelling structures after JSON, {name}")
