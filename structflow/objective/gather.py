"""Trained members of several populations put together into the parameters of another one, number by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ..errors import CallError
from .bound import Bound
from .inherit import numbers, slot_pairs
from .parameters import Parameters


@dataclass(frozen=True)
class Source:
    """A trained population: its bound and parameters; `pairs` gives for new members their numbers in it."""

    bound: Bound
    parameters: Parameters
    pairs: Mapping[int, int]


def gather_parameters(fresh: Parameters, bound: Bound, sources: Sequence[Source]) -> Parameters:
    """The sources' values of every parameter of `bound`'s population, which `fresh` has in names and shapes.

    The members must be what they were there: the same functions in the same order, trained under the same priors and
    posterior. Slots of `fresh` that no member uses keep their values; dtypes are those of the sources. Raises
    `CallError` where a source lacks a parameter or has it in another shape.
    """
    owners = bound.owners()
    gathered = dict(fresh)
    for source in sources:
        places = {group.name: place for place, group in enumerate(source.bound.population.layout.groups)}
        for name, value in gathered.items():
            owner = owners.get(name)
            if owner is None:
                rows = dict(source.pairs)
            else:
                group = bound.population.layout.groups[owner].name
                if group not in places:  # none of these members uses it
                    continue
                rows = slot_pairs(bound.population, owner, source.bound.population, places[group], source.pairs)
            if not rows:
                continue
            known = source.parameters.get(name)
            if known is None or known.shape[1:] != value.shape[1:]:
                found = "nothing" if known is None else f"values of shape {tuple(known.shape[1:])}"
                raise CallError(f"got {found} for {name} of a trained member; expected shape {tuple(value.shape[1:])}")
            picked = known.index_select(0, numbers(rows.values()))
            gathered[name] = value.to(known.dtype).index_copy(0, numbers(rows.keys()), picked)
    return gathered


def gather_columns(sources: Sequence[tuple[Mapping[str, torch.Tensor], Mapping[int, int]]], members: int) -> Parameters:
    """Arrays with the members on their last axis, (…, M), put together by the same pairs; names that all have."""
    names = set.intersection(*(set(arrays) for arrays, _ in sources)) if sources else set()
    gathered: Parameters = {}
    for name in sorted(names):
        first = sources[0][0][name]
        value = first.new_full((*first.shape[:-1], members), float("nan"))
        for arrays, pairs in sources:
            value = value.index_copy(-1, numbers(pairs.keys()), arrays[name].index_select(-1, numbers(pairs.values())))
        gathered[name] = value
    return gathered
