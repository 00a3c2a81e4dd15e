"""A structure's prior is that of the structure distribution, wherever structures are weighed by it."""

from __future__ import annotations

import math

import pytest
import studies
import summaries
import torch

from structflow.objective.structure_prior import log_priors
from structflow.plugins import StructureDistribution
from structflow.plugins.registry import registry
from structflow.results.marginals import marginal_probabilities
from structflow.results.ranking import rank
from structflow.runner.decide import member_records
from structflow.spec.structures import Structure

GumbelSoftmax = registry().get("structure_distributions", "gumbel_softmax")
NAMES = ("a", "b", "c")
FIRST_IS_FAVOURED = (math.log(1000), 0.0, 0.0)


@pytest.fixture
def favoured(monkeypatch):
    """A structure distribution whose prior prefers the first function of an edge 1000 to 1."""
    monkeypatch.setattr(
        GumbelSoftmax, "prior_log_concentration", staticmethod(lambda space, options, k: list(FIRST_IS_FAVOURED[:k]))
    )


def choosing(choose="one", **sections):
    """One edge with three functions, whose values are the same: p_1(x) = x in every family."""
    families = zip(NAMES, ("power", "legendre", "hermite"), strict=True)
    basis = [{"type": "polynomial", "degree": 1, "family": family, "name": name} for name, family in families]
    edge = {"from": "x", "to": "y", "choose": choose, "basis": basis}
    return studies.spec(model=studies.model([edge]), optimizer={"inner": {"steps": 2}, "restarts": 1}, **sections)


def entry(names, score):
    return summaries.ranking_entry({"x->y": list(names)}, score)


def test_the_ranking_follows_the_distributions_own_prior(favoured):
    """p ∝ e^score · (1000, 1, 1) / 1002: b is ahead by 3 nats in evidence, a by log 1000 = 6.9 in the prior."""
    study = studies.study(choosing())
    entries = [entry("a", -3.0), entry("b", 0.0), entry("c", -3.0)]
    places = rank(entries, study.space, study.spec)
    ranked = [entries[place.number].model_copy(update={"probability": place.probability}) for place in places]
    assert [each["structure"]["x->y"] for each in ranked] == [["a"], ["b"], ["c"]]
    weights = [1000 * math.exp(-3), 1.0, math.exp(-3)]
    assert [each["probability"] for each in ranked] == pytest.approx([weight / sum(weights) for weight in weights])
    assert [math.exp(place.log_prior) for place in places] == pytest.approx([1000 / 1002, 1 / 1002, 1 / 1002])
    assert marginal_probabilities(ranked)["x->y"]["a"] == pytest.approx(weights[0] / sum(weights))


def test_subsets_have_the_odds_of_every_function(favoured):
    """Under `any` each function is in with odds (1000, 1, 1): all eight subsets' probabilities add up to one."""
    study = studies.study(choosing("any"))
    structures = list(study.space)
    found = dict(zip((dict(each.edges)["x->y"] for each in structures), log_priors_of(study, structures), strict=True))
    assert math.fsum(math.exp(value) for value in found.values()) == pytest.approx(1)
    assert math.exp(found["a", "b"]) == pytest.approx(1000 / 1001 / 4)
    assert math.exp(found[()]) == pytest.approx(1 / 1001 / 4)


def test_shapes_are_equally_probable():
    """Two activations, two widths and a connection that is there or not: eight structures, each 1/8."""
    study = studies.study(studies.wide())
    structures = list(study.space)
    assert log_priors_of(study, structures) == pytest.approx([-math.log(8)] * 8)


@pytest.mark.parametrize("log_odds", [-2000.0, -50.0, 0.0, 50.0, 2000.0])
def test_odds_of_any_size_have_finite_logarithms(log_odds):
    """log σ(±x), which is −|x| or 0 to within 1e-20 beyond |x| = 50, where σ(x) itself is rounded to 0 or 1."""
    row = torch.tensor([log_odds], dtype=torch.float64)
    for chosen, sign in ((True, 1), (False, -1)):
        found = GumbelSoftmax.vertex_log_prob("any", row, torch.tensor([chosen]))
        expected = -math.log(2) if log_odds == 0 else min(0.0, sign * log_odds)
        assert float(found) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("space", ["one", "any"])
def test_the_default_of_a_distribution_is_the_closed_form(space):
    """Made of `rounding_probabilities`, for every vertex of three functions."""
    row = torch.tensor([2.0, -1.0, 0.3], dtype=torch.float64)
    vertices = torch.cartesian_prod(*[torch.tensor([False, True])] * 3) if space == "any" else torch.eye(3).bool()
    closed = GumbelSoftmax.vertex_log_prob(space, row, vertices)
    default = StructureDistribution.vertex_log_prob.__func__(GumbelSoftmax, space, row, vertices)
    torch.testing.assert_close(default, closed)
    torch.testing.assert_close(closed.logsumexp(0), torch.zeros((), dtype=torch.float64), atol=1e-12, rtol=0)


def test_a_run_ranks_by_it_and_predicts_with_its_weights(favoured, tmp_path):
    """Three equal functions: the evidence is the same, so that the prior's 1000 : 1 : 1 is what the mixture weighs."""
    run = studies.run(choosing(evidence={"estimators": ["elbo", "exact"]}), tmp_path / "run")
    assert run.ranking[0]["structure"]["x->y"] == ["a"]
    assert run.ranking[0]["probability"] == pytest.approx(1000 / 1002, rel=1e-3)
    weights = {part.structure["x->y"][0]: part.probability for part in run.predictor.parts}
    assert weights["a"] == pytest.approx(1000 / 1002, rel=1e-3)


def test_growth_follows_the_posterior_and_not_the_evidence_alone(favoured, tmp_path):
    """What a round is told of a structure is the score of its training plus its log prior."""
    document = choosing(regime={"type": "growth", "beam": 1, "max_rounds": 2})
    run = studies.run(document, tmp_path / "run")
    trained = [
        member["score"]
        for task, record in sorted(studies.records(run.path).items())
        if task.endswith("-train")
        for member in record["payload"]["members"]
    ]
    told = member_records(run.context, 0, 2)
    priors = [record.score - score for record, score in zip(told, trained, strict=True)]
    found = dict(zip([record.candidate.structure.edges[0][1][0] for record in told], priors, strict=True))
    assert {name: math.exp(prior) for name, prior in found.items()} == pytest.approx(
        {"a": 1000 / 1002, "b": 1 / 1002, "c": 1 / 1002}
    )


def log_priors_of(study, structures: list[Structure]) -> list[float]:
    return log_priors(structures, study.space, study.spec)
