"""p(structure | data), its order and its ties, from made-up evidence."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import studies
import summaries

from structflow.results.marginals import choice_label, marginal_probabilities
from structflow.results.models import RankingEntry
from structflow.results.ranking import probabilities, rank
from structflow.runner.select import agreement

STUDY = studies.study(
    studies.spec(
        model=studies.model(
            [studies.EDGE, studies.LAST, {"from": "x", "to": "y", "choose": "any", "basis": ["linear", "dense"]}],
            h={"shape": [2]},
        ),
        prior={"structure": {"type": "gumbel_softmax", "concentration": 0.5}},
    )
)
SPACE, SPEC = STUDY.space, STUDY.spec
STRUCTURES = sorted(SPACE, key=lambda structure: structure.canonical)


def entry(number: int, log_evidence: float, error: float | None = 0.1) -> RankingEntry:
    return summaries.ranking_entry(STRUCTURES[number].as_dict(), log_evidence, score_se=error)


def chosen_on_skip(number: int) -> int:
    return len(dict(STRUCTURES[number].edges)["x->y"])


def test_probability_is_evidence_times_prior_normalised():
    """p ∝ exp(log evidence) · concentration^(functions that `any` chose); the prior over `one` is uniform."""
    entries = [entry(number, -10.0 + number) for number in range(len(STRUCTURES))]
    ranked = rank(entries, SPACE, SPEC)
    weights = [math.exp(number) * 0.5 ** chosen_on_skip(number) for number in range(len(STRUCTURES))]
    expected = {STRUCTURES[number].canonical: weight / sum(weights) for number, weight in enumerate(weights)}
    assert len(ranked) == 8
    for found in ranked:
        assert found.probability == pytest.approx(expected[STRUCTURES[found.number].canonical])
    assert math.fsum(found.probability for found in ranked) == pytest.approx(1)
    assert all(one.probability >= other.probability for one, other in pairwise(ranked))


def test_equal_evidence_is_ordered_by_prior_then_by_canonical_structure():
    """Two functions chosen have prior odds ¼, one ½, none 1."""
    numbers = list(reversed(range(len(STRUCTURES))))
    ranked = rank([entry(number, -3.0) for number in numbers], SPACE, SPEC)
    order = [numbers[found.number] for found in ranked]
    assert order == sorted(range(len(STRUCTURES)), key=lambda number: (chosen_on_skip(number), number))


def test_probabilities_of_far_apart_and_huge_evidence():
    assert probabilities([]) == []
    assert probabilities([-1e6]) == [1.0]
    assert probabilities([-1e6, -1e6 - 1000]) == [1.0, 0.0]
    assert probabilities([5e5, 5e5 + math.log(3)]) == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize(
    ("gap", "errors", "tied"),
    [
        (0.1, (None, 0.4), None),  # nobody knows
        (0.9, (0.3, 0.4), True),  # two standard errors of the gap are 2 · √(0.3² + 0.4²) = 1
        (1.1, (0.3, 0.4), False),
        (0.0, (0.0, 0.0), True),  # exact and equal
        (1e-6, (0.0, 0.0), False),
    ],
)
def test_a_gap_of_two_standard_errors_is_a_tie(gap, errors, tied):
    same_prior = [number for number in range(len(STRUCTURES)) if chosen_on_skip(number) == 0]
    ranked = rank([entry(same_prior[0], 0.0, errors[0]), entry(same_prior[1], -gap, errors[1])], SPACE, SPEC)
    assert ranked[1].tied_with_best is tied
    assert ranked[0].tied_with_best is False  # it is the best


def test_marginals_add_up_what_structures_share():
    ranking = [
        summaries.ranking_entry({"x->h": ["a"], "h": [2]}, probability=0.5),
        summaries.ranking_entry({"x->h": ["b"], "h": [2]}, probability=0.3),
        summaries.ranking_entry({"x->h": [], "h": [3, 4]}, probability=0.2),
    ]
    assert marginal_probabilities(ranking) == {
        "x->h": {"a": 0.5, "b": 0.3, "∅": 0.2},
        "h": {"2": pytest.approx(0.8), "3×4": 0.2},
    }
    assert choice_label("x->h", ["a", "b"]) == "a + b"


@pytest.mark.parametrize(
    ("scores", "share"),
    [([0.0, -0.5, -1.5], 2 / 3), ([None, 0.0], 0.5), ([None, None], 0.0), ([-3.0], 1.0), ([1.0, 0.0], 1.0)],
)
def test_agreement_is_the_share_within_a_nat_of_the_best(scores, share):
    """DESIGN 7; a restart that diverged doesn't agree."""
    assert agreement(scores) == pytest.approx(share)
