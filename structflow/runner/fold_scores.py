"""Scores of members that learn from all rows, where those of parts of the rows have a share in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..plugins import Candidate
from ..spec.criterion_calls import combined_score, criterion_of, fold_count
from ..spec.models import Spec
from ..store.records import TrainedMember


class Judged(NamedTuple):
    """A member after its last stage: its round, what it is, and what its record says."""

    round: int
    member: Candidate
    found: TrainedMember


def of_all_rows(spec: Spec, judged: Iterable[Judged]) -> list[Judged]:
    """Those that learn from all rows, in order; with criteria `of_parts` their score is combined with those of parts.

    Of every part the best restart of a structure in the same round counts: the difference of two maxima, and not the
    largest difference, which would prefer a restart whose part was trained badly.
    """
    everyone = list(judged)
    whole = [each for each in everyone if each.member.fold == 0]
    if not criterion_of(spec).of_parts:
        return whole
    best: dict[tuple[int, Candidate], dict[int, float]] = {}
    for each in everyone:
        score, fold = each.found.score, each.member.fold
        if fold > 0 and score is not None:
            parts = best.setdefault(key_of(each), {})
            parts[fold] = max(score, parts.get(fold, score))
    return [with_parts(spec, each, list(best.get(key_of(each), {}).values())) for each in whole]


def with_parts(spec: Spec, each: Judged, parts: Sequence[float]) -> Judged:
    """A member with its combined score; none where a part has none."""
    score = each.found.score
    if score is not None:
        score = combined_score(spec, score, parts) if len(parts) == fold_count(spec) else None
    return each._replace(found=each.found.model_copy(update={"score": score}))


def key_of(each: Judged) -> tuple[int, Candidate]:
    """What the restarts and folds of a structure in a round have in common."""
    return each.round, replace(each.member, restart=0, fold=0, parent=None)
