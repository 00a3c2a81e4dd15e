"""Finding the members whose code raises, so that those beside them go on without them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from ..errors import FunctionError, StructflowError
from ..plugins import Candidate
from ..plugins.calling import NO_MEMORY
from .failures import in_one_line

Start = tuple[Candidate, ...]
"""Members that stand or fall together: a structure from one restart, with all its folds."""

Result = TypeVar("Result")

MOST_ATTEMPTS = 5
"""Times that work is tried with ever fewer members; errors that come and go after that many are no member's."""

OF_NO_MEMBER = (StructflowError, MemoryError, OSError, torch.OutOfMemoryError, torch.AcceleratorError)
"""Errors that say nothing of a member: deliberate ones, and those of memory, files and devices."""


def starts_of(members: Iterable[Candidate]) -> list[Start]:
    """The members by structure and restart, in their order; structures together, so that halves part them first."""
    starts: dict[Candidate, list[Candidate]] = {}
    for member in members:
        starts.setdefault(replace(member, fold=0), []).append(member)
    structures = {structure: place for place, structure in enumerate(dict.fromkeys(key.structure for key in starts))}
    return [tuple(starts[key]) for key in sorted(starts, key=lambda key: structures[key.structure])]


def without_failing(
    starts: Sequence[Start],
    work: Callable[[Sequence[Start]], Result],
    trials: Callable[[], Iterable[Callable[[Sequence[Start]], object]]],
    exclude: Callable[[dict[Start, str]], None],
    all_may_fail: bool = True,
) -> Result | None:
    """`work` on those of the starts that don't make it raise; None where all do. `exclude` is given those left out.

    After an error of `work` every one of the `trials` is given ever smaller parts of the starts, until one trial raises
    for some start alone. Those starts are excluded, with the error in one line, and `work` begins again without them.
    Errors of the machine go on to the caller at once, and so does one that no start raises alone, or one after
    `MOST_ATTEMPTS` attempts, or unless `all_may_fail` one that all of several starts raise.
    """
    left, attempts = list(starts), 0
    while left:
        attempts += 1
        try:
            return work(left)
        except Exception as error:  # a third-party basis function may raise anything
            if attempts == MOST_ATTEMPTS or not may_be_of_a_member(error):
                raise
            traceback.clear_frames(error.__traceback__)  # what it was computed with needn't stay in memory
            found = next(filter(None, (failing(left, trial) for trial in trials())), None)
            if found is None or (not all_may_fail and 1 < len(found) == len(left)):
                raise
        exclude(found)
        left = [start for start in left if start not in found]
    return None


def failing(starts: Sequence[Start], trial: Callable[[Sequence[Start]], object]) -> dict[Start, str]:
    """Those for which a trial raises when it is given them alone, with the error; halves that don't raise are passed.

    That takes fewer than 2n trials for n starts, and about 2 log₂ n where one is to blame.
    """
    try:
        trial(starts)
    except Exception as error:
        if not may_be_of_a_member(error):
            raise
        if len(starts) == 1:
            return {starts[0]: in_one_line(error).removeprefix(f"{FunctionError.__name__}: ")}
    else:
        return {}
    middle = len(starts) // 2
    return {**failing(starts[:middle], trial), **failing(starts[middle:], trial)}


def may_be_of_a_member(error: BaseException) -> bool:
    """Whether an error may come from the code of a member rather than from the machine or the study."""
    if isinstance(error, FunctionError):
        return error.__cause__ is None or may_be_of_a_member(error.__cause__)
    return not isinstance(error, OF_NO_MEMBER) and NO_MEMORY not in str(error)
