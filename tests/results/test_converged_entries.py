"""What is said of structures that have not converged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import studies
import summaries

from structflow.results.convergence import (
    H_NOT_MEASURED,
    convergence_warnings,
    gaps_to_neighbours,
    judged_alone,
    measures_h,
    scale_remedy,
)
from structflow.results.models import RankingEntry
from structflow.spec.models import Spec
from structflow.store.records import Convergence


class Scored(NamedTuple):
    """A structure's score, the Monte Carlo error of it, and the measure of its convergence."""

    score: float
    error: float
    measure: Convergence


def entry(score: float, still: float | None, error: float = 0.0, left: float | None = None, noise=0.0) -> Scored:
    """With nothing said of `left` there is no end in sight."""
    numbers = {"still_gaining": still, "still_gaining_se": error, "left_to_gain": left}
    return Scored(score, noise, Convergence(gained=0.0, gained_se=0.0, **numbers))


def judged(*entries: Scored, h_is_measured: bool = True) -> list[RankingEntry]:
    gaps = gaps_to_neighbours([each.score for each in entries])
    ranking = []
    for each, gap in zip(entries, gaps, strict=True):
        report = judged_alone(each.measure, each.error, gap, h_is_measured)
        ranking.append(summaries.ranking_entry({"x->y": [f"f{each.score}"]}, each.score, **dict(report)))
    return ranking


def spec(**sections) -> Spec:
    return studies.study(studies.spec(**sections)).settings[0].stages[0]


@pytest.mark.parametrize(
    ("still", "error", "gap", "score_se", "expected"),
    [
        (0.09, 0.0, 10.0, 0.0, True),  # under a tenth of a nat
        (0.11, 0.0, 10.0, 0.0, False),
        (0.09, 0.0, 0.5, 0.0, False),  # over a tenth of the gap
        (0.009, 0.0, 0.0, 0.0, True),  # a tie: what changes no probability that is shown
        (0.15, 0.02, 10.0, 0.2, True),  # within the score's own error
        (0.05, 0.1, 10.0, 0.0, None),  # hidden in the noise
    ],
)
def test_limits(still, error, gap, score_se, expected):
    first, _ = judged(entry(-10, still, error, still, score_se), entry(-10 - gap, 0.0))
    assert first["converged"] is expected
    assert (first["converged_unknown"] is None) == (expected is not None)


def test_what_can_t_be_known():
    (found,) = judged(entry(-2, None))
    assert found["converged"] is None
    assert "finite" in found["converged_unknown"]


def test_rows_that_structures_have_in_common_are_no_reason_for_a_larger_limit():
    """±1e4 by sampling rows, of which ±0.2 is Monte Carlo noise: 0.15 nats are within that, 103 are not."""
    low, high = judged(entry(-10, 0.15, left=0.15, noise=0.2), entry(-900, 103, left=719, noise=0.2))
    assert (low["converged"], high["converged"]) == (True, False)


@pytest.mark.parametrize(
    ("left", "noise", "expected"), [(0.9, 0.0, True), (1.1, 0.0, None), (1.1, 1.2, True), (None, 0.0, None)]
)
def test_little_at_a_time_is_not_the_end(left, noise, expected):
    """Ten times the limit of 0.1 nats, or the noise of the score."""
    (found,) = judged(entry(-10, 0.003, left=left, noise=noise))
    assert found["converged"] is expected
    assert expected or "raise optimizer.inner.lr" in found["converged_unknown"]


@pytest.mark.parametrize(
    ("outer", "precision", "expected"),
    [("one_level", "shared", True), ("hoag", "shared", None), ("random_search", "shared", None), ("hoag", 1.0, True)],
)
def test_hyperparameters_of_a_second_level_are_not_measured(outer, precision, expected):
    starts = {"start_range": [0.01, 100]} if precision == "shared" else {}
    asked = spec(optimizer={"outer": {"type": outer}}, prior={"weights": {"precision": precision, **starts}})
    entries = judged(entry(-10, 0.0, left=0.0), entry(-20, 5.0, left=9.0), h_is_measured=measures_h(asked))
    assert [each["converged"] for each in entries] == [expected, False]
    assert expected or entries[0]["converged_unknown"] == H_NOT_MEASURED


def test_steps_that_may_not_be_enough_are_a_least():
    """No end in sight, so ten times the steps are no forecast."""
    (warning,) = convergence_warnings(judged(entry(-90, 8.0)), spec(optimizer={"inner": {"steps": 500}}), None, [])
    assert "from 500 to at least 5,000" in warning


def test_a_structure_that_may_rise_past_the_best():
    """40 nats behind, 30 more in as many steps and no end in sight."""
    (warning,) = convergence_warnings(judged(entry(-90, 0.0, left=0.0), entry(-130, 30.0)), spec(), None, ["enumerate"])
    assert warning.startswith("1 of 2 structures had not converged: x->y f-130")
    assert "past the best; in a new run directory, raise optimizer.inner.steps from" in warning


def test_a_structure_that_stays_behind_is_only_marked():
    ranking = judged(entry(-90, 0.0, left=0.0), entry(-130, 3.0, left=5.0))
    assert ranking[1]["converged"] is False
    assert convergence_warnings(ranking, spec(), None, ["enumerate"]) == []


def test_steps_that_are_enough_are_named():
    """A gain of 8 of 10 nats left: e^−λ = 0.2, and 10 · 0.2^k = 0.05 for k = 3.29, so 4.29 times the steps."""
    (warning,) = convergence_warnings(
        judged(entry(-90, 8.0, left=10.0)), spec(optimizer={"inner": {"steps": 1000}}), None, []
    )
    assert "from 1,000 to about 4,300" in warning


def test_rounds_that_were_decided_too_early():
    (_, warning) = convergence_warnings(judged(entry(-90, 8.0)), spec(), None, ["grow-0", "grow-1"])
    assert "used their scores to choose the next ones" in warning
    assert warning.endswith("optimizer.restarts")


def test_the_scale_of_the_data_is_named_in_place_of_steps():
    inputs, large = np.ones((5, 2)), np.full((5, 1), 3e5)
    data = {"source": "synthetic", "rows": 9, "inputs": 2, "formula": "x0", "standardize": {"targets": False}}
    asked = spec(data=data)
    remedy = scale_remedy(asked, inputs, large)
    assert remedy == "set data.standardize.targets: true, since targets of size 3e+05 are used without scaling"
    assert scale_remedy(asked, inputs, inputs) is None
    (warning,) = convergence_warnings(judged(entry(-90, 8.0)), asked, remedy, [])
    assert warning.endswith(remedy)  # steps don't help
