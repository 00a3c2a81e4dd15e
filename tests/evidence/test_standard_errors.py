"""Standard errors mean what they say, or aren't given: a few chains that carry all weight, rare bad restarts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import studies
import torch

from structflow.builtin.evidence_estimators.annealed_importance import of_log_weights
from structflow.builtin.evidence_estimators.descent_estimate import LEAST_RESTARTS, mean_of_restarts
from structflow.plugins import Estimate
from structflow.plugins.registry import registry
from structflow.report.figure import save_ranking_figure
from structflow.report.text import print_summary

DOUBLE = torch.float64


def normal_logs(spread: float, sets: int, chains: int) -> torch.Tensor:
    """Log weights whose mean weight is 1."""
    return torch.from_numpy(np.random.default_rng(1).normal(-0.5 * spread**2, spread, size=(sets, chains)))


def test_one_chain_with_all_the_weight_has_no_error():
    """The jackknife says 27.199 whatever the gap, because it counts a share of 1 − 1e-12 at most; log 1/64 is right."""
    logs = torch.full((2, 64), -1000.0, dtype=DOUBLE)
    logs[:, 5] = torch.tensor([0.0, -300.0], dtype=DOUBLE)
    found = of_log_weights(logs)
    assert found.value.tolist() == pytest.approx([-math.log(64), -300 - math.log(64)])
    assert found.standard_error.isnan().all()
    assert found.unsure[0].startswith("one of 64 chains has 100% of the weight (effective sample size 1.0)")
    assert "raise temperatures, or chains" in found.unsure[0]


@pytest.mark.parametrize("chains", [16, 64, 512])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_jackknife_is_given_where_it_is_right(chains, share):
    """Up to a spread of 0.8 √log C the error explains the distance to the truth: z rms is at most 1.9; most sets have
    one."""
    spread = share * math.sqrt(math.log(chains))
    found = of_log_weights(normal_logs(spread, 2000, chains))
    known = found.standard_error.isfinite()
    assert float(known.double().mean()) > 0.6
    z = found.value[known] / found.standard_error[known]
    assert 0.85 < float(z.square().mean().sqrt()) < 1.9


def test_where_it_would_lie_it_is_not_given():
    """A spread of 4 nats in 64 chains: the mean is 2.2 nats low, z rms would be 4.5; 19 in 20 sets have no error."""
    found = of_log_weights(normal_logs(4.0, 2000, 64))
    assert float(found.value.mean()) < -2
    assert float(found.standard_error.isnan().double().mean()) > 0.95


def test_chains_in_a_bad_mode_do_not_hide_the_error_of_the_others():
    """One chain in ten is 100 nats lower, which is nothing to the mean: the error is that of the other weights."""
    logs = normal_logs(0.3, 50, 64)
    logs[:, ::10] -= 100
    assert of_log_weights(logs).standard_error.isfinite().all()


SHARES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
BOUNDS = (-192.6, -70.5, -61.5, -46.7, -26.4, -16.8, -10.6, -8.8, -7.8, -7.1, -2.8)
"""Quantiles of the bounds of `sgd_entropy` over 1,500 restarts of y = v tanh(u x): one in fifty ends 38 nats below the
median."""


def with_rare_bad_restarts(sets: int, restarts: int) -> torch.Tensor:
    """Bounds (sets, restarts) with these quantiles."""
    uniform = np.random.default_rng(2).random(size=(sets, restarts))
    return torch.from_numpy(np.interp(uniform, SHARES, BOUNDS))


@pytest.mark.parametrize(("restarts", "plain_is_off", "most"), [(50, 1.5, 1.5), (200, 1.1, 1.2)])
def test_rare_bad_restarts_are_in_the_error(restarts, plain_is_off, most):
    """From 50 restarts on it explains the distance to the true mean: z rms at most 1.5, where s / √r alone has 1.7."""
    middles = [(one + other) / 2 for one, other in itertools.pairwise(BOUNDS)]
    true_mean = float(np.dot(middles, np.diff(SHARES)))
    bounds = with_rare_bad_restarts(4000, restarts)
    value, error = mean_of_restarts(bounds)
    z, plain = ((value - true_mean) / each for each in (error, bounds.std(1) / restarts**0.5))
    assert float(plain.square().mean().sqrt()) > plain_is_off
    assert float(z.square().mean().sqrt()) < most


def test_fewer_restarts_have_no_error():
    value, error = mean_of_restarts(with_rare_bad_restarts(3, LEAST_RESTARTS - 1))
    assert value.isfinite().all()
    assert error.isnan().all()


def test_an_unknown_error_passes_through_a_run(tmp_path, monkeypatch, capsys):
    """Null in the JSON form, NaN in the arrays, a question mark in tables, no bar in the figure, no tie, a warning."""
    plugin = registry().get("evidence_estimators", "iwelbo")
    monkeypatch.setattr(plugin, "estimate", staticmethod(unsure_estimate))
    edges = [{"from": "x", "to": "y", "choose": "one", "basis": ["linear", "dense"]}]
    document = studies.spec(
        model=studies.model(edges), optimizer={"inner": {"steps": 4}, "restarts": 1},
        evidence={"estimators": ["iwelbo", "elbo"], "samples": 8},
    )  # fmt: skip
    run = studies.run(document, tmp_path / "run")
    assert [entry["score_se"] for entry in run.ranking] == [None, None]
    assert [entry["tied_with_best"] for entry in run.ranking] == [False, None]
    assert run.ranking[0]["evidence_unsure"] == {"iwelbo": "nobody knows"}
    assert run.dataset["setting_0/ranking"]["score_se"].isnull().all()
    assert run.dataset["setting_0/ranking"]["evidence_se"].sel(estimator="iwelbo").isnull().all()
    assert math.isnan(run.best.log_evidence_se)
    (warning,) = (each for each in run.summary["warnings"] if each.startswith("iwelbo"))
    assert warning == (
        "iwelbo has no standard error for 2 structure(s), so that no tie or disagreement is decided by it; "
        f"{' | '.join('x->y ' + entry['structure']['x->y'][0] for entry in run.ranking)}: nobody knows"
    )
    print_summary(run.summary, 5)
    out = capsys.readouterr().out
    assert out.count("± ?") == 4
    assert "?: not known" in out
    save_ranking_figure(run.summary, run.path, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


def unsure_estimate(options, trained, samples):
    """−1, −2, … of unknown error."""
    value = -torch.arange(1, trained.size + 1, dtype=DOUBLE)
    unknown = torch.full_like(value, torch.nan)
    return Estimate(value, unknown, unsure=dict.fromkeys(range(trained.size), "nobody knows"))
