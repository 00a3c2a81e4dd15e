"""The kit fails for hypergradients, estimators, regimes and trackers that break a promise, and for broken packages."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from kit import messages, odd_tests, package_tests

from structflow.plugins import Candidate, Decision, Estimate, EvidenceEstimator, OuterGradient, Tracker
from structflow.plugins.registry import Broken, Registry, registry
from structflow.testing import TrackerTests
from structflow.testing import package_tests as package_module

Hoag: Any = registry().get("hypergradients", "hoag")


class MixesMembers(Hoag):
    """Adds the mean over everything."""

    @staticmethod
    def gradient(options, point):
        found = Hoag.gradient(options, point)
        mean = found.gradient.mean() * torch.ones_like(found.gradient)
        return OuterGradient(torch.where(point.of_theta, found.gradient, found.gradient + mean), found.report)


class AlongTheta(Hoag):
    """Leaves ∇Q along θ in place."""

    @staticmethod
    def gradient(options, point):
        return OuterGradient(point.outer_gradient())


class Downhill(Hoag):
    """Has the wrong sign."""

    @staticmethod
    def gradient(options, point):
        found = Hoag.gradient(options, point)
        return replace(found, gradient=-found.gradient)


class Noisy(Hoag):
    """Is random."""

    @staticmethod
    def gradient(options, point):
        found = Hoag.gradient(options, point)
        return replace(found, gradient=found.gradient * (1 + 1e-8 * torch.rand((), dtype=torch.float64)))


class ScalarReport(Hoag):
    """Reports one number for all members."""

    @staticmethod
    def gradient(options, point):
        found = Hoag.gradient(options, point)
        return replace(found, report={"residual": found.report["residual"].sum()})


class NoList(Hoag):
    """Returns None for no conflicts."""

    @staticmethod
    def conflicts(spec):
        return None


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (MixesMembers, {"members_do_not_mix", "direct_part_is_whole_at_the_optimum"}),
        (AlongTheta, {"gradient_is_along_h"}),
        (Downhill, {"direct_part_is_whole_at_the_optimum", "part_through_theta_has_sign_and_size"}),
        (Noisy, {"gradient_repeats_itself"}),
        (ScalarReport, {"gradient_is_along_h", "members_do_not_mix"}),
        (NoList, {"conflicts_are_problems"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_hypergradient_is_caught(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    assert set(messages(monkeypatch, "hypergradients", plugin, None)) == rules


Elbo: Any = registry().get("evidence_estimators", "elbo")


class Averaged(EvidenceEstimator):
    """Takes the mean over members."""

    @staticmethod
    def estimate(options, trained, samples):
        found = Elbo.estimate(options, trained, samples)
        return Estimate(found.value.mean() + 0 * found.value, found.standard_error)


class Single(EvidenceEstimator):
    """Returns float32."""

    @staticmethod
    def estimate(options, trained, samples):
        found = Elbo.estimate(options, trained, samples)
        return Estimate(found.value.float(), found.standard_error)


class NegativeError(EvidenceEstimator):
    """Has the sign of the error wrong."""

    @staticmethod
    def estimate(options, trained, samples):
        found = Elbo.estimate(options, trained, samples)
        return Estimate(found.value, -found.standard_error - 1)


class Random(EvidenceEstimator):
    """Draws noise that isn't keyed."""

    @staticmethod
    def estimate(options, trained, samples):
        found = Elbo.estimate(options, trained, samples)
        return Estimate(found.value + 1e-10 * torch.rand(()), found.standard_error)


class Silent(EvidenceEstimator):
    """Has no value for the first member and doesn't say why."""

    @staticmethod
    def estimate(options, trained, samples):
        found = Elbo.estimate(options, trained, samples)
        first = torch.arange(trained.size) == 0
        return Estimate(torch.where(first & (trained.size > 2), torch.nan, found.value), found.standard_error)


class MixesWeights(EvidenceEstimator):
    """Looks at vectors of weights, and takes the mean over members."""

    of_weights = True

    @staticmethod
    def estimate(options, trained, samples):
        found = Elbo.estimate(options, trained, samples)
        return Estimate(found.value + trained.weights.mean.mean(), found.standard_error)


