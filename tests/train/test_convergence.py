"""What more steps would gain: exact cases, members that are far away, and members that have arrived."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from handmade import edge, fn, graph, keys_of, make_bound, normal, population, start, structures

from structflow.results.convergence import judged_alone
from structflow.spec.models import Spec
from structflow.store import records
from structflow.train.convergence import Ahead, Convergence, ThetaAverages, Trend, of_gains
from structflow.train.metaparameters import metaparameter_tables
from structflow.train.stage_inputs import Execution, Minibatching, StageSetup, TrainingData
from structflow.train.trainer import train

CPU = torch.device("cpu")


def test_a_gain_that_slows_down_is_followed_to_its_end():
    """L(τ) = −c e^{−λτ}: with c = 5, λ = 3 a second run as long gains 5 (e⁻³ − e⁻⁶), all of the future 5 e⁻³."""
    times = np.array([0.99, 0.995, 1.0])  # close together, so that rates half-way are those of the curve
    value = -5 * np.exp(-3 * times)
    trend = Trend.of(value[2] - value[:1], value[2] - value[1:2], times)
    assert trend.next[0] == pytest.approx(5 * (np.exp(-3) - np.exp(-6)), rel=1e-3)
    assert trend.all[0] == pytest.approx(5 * np.exp(-3), rel=1e-3)


def test_a_gain_that_does_not_slow_down_has_no_end():
    times = np.array([0.5, 0.75, 1.0])
    steady = Trend.of(np.array([2.0, 2.0, -0.1]), np.array([1.0, 1.5, -0.2]), times)
    assert steady.next.tolist() == [4.0, 6.0, 0.0]  # the rate of the last quarter goes on
    assert steady.all.tolist() == [np.inf, np.inf, 0.0]


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100, 2000])
def test_averages_are_of_the_steps_they_name(steps):
    averages = ThetaAverages.of(torch.zeros(1, dtype=torch.float64), steps)
    for step in range(steps):
        averages.before(step, torch.tensor([float(step)]))
    expected = [np.mean(looks) for looks in averages.looks]
    assert averages.values[:, 0].tolist() == pytest.approx(expected)
    times = averages.times(np.ones(steps))
    assert times.tolist() == pytest.approx([*(mean / steps for mean in expected), 1.0])


def measure(
    steps: int, lr: float, columns: int = 3, rows: int = 40, function: str = "linear", **settings
) -> Convergence:
    """The measure of the members of one edge after so many steps, on targets of noise and one column."""
    of = graph({"x": (columns,), "y": (1,)}, edge("x", "y", "all", fn(function)))
    members = population(of, structures(of))
    bound = make_bound(members, **settings)
    x = normal(rows, columns, seed=1)
    data = TrainingData(x, x[:, :1] + 0.3 * normal(rows, 1, seed=2))
    spec = Spec.model_validate(
        {
            "data": {"source": "sklearn", "name": "diabetes"},
            "model": {"edges": [{"from": "x", "to": "y", "basis": ["linear"]}]},
            "optimizer": {"inner": {"steps": steps, "lr": lr}},
        }
    )
    tables = metaparameter_tables(spec, 0, 1, torch.float64, CPU)
    execution, batching = Execution(CPU, torch.float64, False), Minibatching(None, 0, "stage")
    result = train(
        bound, bound.of_labels(start(bound)), StageSetup(keys_of(members), data, tables, 1, batching, execution)
    )
    assert result.convergence is not None
    return result.convergence


def is_converged(found: Convergence) -> bool | None:
    """What is said of the first member."""
    measure = records.Convergence(**{name: value[0] for name, value in found.arrays().items()})
    return judged_alone(measure, 0.0).converged


def test_far_from_the_maximum():
    """300 columns of noise, which the precision has yet to prune: as many steps again would still gain nats."""
    short, twice = measure(500, 0.01, 300), measure(1000, 0.01, 300)
    assert short.still_gaining[0] > 1
    assert twice.still_gaining[0] > 1
    assert short.left_to_gain[0] >= short.still_gaining[0]


def test_at_the_maximum():
    """Three columns whitened at the start: nothing is left to gain."""
    found = measure(1000, 0.01)
    assert found.still_gaining[0] + 2 * found.still_gaining_se[0] < 0.01
    assert found.left_to_gain[0] < 0.01
    assert found.gained_se[0] < 1e-8  # nothing is sampled
    assert is_converged(found) is True


def test_a_rate_that_is_too_small_is_not_taken_for_the_maximum():
    """Steps of 1e-5 hardly move anything, so that hardly anything is gained: but as much again, and no end in sight."""
    found = measure(200, 1e-5, 300)
    assert found.gained[0] < 1
    assert found.still_gaining[0] > 1
    assert found.left_to_gain[0] > 5 * found.still_gaining[0]


def test_a_rate_that_moves_nothing_is_told_by_the_line_ahead():
    """200 steps of 1e-9 change no number by more than 2e-7 and L by next to nothing; a change of 1 gains nats."""
    found = measure(200, 1e-9, 300)
    assert found.still_gaining[0] < 0.1
    assert found.left_to_gain[0] > 5
    assert is_converged(found) is None


def ahead(*gains: float, margin: float = 0.01, moved: bool = True) -> Ahead:
    values = np.array(gains, dtype=float).reshape(-1, 1)
    return Ahead.of(values, np.full_like(values, margin), np.array([moved]))


def test_a_line_ends_where_it_falls():
    found = ahead(0.05, 0.2, -1, -5, -9, 7)
    assert found.near[0] == found.far[0] == pytest.approx(0.19)  # beyond the fall there is another maximum
    assert found.most[0] == pytest.approx(0.21)


def test_a_line_without_an_end():
    assert ahead(0, 0, 0, 0, 1, 2).most[0] == np.inf
    assert ahead(0, 0, 0, 0, 0, 0, margin=1e-9).most[0] == pytest.approx(1e-9)  # flat
    assert ahead(0, 0, 0, 0, 0, 0, margin=1e-9, moved=False).most[0] == np.inf


@pytest.mark.filterwarnings("error")
def test_a_line_to_where_the_objective_is_not_finite_ends_there():
    found = ahead(0.05, 0.2, -np.inf, np.nan, np.nan, np.nan)
    assert found.most[0] == pytest.approx(0.21)


def gains(*values: float, error: float = 0.01) -> Convergence:
    """The measure where the end has these gains over the two averages of θ and over six points ahead."""
    found = np.array(values, dtype=float).reshape(-1, 1)
    at_infinity = np.where(np.isfinite(found), error, np.nan)
    return of_gains(found, at_infinity, 2.0, np.array([0.375, 0.625, 1.0]), np.array([True]))


@pytest.mark.filterwarnings("error")
def test_averages_at_which_the_objective_is_not_finite():
    """Counts whose rates overflow at an average of θ, and beyond the end: no warning of numpy's, and no slowing down.

    0.3 nats since the later average are 0.8 in as many steps again; the line ahead has no more than 0.01 to offer.
    Where the later one is at −∞ too, nothing can be said.
    """
    found = gains(np.inf, 0.3, 0.01, 0.02, np.inf, np.inf, np.nan, np.nan)
    assert found.still_gaining[0] == pytest.approx(0.3 / 0.375)
    assert np.isfinite(found.left_to_gain[0])
    assert is_converged(found) is False
    assert is_converged(gains(np.inf, np.inf, 0.01, np.inf, np.inf, np.inf, np.inf, np.nan)) is None
