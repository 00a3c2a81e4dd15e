"""The regular time series that come with statsmodels; they are part of the package, nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from structflow.errors import SpecError

if TYPE_CHECKING:
    import pandas

SeriesName = Literal["sunspots", "nile", "co2", "elnino", "macrodata", "interest_inflation", "danish_data"]

DEFAULT_COLUMN: dict[SeriesName, str] = {
    "sunspots": "SUNACTIVITY",
    "nile": "volume",
    "co2": "co2",
    "elnino": "temperature",
    "macrodata": "realgdp",
    "interest_inflation": "Dp",
    "danish_data": "lrm",
}
"""The column of each that is taken unless the spec names one."""

TIME_COLUMNS = ("YEAR", "year", "quarter")
"""Columns that say when; the rows stand in that order already."""


@dataclass(frozen=True)
class Series:
    """One column in order of time: values (steps,) in float64, NaN where missing, and a word for each step."""

    column: str
    values: np.ndarray
    when: tuple[str, ...]


def read_series(name: SeriesName, column: str | None) -> Series:
    """A column of a data set; raises `SpecError` for one that isn't there."""
    from statsmodels import datasets

    frame = getattr(datasets, name).load_pandas().data
    if name == "elnino":
        frame = months_in_a_row(frame)
    columns = [str(known) for known in frame.columns if known not in TIME_COLUMNS]
    wanted = column or DEFAULT_COLUMN[name]
    if wanted not in columns:
        message = f"{name} has no column {wanted!r}; expected one of {', '.join(columns)}"
        raise SpecError.single("data.column", message, f"leave it out for {DEFAULT_COLUMN[name]}")
    return Series(wanted, frame[wanted].to_numpy(dtype=np.float64), words_for_time(frame))


def months_in_a_row(years: pandas.DataFrame) -> pandas.DataFrame:
    """The table of El Niño, a year a row and a month a column, as one monthly series `temperature`."""
    import pandas

    months = [name for name in years.columns if name != "YEAR"]
    index = pandas.period_range(f"{int(years['YEAR'].iloc[0])}-01", periods=len(years) * len(months), freq="M")
    return pandas.DataFrame({"temperature": years[months].to_numpy().ravel()}, index=index)


def words_for_time(frame: pandas.DataFrame) -> tuple[str, ...]:
    """When each row was, from its columns of time or else its index: `1958-05-10`, `1959 quarter 2`."""
    names = {str(name).lower(): frame[name].astype(int) for name in frame.columns if name in TIME_COLUMNS}
    if not names:
        return tuple(str(label).removesuffix(" 00:00:00") for label in frame.index)
    quarters = names.get("quarter")
    if quarters is None:
        return tuple(str(year) for year in names["year"])
    return tuple(f"{year} quarter {quarter}" for year, quarter in zip(names["year"], quarters, strict=True))
