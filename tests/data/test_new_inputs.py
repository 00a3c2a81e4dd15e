"""Inputs to predict for: columns by name in whatever holds them, and nothing that isn't a finite number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
import xarray

from structflow.data.new_inputs import new_inputs
from structflow.errors import CallError

NAMES = ("area", "age")
FRAME = pandas.DataFrame({"age": [1.0, 2.0], "price": [0.0, 0.0], "area": [10, 20]})


@pytest.mark.parametrize(
    "form",
    [
        lambda frame: frame,
        lambda frame: frame[["area", "age"]],
        lambda frame: frame.astype(object),
        lambda frame: frame.astype("Float64"),
        lambda frame: frame.to_dict("list"),
        lambda frame: frame.to_records(index=False),
        pyarrow.Table.from_pandas,
        xarray.Dataset.from_dataframe,
        lambda frame: xarray.DataArray(frame.to_numpy(), dims=("row", "column"), coords={"column": list(frame)}),
        lambda frame: frame[["area", "age"]].to_numpy(),
        lambda frame: frame[["area", "age"]].to_numpy().tolist(),
        lambda frame: pandas.DataFrame(frame[["area", "age"]].to_numpy()),
        lambda frame: np.ma.array(frame[["area", "age"]].to_numpy(), mask=False),
    ],
)
def test_columns_stand_where_their_names_say(form: Callable[[pandas.DataFrame], Any]) -> None:
    """Whatever the order, and with a column more; without names the order is that of the training table."""
    assert new_inputs(form(FRAME), NAMES, (2,)).tolist() == [[10, 1], [20, 2]]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (FRAME[["age"]], "there is no column 'area' among 'age': add it, or rename .* are 'area', 'age'"),
        (FRAME.rename(columns={"price": "age"}), "2 columns are named 'age'"),
        (FRAME.assign(age=[1, None]), "'age' is nan in row 2"),
        (FRAME.assign(age=[1, np.inf]), "'age' is inf in row 2"),
        (FRAME.assign(age=["1", "2"]), "'age' holds text in row 1: '1'"),
        (FRAME.assign(age=[True, None]), "'age' is nan in row 2"),
        (FRAME.assign(age=pandas.to_datetime(["2020-01-01"] * 2)), "'age' holds a Timestamp in row 1"),
        (FRAME["area"], r"series.to_frame\(\).T for one row"),
        (pandas.DataFrame([[1, 2]], columns=[1, 0]), "there is no column 'area'"),
        (pandas.DataFrame([[1, 2, 3]]), r"shape \(1, 3\); expected \(rows, 2\)"),
        ({"area": [1, 2], "age": [1]}, "'area' has 2, 'age' has 1"),
        ({"area": 1.0, "age": 2.0}, r"column 'area' has shape \(\)"),
        ([1, 2], r"for one row, reshape it to \(1, -1\)"),
        ([[1, 2], [3, None]], "'age' is nan in row 2"),
        (np.array([[1, 2 + 1j]]), "'age' holds a complex in row 1"),
        (np.array([["2020-01-01", "2021-01-01"]], dtype="M8[ns]"), "'area' holds a Timestamp"),
        (np.ma.array([[1, 2.0]], mask=[[False, True]]), "'age' is nan in row 1"),
        ([[1, 10**400]], "'age' is inf in row 1"),
        ([[1], [1, 2]], "can't be read as an array"),
    ],
)
def test_what_cannot_be_predicted_for_is_named(raw: Any, message: str) -> None:
    with pytest.raises(CallError, match=message):
        new_inputs(raw, NAMES, (2,))


def test_images_have_no_columns() -> None:
    image = np.arange(12.0).reshape(1, 3, 4)
    assert np.array_equal(new_inputs(image, ("x",), (3, 4)), image)
    image[0, 1, 2] = np.nan
    with pytest.raises(CallError, match=r"x\[1, 2\]' is nan in row 1"):
        new_inputs(image, ("x",), (3, 4))
    with pytest.raises(CallError, match="which has columns; expected an array"):
        new_inputs(FRAME, ("x",), (3, 4))
