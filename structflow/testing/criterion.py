"""What a criterion promises: factors of both levels, folds that part the rows, and scores of trained members."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from ..evidence.criterion import ScoredPopulation
from ..evidence.trained import TrainedPopulation
from ..plugins import Estimate, LevelFactors
from .check import PROBLEMS, expect, expect_problems, remedy
from .default_spec import default_spec
from .numbers import DOUBLE, copies, expect_close, expect_finite, expect_shape
from .plugin_tests import PluginTests
from .relevance import BATCH_MATES, POSTERIORS, RESTARTS, bent_or_constant, only, parameters_of
from .subject import Subject

SAMPLES = 32
ROWS = 40
SEEDS = (0, 1, 2**62)
GIVEN = LevelFactors(0.5, 2.0, 1.0, 0.0)
LABELS = {
    "numbers": None,
    "classes": np.arange(ROWS) % 3,
    "a class of a single row": (np.arange(ROWS) == 7).astype(float),
}
"""Targets of the rows that folds are asked for."""


def score(subject: Subject, trained: TrainedPopulation) -> Estimate:
    """The scores of members."""
    terms = list(trained.sample_terms(SAMPLES, "score"))
    members = ScoredPopulation(trained, terms, lambda: trained, SAMPLES, "score")
    found: Estimate = subject.plugin.score(subject.options, members)
    return found


def populations(subject: Subject) -> Iterator[tuple[str, TrainedPopulation]]:
    """Members with every posterior that the criterion may be given."""
    for name, posterior in POSTERIORS.items():
        is_point = posterior == POSTERIORS["a point"]
        if not (subject.plugin.needs_density if is_point else subject.plugin.trains_point):
            yield name, bent_or_constant(posterior, RESTARTS).evaluated(parameters_of(posterior))


def folds(subject: Subject, labels: np.ndarray | None, seed: int = 0) -> np.ndarray:
    """Which fold holds out each row."""
    found: np.ndarray = subject.plugin.fold_of_row(subject.options, ROWS, labels, seed)
    return found


class CriterionTests(PluginTests):
    """Tests of one criterion."""

    kind = "criteria"

    @remedy("set `label` to what a table calls the score, such as 'AIC score'")
    def test_has_a_label(self, subject: Subject) -> None:
        """`label` is a short text of one line."""
        label = subject.plugin.label
        expect(isinstance(label, str) and bool(label.strip()) and "\n" not in label and len(label) <= 20, f"{label!r}")

    @remedy("set at most one of `trains_point` and `needs_density`: a point has no density")
    def test_trains_what_it_needs(self, subject: Subject) -> None:
        """A criterion that needs a density of q doesn't train a point, nor does one that ranks by an estimator."""
        plugin = subject.plugin
        expect(not (plugin.trains_point and plugin.needs_density), "trains_point and needs_density")
        expect(not (plugin.fold_count(subject.options) and plugin.by_estimator), "folds, and by_estimator")

    @remedy("return a structflow.plugins.LevelFactors from `factors`, each a number or a schedule of the spec")
    def test_factors_are_factors(self, subject: Subject) -> None:
        """`factors` gives c_reg, c_train, c_prior and c_comb, none of the first three negative, for any q."""
        for is_point in (False, True):
            found = subject.plugin.factors(subject.options, GIVEN, is_point)
            expect(isinstance(found, LevelFactors), f"{found!r}")
            expect(all(isinstance(value, float) for value in vars(found).values()), f"{found!r}")
            expect(min(found.c_reg, found.c_train, found.c_prior) >= 0, f"{found!r}")

    @remedy(PROBLEMS)
    def test_problems_are_problems(self, subject: Subject) -> None:
        """`conflicts` and `fold_problems` are lists of problems; none with a default spec or many rows."""
        plugin, options = subject.plugin, subject.options
        spec = default_spec(criterion=options)
        calls = [partial(plugin.conflicts, spec), *(partial(plugin.fold_problems, options, n) for n in (2, 10_000))]
        found = [expect_problems(call, subject.about) for call in calls]
        expect(not found[0] and not found[-1], f"problems {found[0]} with a default spec, {found[-1]} with 10,000 rows")

    @remedy("number the folds from 1, give every fold some rows and leave some to learn from; draw from `seed` alone")
    def test_folds_part_the_rows(self, subject: Subject) -> None:
        """`fold_of_row` gives (rows,) whole numbers: every fold from 1 to `fold_count` has rows and lacks some."""
        count = subject.plugin.fold_count(subject.options)
        expect(type(count) is int and count >= 0, f"a fold_count of {count!r}")
        if count == 0 or subject.plugin.fold_problems(subject.options, ROWS):
            return
        for name, labels in LABELS.items():
            for seed in SEEDS:
                found = folds(subject, labels, seed)
                expect(found.shape == (ROWS,), f"{found.shape} for {ROWS} rows of {name}")
                expect(np.issubdtype(found.dtype, np.integer), f"{found.dtype} for {name}")
                sizes = np.bincount(found, minlength=count + 1)
                expect(
                    len(sizes) == count + 1 and sizes[1:].min() > 0,
                    f"rows {sizes.tolist()} of folds 0, 1, … for {name}",
                )
                expect(sizes[1:].max() < ROWS, f"all rows in one fold for {name}")
                expect(np.array_equal(found, folds(subject, labels, seed)), f"other folds the second time for {name}")

    @remedy("return Estimate(value, standard_error), both (members,) in float64; NaN only with a reason")
    def test_scores_every_member(self, subject: Subject) -> None:
        """Scores are finite, (members,) in float64; their errors aren't negative, and NaN only with a reason."""
        for name, trained in populations(subject):
            found = score(subject, trained)
            for what, value in (("value", found.value), ("standard_error", found.standard_error)):
                expect_shape(value, (trained.size,), f"{what} for {name}")
                expect(value.dtype == DOUBLE, f"{what} for {name} in {value.dtype}")
            expect_finite(found.value, f"scores for {name}")
            unknown = [number for number, nan in enumerate(found.standard_error.isnan().tolist()) if nan]
            expect(sorted(found.unsure) == unknown, f"errors {found.standard_error.tolist()}, unsure {found.unsure}")
            expect(bool((found.standard_error.nan_to_num(0.0) >= 0).all()), f"errors {found.standard_error.tolist()}")

    @remedy("draw nothing: terms and log likelihoods have their noise already; change nothing in place")
    def test_repeats_itself(self, subject: Subject) -> None:
        """The same members get the same scores, and their parameters stay as they are."""
        for name, trained in populations(subject):
            before = copies(trained.bound.labelled(trained.parameters))
            expect_close(
                score(subject, trained).value, score(subject, trained).value, f"a second score for {name}", 0.0
            )
            now = trained.bound.labelled(trained.parameters)
            for key, value in before.items():
                expect_close(now[key], value, f"after the score for {name}, parameter {key}", 0.0)

    @remedy("compute every member from its own terms: nothing is averaged or normalised over members")
    def test_members_do_not_mix(self, subject: Subject) -> None:
        """A member's score doesn't depend on the members beside it."""
        for name, together in populations(subject):
            fewer = bent_or_constant(POSTERIORS[name], RESTARTS[1:])
            whole, alone = score(subject, together), score(subject, fewer.evaluated(only(together, fewer)))
            mine = slice(1, None, len(RESTARTS))
            expect_close(alone.value, whole.value[mine], f"the score alone for {name}", BATCH_MATES)

    @remedy("open no context that outlives the call: torch.no_grad() as `with`, not set_grad_enabled")
    def test_leaves_torch_as_it_was(self, subject: Subject) -> None:
        """Gradients are switched on after a score if they were before."""
        with torch.enable_grad():
            score(subject, next(populations(subject))[1])
            expect(torch.is_grad_enabled(), "gradients switched off after the score")
