"""Folds: a partition, stratified by labels where there are enough, decided by the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structflow.data import Dataset, prepare
from structflow.plugins import DataOptions, SplitOptions, Table
from structflow.plugins.registry import registry


def continuous(rows: int, test: float = 0.0, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    table = Table(rng.normal(size=(rows, 2)), rng.normal(size=(rows, 1)), ("a", "b"), ("t",))
    return prepare(table, DataOptions(split=SplitOptions(test=test)), "continuous")


def labelled(counts: dict[str, int], kind: str = "classes") -> Dataset:
    labels = np.array([[name] for name, count in counts.items() for _ in range(count)], dtype=object)
    labels = labels[np.random.default_rng(1).permutation(len(labels))]
    table = Table(np.random.default_rng(2).normal(size=(len(labels), 2)), labels, ("a", "b"), ("t",))
    return prepare(table, DataOptions(split=SplitOptions(test=0.0)), kind)


def held_out_folds(data: Dataset, criterion: str, folds: int, share: float, seed: int) -> np.ndarray:
    """What a criterion holds out of the training rows, with K folds or one of a share."""
    known = registry().of_kind("criteria")[criterion]
    options = known.options(**({"folds": folds} if criterion == "cross_validation" else {"held_out": share}))
    return known.plugin.fold_of_row(options, data.n_train, data.labels(), seed)


@given(rows=st.integers(5, 60), folds=st.integers(2, 5), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=40, deadline=None)
def test_every_row_is_in_exactly_one_fold(rows, folds, seed):
    """One number a training row, from 1 to K, in sizes that differ by one at most."""
    found = held_out_folds(continuous(rows), "cross_validation", folds, 0.2, seed)
    assert found.shape == (rows,)
    sizes = np.bincount(found, minlength=folds + 1)
    assert sizes[0] == 0
    assert len(sizes) == folds + 1
    assert sizes[1:].max() - sizes[1:].min() <= 1


@pytest.mark.parametrize(("rows", "share", "expected"), [(40, 0.25, 10), (10, 0.5, 5), (7, 0.2, 2)])
def test_a_share_is_held_out_once(rows, share, expected):
    """⌈share · rows⌉ rows in fold 1, the others in none; `folds` has no say."""
    found = held_out_folds(continuous(rows), "hold_out", 5, share, 3)
    assert np.bincount(found).tolist() == [rows - expected, expected]
    assert np.array_equal(found, held_out_folds(continuous(rows), "hold_out", 2, share, 3))


def test_only_training_rows_have_a_fold():
    data = continuous(40, test=0.25)
    assert held_out_folds(data, "cross_validation", 5, 0.2, 0).shape == (30,)


@pytest.mark.parametrize(("counts", "kind"), [({"a": 30, "b": 15, "c": 5}, "classes"), ({"a": 40, "b": 10}, "binary")])
def test_labels_keep_their_shares(counts, kind):
    """Five folds: a fifth of each label in every fold, exactly, since all counts are multiples of five."""
    data = labelled(counts, kind)
    codes = data.train()[1][:, 0]
    found = held_out_folds(data, "cross_validation", 5, 0.2, 0)
    expected = sorted(count // 5 for count in counts.values())
    for fold in range(1, 6):
        assert sorted(np.unique(codes[found == fold], return_counts=True)[1].tolist()) == expected
    spared = held_out_folds(data, "hold_out", 5, 0.2, 0)
    assert sorted(np.unique(codes[spared == 1], return_counts=True)[1].tolist()) == expected


def test_too_few_of_a_label_are_dealt_out_anyhow():
    """Two of label b in five folds can't be stratified: the rows are a partition all the same."""
    found = held_out_folds(labelled({"a": 18, "b": 2}), "cross_validation", 5, 0.2, 0)
    assert np.bincount(found).tolist() == [0, 4, 4, 4, 4, 4]
    spared = held_out_folds(labelled({"a": 19, "b": 1}), "hold_out", 5, 0.2, 0)
    assert np.bincount(spared).tolist() == [16, 4]


def test_fewer_rows_held_out_than_labels():
    """Five labels of four rows each, two rows held out: they can't hold one of each, so no shares are kept."""
    found = held_out_folds(labelled(dict.fromkeys("abcde", 4)), "hold_out", 5, 0.1, 0)
    assert np.bincount(found).tolist() == [18, 2]


@pytest.mark.parametrize("preset", ["cross_validation", "hold_out"])
def test_the_seed_alone_decides(preset):
    """Not the values of the rows, nor numpy's global state; another seed deals otherwise, also above 2³²."""
    np.random.seed(1)
    first = held_out_folds(continuous(30, seed=0), preset, 5, 0.2, 7)
    np.random.seed(2)
    assert np.array_equal(first, held_out_folds(continuous(30, seed=9), preset, 5, 0.2, 7))
    for seed in (8, 2**32 + 8, 2**63 - 1):
        assert not np.array_equal(first, held_out_folds(continuous(30), preset, 5, 0.2, seed))
