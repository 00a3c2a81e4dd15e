"""Rows of a step: permutations, epoch by epoch, from seed, stage and step alone."""

from __future__ import annotations

import numpy as np
import pytest

from structflow.train.minibatches import minibatch_rows


@pytest.mark.parametrize(("rows", "size"), [(12, 4), (13, 4), (5, 5), (7, 1)])
def test_an_epoch_shows_no_row_twice(rows, size):
    """⌊rows/size⌋ full batches an epoch, distinct rows; every row when size divides rows."""
    per_epoch = rows // size
    for epoch in range(3):
        seen = np.concatenate(
            [minibatch_rows(3, "s", epoch * per_epoch + step, rows, size) for step in range(per_epoch)]
        )
        assert len(seen) == per_epoch * size
        assert len(set(seen.tolist())) == len(seen)
        assert set(seen.tolist()) <= set(range(rows))


def test_it_is_a_function_of_seed_stage_and_step():
    first = minibatch_rows(3, "s", 1000, 50, 7)
    minibatch_rows(4, "s", 1, 50, 7)
    assert np.array_equal(first, minibatch_rows(3, "s", 1000, 50, 7))
    others = [
        minibatch_rows(4, "s", 1000, 50, 7),
        minibatch_rows(3, "t", 1000, 50, 7),
        minibatch_rows(3, "s", 0, 50, 7),
    ]
    assert not any(np.array_equal(first, other) for other in others)


def test_rows_are_drawn_evenly():
    """13 rows, batches of 4, 400 epochs: each row is left out of an epoch with probability 1/13, 5 standard errors."""
    counts = np.zeros(13)
    for step in range(1200):
        counts[minibatch_rows(0, "s", step, 13, 4)] += 1
    p = 12 / 13
    assert np.abs(counts - 400 * p).max() < 5 * (400 * p * (1 - p)) ** 0.5