class SwitchesOff(EvidenceEstimator):
    """Leaves gradients switched off."""

    @staticmethod
    def estimate(options, trained, samples):
        torch.set_grad_enabled(False)
        return Elbo.estimate(options, trained, samples)


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (Averaged, {"members_do_not_mix", "value_is_the_evidence", "errors_are_the_spread_of_values"}),
        (Single, {"estimates_every_member"}),
        (NegativeError, {"estimates_every_member"}),
        (Random, {"repeats_itself"}),
        (Silent, {"missing_values_have_reasons", "members_do_not_mix"}),
        (MixesWeights, {"members_do_not_mix", "value_is_the_evidence"}),
        (SwitchesOff, {"leaves_torch_as_it_was"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_estimator_is_caught(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower(), raising=False)
    with torch.enable_grad():
        assert set(messages(monkeypatch, "evidence_estimators", plugin, None)) == rules


Growth: Any = registry().get("regimes", "growth")
Enumeration: Any = registry().get("regimes", "enumeration")


class Restless(Growth):
    """Decides otherwise at each call."""

    calls: ClassVar[int] = 0

    @staticmethod
    def decide(options, space, restarts, round_index, records):
        Restless.calls += 1
        found = Growth.decide(options, space, restarts, round_index, records)
        return Decision(found.candidates[: 1 + Restless.calls % 2]) if round_index else found


class ByOrder(Growth):
    """Takes the first record for the best."""

    @staticmethod
    def decide(options, space, restarts, round_index, records):
        found = Growth.decide(options, space, restarts, round_index, records)
        if not round_index or not found.candidates:
            return found
        return Decision(
            [candidate for candidate in found.candidates if candidate.restart == records[0].candidate.restart]
        )


class TooMany(Enumeration):
    """Promises fewer members than it trains."""

    @staticmethod
    def rounds(options, space, restarts):
        return [replace(bound, most=bound.most - 1) for bound in Enumeration.rounds(options, space, restarts)]


class OutOfSpace(Enumeration):
    """Trains structures that aren't in the space."""

    @staticmethod
    def decide(options, space, restarts, round_index, records):
        found = Enumeration.decide(options, space, restarts, round_index, records)
        one = found.candidates[0]
        strange = replace(one.structure, edges=(("x->h", ("z",)), *one.structure.edges[1:]))
        return Decision([Candidate(strange, 0), *found.candidates[1:]])


class StrangeParents(Growth):
    """Names parents that weren't trained."""

    @staticmethod
    def decide(options, space, restarts, round_index, records):
        found = Growth.decide(options, space, restarts, round_index, records)
        return Decision([replace(c, parent=c.parent and replace(c.parent, restart=99)) for c in found.candidates])


class SameNames(Growth):
    """Gives all rounds one name."""

    @staticmethod
    def rounds(options, space, restarts):
        return [replace(bound, name="grow") for bound in Growth.rounds(options, space, restarts)]


class Loses(Enumeration):
    """Hides something in a restart that the store doesn't keep."""

    @staticmethod
    def decide(options, space, restarts, round_index, records):
        found = Enumeration.decide(options, space, restarts, round_index, records)
        return Decision([replace(candidate, restart=Odd(candidate.restart)) for candidate in found.candidates])


class Odd(int):
    """An integer that JSON writes as another one."""

    def __repr__(self):
        return str(int(self) + 7)

    def __reduce__(self):
        return int, (int(self) + 7,)


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (Restless, {"decisions_follow_from_records"}),
        (ByOrder, {"decisions_follow_from_records"}),
        (TooMany, {"rounds_keep_their_bounds"}),
        (OutOfSpace, {"candidates_are_in_the_space"}),
        (StrangeParents, {"parents_came_before"}),
        (SameNames, {"rounds_are_bounded"}),
        (Loses, {"decisions_survive_the_store"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_regime_is_caught(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    found = messages(monkeypatch, "regimes", plugin, None)
    assert set(found) == rules, found


class Quiet(Tracker):
    """Does nothing."""


class NeedsRanking(Tracker):
    """Takes a ranking for granted."""

    def finished(self, summary):
        _ = summary["ranking"][0]


class NeedsScores(Tracker):
    """Takes scores for granted."""

    def trained(self, batch):
        _ = [round(member.score, 3) for member in batch.members]


class RefusesContinued(Tracker):
    """Can't go on."""

    def started(self, run):
        if run.continued:
            raise RuntimeError("the log is there")


class NeverFails(Tracker):
    """Expects to have been told of training."""

    def trained(self, batch):
        self.last = batch

    def failed(self, reason):
        _ = self.last


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (Quiet, set()),
        (NeedsRanking, {"follows_diverged_members"}),
        (NeedsScores, {"follows_diverged_members"}),
        (RefusesContinued, {"follows_a_continued_run"}),
        (NeverFails, {"follows_a_failing_run"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_tracker_is_caught(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower(), raising=False)
    assert set(messages(monkeypatch, "trackers", plugin, None)) == rules


class EditsTheSpec(Tracker):
    """Writes a note into the spec that it is told of."""

    def started(self, run):
        run.spec["note"] = "mine"


class RoundsTerms(Tracker):
    """Rounds the terms that it is told of in place."""

    def trained(self, batch):
        for values in batch.terms.values():
            np.round(values, 1, out=values)


class SortsTheRanking(Tracker):
    """Drops the last entry of the ranking."""

    def finished(self, summary):
        summary["ranking"].pop()


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (EditsTheSpec, "`spec` of the run was changed"),
        (RoundsTerms, "terms of batch"),
        (SortsTheRanking, "the summary changed"),
    ],
)
def test_a_tracker_that_changes_what_it_is_told_is_caught(monkeypatch, plugin, words):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower(), raising=False)
    found = messages(monkeypatch, "trackers", plugin, None)
    assert words in found["changes_nothing"]


def test_a_package_without_plugins_fails():
    with pytest.raises(AssertionError, match="no plugin of 'structflow-that-is-not-there'") as raised:
        package_tests("structflow-that-is-not-there").test_registers_plugins()
    assert "pip install" in str(raised.value)
    assert "structflow" in str(raised.value)


def test_what_is_broken_of_a_package_fails(monkeypatch):
    known = Registry(broken=[Broken("structflow-odd (regimes)", "ValueError: no table"), Broken("other", "x")])
    known.add("trackers", type("Named", (Quiet,), {"type": "named"}), "structflow-odd")
    monkeypatch.setattr(package_module, "registry", lambda: known)
    with pytest.raises(AssertionError, match="ValueError: no table") as raised:
        package_tests("structflow_Odd").test_registers_plugins()
    assert "other: x" not in str(raised.value)


def test_a_plugin_without_tests_fails(monkeypatch):
    named = type("Named", (Quiet,), {"type": "named"})
    tests = odd_tests(monkeypatch, "trackers", named, None)
    package_tests("odd", tests).test_every_plugin_is_tested()
    with pytest.raises(AssertionError, match="no tests of named"):
        package_tests("odd").test_every_plugin_is_tested()


def test_tests_of_a_class_that_is_not_registered_fail():
    tests = type("TestOdd", (TrackerTests,), {"plugin": type("Named", (Quiet,), {"type": "nowhere"})})
    with pytest.raises(AssertionError, match=r"isn't what is registered as 'nowhere'.*\n.*\n.*install the package"):
        tests().test_examples_fit()


def test_a_package_that_imports_torch_fails(monkeypatch, tmp_path):
    (tmp_path / "heavy_hooks.py").write_text(
        "import torch\nfrom structflow.plugins import hookimpl\n@hookimpl\ndef trackers():\n    return []\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    point = EntryPoint("heavy", "heavy_hooks", "structflow")
    vars(point)["dist"] = SimpleNamespace(name="structflow-heavy")
    monkeypatch.setattr(package_module, "entry_points", lambda group: [point])
    with pytest.raises(AssertionError, match="torch is loaded after importing heavy_hooks"):
        package_tests("structflow-heavy").test_imports_no_torch()
