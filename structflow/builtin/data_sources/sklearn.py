"""The small data sets that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...plugins import DataOptions, DataSource, Table


class SklearnOptions(DataOptions):
    """Which data set."""

    name: Literal["diabetes", "iris", "wine", "breast_cancer", "digits"] = Field(description="Name of the data set.")


class Sklearn(DataSource):
    """Diabetes (a continuous target), or iris, wine, breast_cancer, digits (class names); nothing is downloaded.

    Some pixels of the digits never vary, so they need `standardize: {inputs: together}` (or false).
    """

    type = "sklearn"
    Options = SklearnOptions

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """The table: inputs (rows, features), digits as (rows, 64); one target column."""
        import numpy as np
        from sklearn import datasets

        loaders = {
            "diabetes": datasets.load_diabetes,
            "iris": datasets.load_iris,
            "wine": datasets.load_wine,
            "breast_cancer": datasets.load_breast_cancer,
            "digits": datasets.load_digits,
        }
        loaded = loaders[options.name]()
        if options.name == "diabetes":
            targets, target_name = loaded.target, "progression"
        else:
            targets, target_name = loaded.target_names[loaded.target], "class"
        inputs = np.asarray(loaded.data, dtype=np.float64)
        names = tuple(str(name) for name in loaded.feature_names)
        return Table(inputs, np.asarray(targets)[:, None], names, (target_name,))
