"""Early stopping: where a bound is best, and that the choice doesn't raise what is measured."""

from __future__ import annotations

import numpy as np
import torch

from structflow.builtin.evidence_estimators.early_stop import CrossedWatch, Watch

DOUBLE = torch.float64


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=DOUBLE).reshape(-1, 1)


def test_a_falling_bound_stops():
    """0, 1, 2, 1.5, 1.2, 1.1, 9 with patience 3: the best is 2 at step 2, and the 9 comes after the stop at step 5."""
    judged, measured = (0, 1, 2, 1.5, 1.2, 1.1, 9), (10, 11, 12, 13, 14, 15, 16)
    watch = Watch.begin(column(judged[0]), column(measured[0]))
    stopped = []
    for step in range(1, 7):
        watch = watch.after(step, column(judged[step]), column(measured[step]), patience=3)
        stopped.append(bool(watch.stopped))
    assert stopped == [False, False, False, False, True, True]
    assert (int(watch.at), float(watch.best), float(watch.measured)) == (2, 2.0, 12.0)


def test_divergence_is_below_everything():
    """NaN after step 1 stops at step 3 with what there was, and infinity is no rise."""
    watch = Watch.begin(column(0.0), column(0.0))
    for step, value in enumerate((1.0, float("nan"), float("inf")), start=1):
        watch = watch.after(step, column(value), column(step), patience=2)
    assert bool(watch.stopped)
    assert (int(watch.at), float(watch.best)) == (1, 1.0)


def test_members_stop_by_themselves():
    """One member rises on, the other one has stopped."""
    watch = Watch.begin(column(0.0, 0.0), column(0.0, 0.0))
    for step in range(1, 5):
        watch = watch.after(step, column(step, -step), column(step, -step), patience=2)
    assert watch.at.tolist() == [4, 0]
    assert watch.stopped.tolist() == [False, True]


def test_each_half_is_measured_where_the_other_is_best():
    """Two restarts are best at the start, two after a step: measured are 5, 6 after it and 1, 2 before."""
    watch = CrossedWatch.begin(torch.tensor([[9.0, 9.0, 1.0, 2.0]], dtype=DOUBLE))
    watch = watch.after(1, torch.tensor([[5.0, 6.0, 8.0, 8.0]], dtype=DOUBLE), patience=9)
    assert watch.bounds.tolist() == [[5.0, 6.0, 1.0, 2.0]]


def test_choosing_does_not_raise_what_is_measured():
    """Pure noise, 4,000 members, 20 looks, 2 restarts: the mean estimate is 0 within 5 errors; the largest of the
    means, what would be reported without the crossing, has the mean 1.87 / √2 = 1.32 (E max of 20 normals is 1.87)."""
    bounds = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 4000, 2)))
    watch = CrossedWatch.begin(bounds[0])
    for step in range(1, 20):
        watch = watch.after(step, bounds[step], patience=100)
    values = watch.bounds.mean(1)
    assert abs(float(values.mean())) < 5 * float(values.std()) / 4000**0.5
    naive = bounds.mean(2).amax(0)
    assert abs(float(naive.mean()) - 1.87 / 2**0.5) < 0.03
