"""The trained members of earlier rounds that members start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..objective.bound import Bound
from ..objective.members import stack
from ..objective.parameters import Parameters
from ..plan.batching import make_batches
from ..plan.plan import trains_alone
from ..plan.tasks import Task
from ..plugins import Candidate
from ..store.records import DecideRecord
from .context import RunContext
from .decided import batches_in, keys_of_parents
from .populations import parameters_of
from .shared_records import derived


@dataclass(frozen=True)
class Parents:
    """Parents that are laid out alike, after their last stage; `pairs` gives for numbers of children theirs."""

    round: int
    bound: Bound
    parameters: Parameters
    pairs: Mapping[int, int]


def parents_of(context: RunContext, setting: int, members: Sequence[Candidate]) -> Iterator[Parents]:
    """The parents of those members that have some, as populations of those that can be laid out together.

    A parent whose code raised has nothing to start from.
    """
    keys = keys_of_parents(context.directory, members, setting)
    wanted = sorted({key for key in keys if key is not None})
    failed = {entry.key for entry in context.directory.members.read(wanted) if entry.digest is None}
    for round_index in sorted({member.parent.round for member in members if member.parent is not None}):
        by_key = derived(context.directory, Task("decide", setting, round_index), DecideRecord, members_by_key)
        parents = {by_key[key]: key for key in keys if key is not None and key in by_key and key not in failed}
        spec = context.round_stages(setting, round_index)[-1]
        alone = trains_alone(spec, context.plan.settings[setting].rounds[round_index].relaxed)
        for batch in make_batches(context.study.graph, list(parents), len(parents), alone):
            bound = context.bound(context.population(batch, spec), spec)
            own = parameters_of(context.directory, [parents[parent] for parent in batch.members])
            numbers = {parents[parent]: number for number, parent in enumerate(batch.members)}
            pairs = {child: numbers[key] for child, key in enumerate(keys) if key is not None and key in numbers}
            yield Parents(round_index, bound, stack(own, bound), pairs)


def members_by_key(decision: DecideRecord) -> dict[str, Candidate]:
    """The members of a round by their keys after the last stage."""
    return {
        own[-1]: member
        for decided in batches_in(decision)
        for member, own in zip(decided.members, decided.keys, strict=True)
    }
