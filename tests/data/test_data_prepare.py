"""Checks, split and standardisation of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from structflow.data import Dataset, prepare
from structflow.data.moments import moments
from structflow.data.prepare import enough_rows
from structflow.data.split import split_rows
from structflow.errors import PluginError, SpecError
from structflow.plugins import ColumnOptions, DataOptions, SplitOptions, StandardizeOptions, Table, TargetKind


def table(inputs: Any, targets: Any) -> Table:
    inputs, targets = np.asarray(inputs), np.asarray(targets)
    input_names = tuple(f"a{i}" for i in range(inputs.shape[1])) if inputs.ndim == 2 else ("a",)
    return Table(inputs, targets, input_names, tuple(f"t{i}" for i in range(targets.shape[1])))


def options(test: float = 0.0, seed: int = 0, inputs: Any = True, targets: bool = True) -> ColumnOptions:
    return ColumnOptions(
        target=("t0",),
        split=SplitOptions(test=test, seed=seed),
        standardize=StandardizeOptions(inputs=inputs, targets=targets),
    )


def problems(
    inputs: Any, targets: Any, kind: TargetKind = "continuous", chosen: ColumnOptions | None = None
) -> list[tuple[str, str, str]]:
    with pytest.raises(SpecError) as raised:
        prepare(table(inputs, targets), chosen or options(), kind)
    return [(problem.path, problem.message, problem.suggestion or "") for problem in raised.value.problems]


def column(values: Sequence[Any]) -> np.ndarray:
    return np.array(values)[:, None]


def test_standardises_by_hand_computed_moments() -> None:
    # Column (1, 3): mean 2, standard deviation √((1 + 1)/2) = 1. Target (10, 30): mean 20, deviation 10.
    data = prepare(table([[1.0], [3.0]], [[10.0], [30.0]]), options(), "continuous")
    assert data.inputs.tolist() == [[-1.0], [1.0]]
    assert data.targets.tolist() == [[-1.0], [1.0]]
    assert [data.input_shift.item(), data.input_scale.item()] == [2.0, 1.0]
    assert [data.target_shift.item(), data.target_scale.item()] == [20.0, 10.0]
    assert data.inputs.dtype == data.targets.dtype == np.float64


def test_standardisation_can_be_switched_off() -> None:
    data = prepare(table([[1.0], [3.0]], [[10.0], [30.0]]), options(inputs=False, targets=False), "continuous")
    assert data.inputs.tolist() == [[1.0], [3.0]]
    assert data.targets.tolist() == [[10.0], [30.0]]
    assert data.input_shift.tolist() == data.target_shift.tolist() == [0.0]
    assert data.input_scale.tolist() == data.target_scale.tolist() == [1.0]


def test_held_out_rows_never_enter_the_moments() -> None:
    # Whatever the held-out rows hold, shift, scale and the training rows stay the same bits.
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(20, 3)), rng.normal(size=(20, 1))
    before = prepare(table(inputs, targets), options(test=0.25), "continuous")
    changed_inputs, changed_targets = inputs.copy(), targets.copy()
    changed_inputs[before.test_rows] = 1e6
    changed_targets[before.test_rows] = -1e6
    after = prepare(table(changed_inputs, changed_targets), options(test=0.25), "continuous")
    for name in ("input_shift", "input_scale", "target_shift", "target_scale", "train_rows", "test_rows"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    assert all(np.array_equal(a, b) for a, b in zip(before.train(), after.train(), strict=True))
    np.testing.assert_allclose(after.train()[0].mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(after.train()[0].std(axis=0), 1, atol=1e-14)


def test_split_is_a_partition_that_depends_on_the_split_alone() -> None:
    # 0.3 of 10 rows is 3.
    train, test = split_rows(10, SplitOptions(test=0.3, seed=5))
    assert len(test) == 3
    assert sorted([*train, *test]) == list(range(10))
    assert train.tolist() == sorted(train)
    assert test.tolist() == sorted(test)
    assert train.dtype == test.dtype == np.int64
    expected = np.random.Generator(np.random.Philox(key=5)).permutation(10)[:3]
    assert test.tolist() == sorted(expected)
    one = prepare(table(np.arange(10.0)[:, None], np.arange(10.0)[:, None]), options(0.3, 5), "continuous")
    other = prepare(table(np.ones((10, 2)), np.ones((10, 1))), options(0.3, 5, inputs=False), "counts")
    assert one.test_rows.tolist() == other.test_rows.tolist() == test.tolist()
    assert split_rows(10, SplitOptions(test=0.3, seed=6))[1].tolist() != test.tolist()
    assert len(split_rows(10, SplitOptions(test=0.3, seed=2**200))[1]) == 3


@pytest.mark.parametrize(("share", "held_out"), [(0.3, [7, 8, 9]), (0.25, [8, 9]), (0.0, [])])
def test_the_last_rows_are_held_out_in_order(share: float, held_out: list[int]) -> None:
    train, test = split_rows(10, SplitOptions(test=share, rows="last", seed=5))
    assert test.tolist() == held_out
    assert train.tolist() == list(range(10 - len(held_out)))
    assert train.dtype == test.dtype == np.int64


def test_inputs_standardised_together_keep_their_proportions() -> None:
    # Training inputs 1, 1, 3, 3: mean 2, deviation 1 for both columns, though each of them is constant.
    chosen = ColumnOptions(
        target=("t0",),
        split=SplitOptions(test=0.34, rows="last"),
        standardize=StandardizeOptions(inputs="together"),
    )
    data = prepare(table([[1.0, 3.0], [1.0, 3.0], [2.0, 5.0]], [[0.0], [1.0], [2.0]]), chosen, "continuous")
    assert data.inputs.tolist() == [[-1.0, 1.0], [-1.0, 1.0], [0.0, 3.0]]
    assert data.input_shift.tolist() == [2.0, 2.0]
    assert data.input_scale.tolist() == [1.0, 1.0]
    assert data.transform_inputs([[2.0, 5.0]]).tolist() == [[0.0, 3.0]]


def test_inputs_that_are_all_one_number_cannot_be_standardised_together() -> None:
    found = problems([[2.0, 2.0]] * 3, [[0.0], [1.0], [2.0]], chosen=options(inputs="together"))
    assert ["one and the same value" in message for _, message, _ in found] == [True]


def test_inputs_with_several_axes_are_standardised_element_by_element() -> None:
    inputs = np.random.default_rng(0).normal(3, 2, size=(8, 2, 3))
    data = prepare(table(inputs, np.arange(8.0)[:, None]), options(), "continuous")
    assert data.input_shape == (2, 3)
    assert data.input_shift.shape == data.input_scale.shape == (2, 3)
    np.testing.assert_allclose(data.inputs, (inputs - inputs.mean(0)) / inputs.std(0), rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (5, 2), elements=st.floats(-1e300, 1e300)))
@example(values=np.array([[5e-324, 1e-320]] + [[0.0, -3e-322]] * 4))
def test_moments_survive_extreme_values(values: np.ndarray) -> None:
    # The reference is numpy in extended precision, whose exponents reach 10^±4932. Numbers below 2^−1022 are multiples
    # of 2^−1074: m is off by half of that at most, s by all of it, since it is 0 for constant columns alone.
    shift, scale = moments(values)
    wide = values.astype(np.longdouble)
    peak = np.abs(wide).max(axis=0)
    spacing = np.ldexp(np.longdouble(1), -1074)
    assert np.all(np.abs(shift - wide.mean(axis=0)) <= 1e-12 * peak + spacing / 2)
    varies = values.max(axis=0) != values.min(axis=0)
    assert np.all((scale > 0) == varies)
    assert np.all(np.abs(scale - wide.std(axis=0))[varies] <= 1e-7 * peak[varies] + spacing)


def test_scaling_by_a_power_of_two_changes_no_bit_of_ordinary_moments() -> None:
    values = np.random.default_rng(1).normal(5, 3, size=(100, 4))
    shift, scale = moments(values)
    assert np.array_equal(shift, values.mean(axis=0))
    assert np.array_equal(scale, values.std(axis=0))


@pytest.mark.parametrize(
    ("labels", "classes", "codes"),
    [
        (["b", "a", "c", "a"], ("a", "b", "c"), [1, 0, 2, 0]),
        ([10, 9, 10, 9], ("9", "10"), [1, 0, 1, 0]),  # by value; as text "10" would come first
        ([2.0, 1.0, 0.5, 1.0], ("0.5", "1", "2"), [2, 1, 0, 1]),
        ([True, False, True, False], ("False", "True"), [1, 0, 1, 0]),
    ],
)
def test_class_codes(labels: list[Any], classes: tuple[str, ...], codes: list[int]) -> None:
    for values in (column(labels), column(labels).astype(object)):
        data = prepare(table([[1.0], [2.0], [3.0], [4.0]], values), options(), "classes")
        assert data.classes == classes
        assert data.targets[:, 0].tolist() == codes
        assert data.targets.dtype == np.float64
        assert data.n_classes == len(classes)
        assert data.target_scale.tolist() == [1.0]


def test_binary_columns_share_their_two_labels() -> None:
    targets = np.array([["no", "yes"], ["yes", "no"], ["no", "no"]])
    data = prepare(table([[1.0], [2.0], [3.0]], targets), options(), "binary")
    assert data.classes == ("no", "yes")
    assert data.targets.tolist() == [[0, 1], [1, 0], [0, 0]]


def test_counts_are_kept_as_they_are() -> None:
    data = prepare(table([[1.0], [2.0]], [[0], [7]]), options(), "counts")
    assert data.targets.tolist() == [[0.0], [7.0]]
    assert data.classes == ()
    assert data.n_classes == 0


GOOD = [[1.0], [2.0], [3.0], [4.0]]
"""Four rows of one input with nothing wrong."""


def test_no_rows() -> None:
    ((path, message, suggestion),) = problems(np.empty((0, 1)), np.empty((0, 1)))
    assert path == "data"  # ColumnOptions alone has no key for where rows come from
    assert "0 rows" in message
    assert suggestion


def test_one_row() -> None:
    ((_, message, _),) = problems([[1.0]], [[1.0]])
    assert "1 row; expected at least 2" in message


def test_split_leaves_too_few_training_rows() -> None:
    # 0.9 of 4 rows rounds to 4, 0.8 to 3.
    ((path, message, suggestion),) = problems(GOOD, GOOD, chosen=options(test=0.9))
    assert path == "data.split.test"
    assert "leaves no row to train on" in message
    assert "0.5 or less" in suggestion
    ((path, message, _),) = problems(GOOD, GOOD, chosen=options(test=0.8))
    assert "leaves 1 row" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value: float) -> None:
    inputs, targets = np.array(GOOD), np.array(GOOD)
    inputs[2], targets[1], targets[3] = value, value, value
    found = problems(inputs, targets)
    assert [path for path, _, _ in found] == ["data.inputs", "data.target"]
    assert found[0][1].startswith(f"input column 'a0' is {value} in row 3; expected")
    assert found[1][1].startswith(f"target column 't0' is {value} in row 2 and in 1 more; expected")


def test_element_of_inputs_with_several_axes_is_named() -> None:
    inputs = np.random.default_rng(0).normal(size=(4, 2, 3))
    inputs[1, 1, 2] = np.nan
    ((_, message, _),) = problems(inputs, GOOD)
    assert "'a[1, 2]' is nan in row 2" in message


def test_text_in_numeric_columns() -> None:
    inputs = np.array([[1, "1"], [2, "x"], [3, "3"], [4, "4"]], dtype=object)
    found = problems(inputs, np.array([["1.5"], ["2.5"], ["3.5"], ["4.5"]], dtype=object))
    assert found[0][:2] == ("data.inputs", "input column 'a1' holds text in row 2: 'x'; expected numbers")
    assert found[1][:2] == ("data.target", "target column 't0' holds text in row 1: '1.5'; expected numbers")
    assert len(found) == 2


def test_numbers_in_an_array_of_objects_are_numbers() -> None:
    inputs = np.array([[1], [2.5], [True], [np.float32(4)]], dtype=object)
    data = prepare(table(inputs, GOOD), options(inputs=False), "continuous")
    assert data.inputs[:, 0].tolist() == [1.0, 2.5, 1.0, 4.0]


def test_missing_value_in_an_array_of_objects() -> None:
    ((_, message, _),) = problems(np.array([[1.0], [None], [3.0], [4.0]], dtype=object), GOOD)
    assert "is nan in row 2" in message


def test_constant_columns() -> None:
    # 0.1 is the case where rounding in the mean gives a deviation of 1.4e-17 instead of 0.
    inputs = np.column_stack([np.full(10, 0.1), np.arange(10.0), np.full(10, 3.0)])
    found = problems(inputs, np.full((10, 1), 0.1))
    assert [path for path, _, _ in found] == ["data.inputs", "data.target"]
    assert "input columns 'a0', 'a2': one and the same value in all training rows" in found[0][1]
    assert "leave the column out with `inputs`, or set data.standardize.inputs to together, or to false" in found[0][2]
    assert "data.standardize.targets to false" in found[1][2]
    prepare(table(inputs, np.full((10, 1), 0.1)), options(inputs=False, targets=False), "continuous")


def test_column_that_varies_only_among_held_out_rows_is_constant() -> None:
    train, test = split_rows(10, SplitOptions(test=0.2))
    inputs = np.zeros((10, 1))
    inputs[test] = 1.0
    ((_, message, _),) = problems(inputs, np.arange(10.0)[:, None], chosen=options(test=0.2))
    assert "in all training rows" in message
    assert len(train) == 8


def test_one_class() -> None:
    ((path, message, _),) = problems(GOOD, column(["a"] * 4), "classes")
    assert path == "data.target"
    assert "all rows have the label 'a'; expected at least two" in message


def test_several_columns_of_classes() -> None:
    ((path, message, _),) = problems(GOOD, [[0, 1], [1, 0], [0, 0], [1, 1]], "classes")
    assert path == "data.target"
    assert "2 target columns; expected one" in message


@pytest.mark.parametrize(("labels", "count"), [(["a", "b", "c", "a"], 3), (["a"] * 4, 1)])
def test_binary_needs_two_labels(labels: list[str], count: int) -> None:
    ((path, message, _),) = problems(GOOD, column(labels), "binary")
    assert path == "data.target"
    assert f"{count} labels in the target" in message
    assert "expected exactly two" in message


def test_binary_column_with_one_label() -> None:
    ((_, message, _),) = problems(GOOD, [[0, 1], [1, 1], [0, 1], [1, 1]], "binary")
    assert "'t1' has only one label" in message


@pytest.mark.parametrize("kind", ["classes", "binary"])
def test_label_only_in_held_out_rows(kind: TargetKind) -> None:
    _, test = split_rows(10, SplitOptions(test=0.2))
    labels = np.full((10, 1), "common", dtype=object)
    labels[test] = "rare"
    ((path, message, suggestion),) = problems(np.arange(10.0)[:, None], labels, kind, options(test=0.2))
    assert path == "data.split.test"
    assert "'rare' of column 't0' only in held-out rows" in message
    assert "data.split.seed" in suggestion


@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_label(missing: Any) -> None:
    targets = np.array([["a"], ["b"], [missing], ["a"]], dtype=object)
    ((path, message, _),) = problems(GOOD, targets, "classes")
    assert path == "data.target"
    assert "no finite label in row 3" in message
    ((_, message, _),) = problems(GOOD, [[0.0], [1.0], [np.nan], [1.0]], "classes")
    assert "no finite label in row 3" in message


@pytest.mark.parametrize("value", [-1.0, 0.5])
def test_wrong_counts(value: float) -> None:
    ((path, message, _),) = problems(GOOD, [[0.0], [1.0], [value], [value]], "counts")
    assert path == "data.target"
    assert f"'t0' is {value} in row 3; expected counts" in message


def test_everything_wrong_is_raised_together() -> None:
    inputs = np.array([[1, 5, "x"], [np.nan, 5, 2], [3, 5, 3]], dtype=object)
    found = problems(inputs, [[-1.0], [0.5], [np.inf]], "counts", options(test=0.7))
    assert sorted(path for path, _, _ in found) == [
        "data.inputs",  # text
        "data.inputs",  # nan
        "data.split.test",
        "data.target",  # inf
        "data.target",  # negative
    ]


def test_long_lists_of_problems_are_cut() -> None:
    # 30 columns with NaN: 10 are named, the eleventh line counts the other 20.
    found = problems(np.full((3, 30), np.nan), [[1.0], [2.0], [3.0]])
    assert len(found) == 11
    assert "20 more columns" in found[-1][1]


def test_value_too_far_out_to_standardise() -> None:
    _, test = split_rows(10, SplitOptions(test=0.1))
    inputs = 1e-9 * np.arange(10.0)[:, None]
    inputs[test] = 1e301
    ((_, message, _),) = problems(inputs, np.arange(10.0)[:, None], chosen=options(test=0.1))
    assert "is inf in row" in message


@pytest.mark.parametrize(
    "broken",
    [
        Table(np.ones(3), np.ones((3, 1)), ("a",), ("t",)),
        Table(np.ones((3, 1)), np.ones(3), ("a",), ("t",)),
        Table(np.ones((3, 1)), np.ones((2, 1)), ("a",), ("t",)),
        Table(np.ones((3, 2)), np.ones((3, 1)), ("a",), ("t",)),
        Table(np.ones((3, 0)), np.ones((3, 1)), (), ("t",)),
    ],
)
def test_table_that_breaks_the_contract_is_the_fault_of_the_plugin(broken: Table) -> None:
    with pytest.raises(PluginError):
        prepare(broken, options(), "continuous")


def test_result_is_a_dataset_that_states_its_sizes() -> None:
    data = prepare(
        table(np.random.default_rng(0).normal(size=(10, 3)), np.arange(20.0).reshape(10, 2)), options(0.2), "continuous"
    )
    assert isinstance(data, Dataset)
    assert (data.input_shape, data.n_targets, data.n_classes, data.n_train) == ((3,), 2, 0, 8)
    assert data.train()[0].shape == (8, 3)
    assert data.test()[1].shape == (2, 2)


@pytest.mark.parametrize(("rows", "share"), [(3, "0.33"), (10, "0.8"), (150, "0.98"), (1000, "0.99"), (2, "0")])
def test_the_share_that_is_suggested_leaves_two_rows(rows: int, share: str) -> None:
    """Never 1, which is no share: of 1,000 rows 998 may be held out, 0.998 of them."""
    chosen = DataOptions.model_validate({"split": {"test": 0.9999}})
    (problem,) = enough_rows(rows, 0, chosen)
    assert problem.suggestion == f"try {share} or less"
    assert rows - round(float(share) * rows) >= 2
