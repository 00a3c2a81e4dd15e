"""Windows of series against a plain loop, the series of statsmodels against published values, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from structflow.errors import SpecError
from structflow.plugins import Table
from structflow_sequence.series import SeriesName, read_series
from structflow_sequence.statsmodels_series import StatsmodelsSeries, StatsmodelsSeriesOptions
from structflow_sequence.windows import Transform, complete, transformed, windows


def table(**options: Any) -> Table:
    """What the source reads with these options."""
    return StatsmodelsSeries.read(StatsmodelsSeriesOptions(**options), Path())


@pytest.mark.parametrize("length", [1, 4])
@pytest.mark.parametrize("horizon", [1, 3])
def test_windows_are_those_of_a_plain_loop(length: int, horizon: int) -> None:
    values = np.random.default_rng(0).standard_normal(12)
    rows = [
        ([values[last - back] for back in reversed(range(length))], values[last + horizon])
        for last in range(length - 1, 12 - horizon)  # the last step of a window, such that its target exists
    ]
    inputs, targets = windows(values, length, horizon)
    assert inputs.tolist() == [window for window, _ in rows]
    assert targets.tolist() == [target for _, target in rows]


def test_the_shortest_series_gives_one_row() -> None:
    inputs, targets = windows(np.arange(5.0), 3, 2)
    assert (inputs.tolist(), targets.tolist()) == ([[0.0, 1.0, 2.0]], [4.0])


def test_transforms_are_their_formulas() -> None:
    values = np.array([1.0, 2.0, 8.0])
    assert transformed(values, "none").tolist() == [1.0, 2.0, 8.0]
    assert transformed(values, "difference").tolist() == [1.0, 6.0]
    np.testing.assert_allclose(transformed(values, "log"), np.log(2) * np.array([0.0, 1.0, 3.0]), rtol=1e-14)
    np.testing.assert_allclose(transformed(values, "log_difference"), np.log(2) * np.array([1.0, 2.0]), rtol=1e-14)


def test_rows_with_a_missing_value_are_left_out() -> None:
    """Of 1, –, 3, 4, 5, 6 windows of 2 and the value after: only 3 4 → 5 and 4 5 → 6 are complete."""
    inputs, targets = complete(*windows(np.array([1.0, np.nan, 3.0, 4.0, 5.0, 6.0]), 2, 1))
    assert inputs.tolist() == [[3.0, 4.0], [4.0, 5.0]]
    assert targets.tolist() == [5.0, 6.0]


@pytest.mark.parametrize("name", get_args(SeriesName))
def test_every_series_comes_with_statsmodels(name: SeriesName) -> None:
    series = read_series(name, None)
    steps = {
        "sunspots": 309,  # 1700 to 2008
        "nile": 100,  # 1871 to 1970
        "co2": 2284,  # weeks, 1958-03-29 to 2001-12-29
        "elnino": 61 * 12,  # 1950 to 2010
        "macrodata": 203,  # 1959 Q1 to 2009 Q3
        "interest_inflation": 107,  # 1972 Q2 to 1998 Q4
        "danish_data": 55,  # 1974 Q1 to 1987 Q3
    }
    assert series.values.shape == (steps[name],)
    assert len(series.when) == steps[name]
    assert np.isnan(series.values).sum() == (59 if name == "co2" else 0)


def test_sunspots_are_those_of_the_years() -> None:
    """The yearly mean of the last great maximum, 1957, is 190.2; the row's window is 1953 to 1956."""
    read = table(name="sunspots", length=4)
    row = 1957 - 1700 - 4
    assert read.inputs.shape == (305, 4, 1)
    assert read.targets[row].tolist() == [190.2]
    assert read.inputs[row, :, 0].tolist() == [13.9, 4.4, 38.0, 141.7]
    assert (read.input_names, read.target_names) == (("SUNACTIVITY",), ("SUNACTIVITY",))


def test_months_of_el_nino_follow_each_other() -> None:
    series = read_series("elnino", None)
    assert (series.values[11], series.when[11]) == (21.80, "1950-12")
    assert (series.values[12], series.when[12]) == (24.19, "1951-01")


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        (
            {"name": "co2"},
            "data.missing",
            "co2 of co2 is missing at 59 of 2284 steps, first at 1958-05-10; expected a complete series",
        ),
        (
            {"name": "sunspots", "transform": "log"},
            "data.transform",
            "a logarithm needs values above 0, but SUNACTIVITY of sunspots is 0 at 1711",
        ),
        (
            {"name": "interest_inflation", "transform": "log_difference"},
            "data.transform",
            "Dp of interest_inflation is -0.0291948 at 1985 quarter 1",
        ),
        (
            {"name": "interest_inflation", "column": "rate"},
            "data.column",
            "interest_inflation has no column 'rate'; expected one of Dp, R",
        ),
        (
            {"name": "nile", "length": 98, "horizon": 3},
            "data.length",
            "volume of nile has 100 steps; a window of 98 and a target 3 later need 101",
        ),
    ],
)
def test_what_cannot_be_read_is_explained(options: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        table(**options)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert message in problem.message
    assert problem.suggestion


@pytest.mark.parametrize("transform", ["none", "difference"])
def test_skipping_keeps_every_complete_window_of_co2_and_makes_up_nothing(transform: Transform) -> None:
    """Against a loop over the weeks as they were measured."""
    measured = transformed(read_series("co2", None).values, transform)
    read = table(name="co2", length=3, horizon=2, missing="skip", transform=transform)
    expected = [
        [*measured[begin : begin + 3], measured[begin + 4]]
        for begin in range(len(measured) - 4)
        if np.isfinite([*measured[begin : begin + 3], measured[begin + 4]]).all()
    ]
    assert 1_900 < len(expected) < len(measured) - 4
    assert np.hstack([read.inputs[:, :, 0], read.targets]).tolist() == np.array(expected).tolist()
