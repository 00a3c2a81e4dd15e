"""What a metric promises: a number that says which of two predictions is better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import numpy as np

from ..evidence.metrics import MemberPrediction
from ..plugins import TargetKind
from .check import expect, remedy
from .plugin_tests import PluginTests
from .subject import Subject

ROWS, DRAWS, CLASSES = 60, 400, 3
SEED = 71
NONE = np.empty(0)

Case = tuple[MemberPrediction, np.ndarray]
"""A prediction, and the targets."""


def numbers(target: TargetKind, rng: np.random.Generator, is_good: bool) -> Case:
    """Normal targets or counts, and predictions that know their means, or are off by far."""
    if target == "counts":
        rate = rng.uniform(2, 6, (ROWS, 1))
        y, mean = rng.poisson(rate).astype(float), rate + (0 if is_good else 8)
        draws = rng.poisson(np.broadcast_to(mean, (DRAWS, ROWS, 1))).astype(float)
        density = y * np.log(mean) - mean
    else:
        truth = rng.standard_normal((ROWS, 1))
        y, mean = truth + 0.5 * rng.standard_normal((ROWS, 1)), truth + (0 if is_good else 3)
        draws = mean + 0.5 * rng.standard_normal((DRAWS, ROWS, 1))
        density = -2 * (y - mean) ** 2
    pit = (draws < y).mean(0) + rng.random((ROWS, 1)) * (draws == y).mean(0)
    return MemberPrediction(target, mean, density[:, 0], pit, draws), y


def labels(target: TargetKind, rng: np.random.Generator, is_good: bool) -> Case:
    """Labels, and probabilities of 0.9 for the right one, or for a wrong one."""
    width = CLASSES if target == "classes" else 2
    right = rng.integers(0, width, ROWS)
    shown = right if is_good else (right + 1) % width
    chances = np.full((ROWS, width), 0.1 / (width - 1))
    chances[np.arange(ROWS), shown] = 0.9
    density = np.log(chances[np.arange(ROWS), right])
    drawn = np.stack([rng.multinomial(1, row, DRAWS) for row in chances], axis=1).astype(float)
    y = right.reshape(-1, 1).astype(float)
    if target == "classes":
        return MemberPrediction(target, chances, density, NONE, drawn), y
    return MemberPrediction(target, chances[:, 1:], density, NONE, drawn[..., 1:]), y


def case(target: TargetKind, is_good: bool = True) -> Case:
    """A good or a bad prediction of targets of a kind."""
    make = numbers if target in ("continuous", "counts") else labels
    return make(target, np.random.default_rng(SEED), is_good)


def cases(subject: Subject) -> Iterator[tuple[TargetKind, MemberPrediction, np.ndarray]]:
    """A good prediction of every kind of targets that the metric is for."""
    for target in subject.plugin.targets:
        yield target, *case(target)


def value(subject: Subject, predicted: MemberPrediction, y: np.ndarray) -> float:
    """What the metric says."""
    found: float = subject.plugin.value(subject.options, predicted, y)
    return found


class MetricTests(PluginTests):
    """Tests of one metric."""

    kind = "metrics"

    @remedy("list in `targets` some of continuous, counts, classes and binary, each once")
    def test_is_for_some_targets(self, subject: Subject) -> None:
        """`targets` is a tuple of kinds of targets."""
        targets, known = subject.plugin.targets, get_args(TargetKind)
        fits = isinstance(targets, tuple) and bool(targets) and set(targets) <= set(known)
        expect(fits and len(set(targets)) == len(targets), f"{targets!r}")

    @remedy("return one Python float, finite where the prediction is: convert with float()")
    def test_is_a_number(self, subject: Subject) -> None:
        """`value` is a finite float, the same for the same, and leaves its arguments as they are."""
        for target, predicted, y in cases(subject):
            kept = [array.copy() for array in (predicted.mean, predicted.draws, y)]
            first, again = value(subject, predicted, y), value(subject, predicted, y)
            expect(type(first) is float and bool(np.isfinite(first)), f"{first!r} for {target}")
            expect(first == again, f"{again!r} after {first!r} for {target}")
            same = all(map(np.array_equal, kept, (predicted.mean, predicted.draws, y)))
            expect(same, f"arguments were changed for {target}")

    @remedy("set `better` to 'higher' or 'lower' as `value` has it")
    def test_tells_good_from_bad(self, subject: Subject) -> None:
        """A prediction that knows what can be known is better than one that is far off."""
        for target, predicted, y in cases(subject):
            good, bad = value(subject, predicted, y), value(subject, *case(target, is_good=False))
            right = good > bad if subject.plugin.better == "higher" else good < bad
            expect(right, f"{good:.4g} for a good prediction and {bad:.4g} for a bad one of {target}")

    @remedy("average over rows where the metric `needs_draws`: it is asked for blocks of rows")
    def test_draws_go_by_blocks(self, subject: Subject) -> None:
        """Of a metric that needs draws, the value for all rows is the mean of those for two halves."""
        if not subject.plugin.needs_draws:
            return
        for target, predicted, y in cases(subject):
            parts = [slice(None, ROWS // 2), slice(ROWS // 2, None)]
            found = [value(subject, replace(predicted, draws=predicted.draws[:, part]), y[part]) for part in parts]
            whole = value(subject, predicted, y)
            close = abs(float(np.mean(found)) - whole) <= 1e-9 * max(1.0, abs(whole))
            expect(close, f"{found} of halves and {whole} of all rows of {target}")

    @remedy("take from `predicted` only what the class says that it needs; one that `needs_draws` takes nothing else")
    def test_asks_for_what_it_uses(self, subject: Subject) -> None:
        """Without what the metric doesn't say that it needs, its value is the same."""
        for target, predicted, y in cases(subject):
            less = replace(predicted, mean=NONE, log_density=NONE) if subject.plugin.needs_draws else predicted
            less = less if subject.plugin.needs_draws else replace(less, draws=NONE)
            less = less if subject.plugin.needs_pit else replace(less, pit=NONE)
            expect(
                value(subject, less, y) == value(subject, predicted, y), f"another value without the rest of {target}"
            )
