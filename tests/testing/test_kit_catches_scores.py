"""The kit fails for criteria, inner optimisers and metrics that break a promise, and names the one that is broken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from kit import messages

from structflow.plugins import Estimate
from structflow.plugins.registry import registry

CrossValidation: Any = registry().get("criteria", "cross_validation")
Waic: Any = registry().get("criteria", "waic")
Adam: Any = registry().get("inner_optimizers", "adam")
Sgd: Any = registry().get("inner_optimizers", "sgd")
Rmse: Any = registry().get("metrics", "rmse")
Crps: Any = registry().get("metrics", "crps")


class NumbersFromZero(CrossValidation):
    """Has a fold 0, which is the one that learns from all rows."""

    @staticmethod
    def fold_of_row(options, rows, labels, seed):
        return CrossValidation.fold_of_row(options, rows, labels, seed) - 1


class FreshFolds(CrossValidation):
    """Shuffles by no seed."""

    @staticmethod
    def fold_of_row(options, rows, labels, seed):
        return CrossValidation.fold_of_row(options, rows, labels, int(np.random.default_rng().integers(2**31)))


class NegativeFactor(Waic):
    """Pays for distance from the prior."""

    @staticmethod
    def factors(options, given, is_point):
        return replace(Waic.factors(options, given, is_point), c_reg=-1.0)


class Centred(Waic):
    """Takes the mean over members away."""

    @staticmethod
    def score(options, members):
        found = Waic.score(options, members)
        return replace(found, value=found.value - found.value.mean())


class Silent(Waic):
    """Has no error and doesn't say why."""

    @staticmethod
    def score(options, members):
        found = Waic.score(options, members)
        return Estimate(found.value, torch.full_like(found.value, torch.nan))


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (NumbersFromZero, {"folds_part_the_rows"}),
        (FreshFolds, {"folds_part_the_rows"}),
        (NegativeFactor, {"factors_are_factors"}),
        (Centred, {"members_do_not_mix"}),
        (Silent, {"scores_every_member"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_criterion_is_caught(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    assert set(messages(monkeypatch, "criteria", plugin, None)) == rules


class Downhill(Sgd):
    """Goes against the gradient."""

    @staticmethod
    def ascend(options, parameters, gradient, *others):
        return Sgd.ascend(options, parameters, -gradient, *others)


class Normalised(Sgd):
    """Divides by the norm of everybody's gradient, also where it is 0."""

    @staticmethod
    def ascend(options, parameters, gradient, *others):
        return Sgd.ascend(options, parameters, gradient / gradient.norm(), *others)


class Overwrites(Adam):
    """Keeps its state in place."""

    @staticmethod
    def ascend(options, parameters, gradient, state, *others):
        moved, new = Adam.ascend(options, parameters, gradient, state, *others)
        for name, value in new.items():
            state[name].copy_(value)
        return moved, state


class Branches(Adam):
    """Warms up by a branch on the number of the step."""

    @staticmethod
    def ascend(options, parameters, gradient, state, rate, step, members):
        slow = 0.1 if int(step) < 3 else 1.0
        return Adam.ascend(options, parameters, gradient, state, slow * rate, step, members)


class NegativeSizes(Adam):
    """Has the sign of its step sizes wrong."""

    @staticmethod
    def step_sizes(*arguments):
        return -Adam.step_sizes(*arguments)


class SaysMomentum(Adam):
    """Claims that its steps are gradient steps with momentum."""

    @staticmethod
    def momentum(options):
        return 0.9


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (Downhill, {"climbs_a_hill", "momentum_is_that_of_its_steps"}),
        (
            Normalised,
            {"rests_without_a_gradient", "members_do_not_mix", "momentum_is_that_of_its_steps"},
        ),
        (Overwrites, {"changes_nothing_in_place", "branches_on_no_value"}),
        (Branches, {"branches_on_no_value"}),
        (NegativeSizes, {"step_sizes_are_sizes"}),
        (SaysMomentum, {"momentum_is_that_of_its_steps"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_inner_optimizer_is_caught(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    assert set(messages(monkeypatch, "inner_optimizers", plugin, None)) == rules


class UpsideDown(Rmse):
    """Says that large errors are better."""

    better = "higher"


class NumpyNumber(Rmse):
    """Returns no Python float."""

    @staticmethod
    def value(options, predicted, y):
        return np.float32(Rmse.value(options, predicted, y))


class Sorts(Rmse):
    """Sorts the targets that it was given."""

    @staticmethod
    def value(options, predicted, y):
        y.sort(axis=0)
        return Rmse.value(options, predicted, y)


class ForNothing(Rmse):
    """Is for a kind of targets that there isn't."""

    targets = ("images",)


class RootOfMean(Crps):
    """Isn't a mean over rows."""

    @staticmethod
    def value(options, predicted, y):
        return float(np.sqrt(((predicted.draws.mean(axis=0) - y) ** 2).mean()))


class UsesTheMean(Crps):
    """Says that it takes draws, and takes the mean."""

    @staticmethod
    def value(options, predicted, y):
        return float(np.abs(np.resize(predicted.mean, y.shape) - y).mean()) if predicted.mean.size else 0.0


@pytest.mark.parametrize(
    ("plugin", "rule"),
    [
        (UpsideDown, "tells_good_from_bad"),
        (NumpyNumber, "is_a_number"),
        (Sorts, "is_a_number"),
        (ForNothing, "is_for_some_targets"),
        (RootOfMean, "draws_go_by_blocks"),
        (UsesTheMean, "asks_for_what_it_uses"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_metric_is_caught(monkeypatch, plugin, rule):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    assert rule in messages(monkeypatch, "metrics", plugin, None)
