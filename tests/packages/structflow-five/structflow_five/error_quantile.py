"""A quantile of the absolute errors."""

import numpy as np
from pydantic import Field
from structflow.plugins import Metric, Options


class ErrorQuantileOptions(Options):
    share: float = Field(0.5, gt=0, lt=1, description="Share of the errors that are smaller.")


class ErrorQuantile(Metric):
    """The quantile of |y − E y| over rows and targets; with `share` ½ the median absolute error."""

    type, interface = "error_quantile", (2, 0)
    Options = ErrorQuantileOptions
    targets = ("continuous", "counts")
    better = "lower"

    @staticmethod
    def value(options, predicted, y):
        return float(np.quantile(np.abs(y - predicted.mean), options.share))
