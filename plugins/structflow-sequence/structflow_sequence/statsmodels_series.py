"""The series that come with statsmodels, cut into windows to forecast from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from structflow.errors import SpecError
from structflow.plugins import DataOptions, DataSource, Table

from .series import Series, SeriesName, read_series
from .windows import Transform, complete, transformed, windows


class StatsmodelsSeriesOptions(DataOptions):
    """Which series, and what is forecast from what."""

    name: SeriesName = Field(description="Name of the data set.")
    column: str | None = Field(None, min_length=1, description="Column; each data set has a usual one.")
    length: int = Field(16, ge=1, description="Steps in a window.")
    horizon: int = Field(1, ge=1, description="How many steps after the window the target is.")
    transform: Transform = Field("none", description="What is done to the series first; it changes the units.")
    missing: Literal["error", "skip"] = Field(
        "error", description="Whether missing values are refused, or windows and targets that hold one are left out."
    )


class StatsmodelsSeries(DataSource):
    """Windows of a series (rows, length, 1) and the value `horizon` steps after each, in order of time.

    Yearly sunspots 1700 to 2008, the Nile's flow 1871 to 1970, weekly CO₂ at Mauna Loa (59 of 2,284 weeks are
    missing), monthly sea temperatures of El Niño, quarterly data of the United States (`macrodata`), Germany
    (`interest_inflation`) and Denmark; nothing is downloaded. Use it with `split: {rows: last}`: neighbouring windows
    overlap, so rows held out at random would be known almost wholly from the training rows. The target, its
    metrics and the evidence are in the units of the transformed series.
    """

    type = "statsmodels_series"
    Options = StatsmodelsSeriesOptions

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """The windows; raises `SpecError` for missing values, logs of what isn't positive, and too long windows."""
        series = read_series(options.name, options.column)
        values = transformed(usable_values(series, options), options.transform)
        least = options.length + options.horizon
        if len(values) < least:
            message = (
                f"{series.column} of {options.name} has {len(values)} steps; a window of {options.length} and a target "
                f"{options.horizon} later need {least}"
            )
            raise SpecError.single("data.length", message, f"try {max(1, len(values) // 4)} or less")
        inputs, targets = complete(*windows(values, options.length, options.horizon))
        return Table(inputs[:, :, None], targets[:, None], (series.column,), (series.column,))


def usable_values(series: Series, options: StatsmodelsSeriesOptions) -> np.ndarray:
    """The values (steps,), positive where a logarithm follows, and complete unless gaps are skipped (NaN).

    Raises `SpecError` otherwise.
    """
    values = series.values
    gaps = np.flatnonzero(~np.isfinite(values))
    if len(gaps) and options.missing == "error":
        message = (
            f"{series.column} of {options.name} is missing at {len(gaps)} of {len(values)} steps, first at "
            f"{series.when[gaps[0]]}; expected a complete series"
        )
        remedy = "set data.missing to skip to leave out the windows that hold a gap, or choose another series"
        raise SpecError.single("data.missing", message, remedy)
    if options.transform in ("log", "log_difference") and np.nanmin(values) <= 0:
        step = int(np.nanargmin(values))
        message = (
            f"a logarithm needs values above 0, but {series.column} of {options.name} is {values[step]:g} at "
            f"{series.when[step]}"
        )
        raise SpecError.single("data.transform", message, "use none or difference")
    return values
