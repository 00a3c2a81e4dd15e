"""structflow's conformance kit over everything that this package registers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from structflow.testing import BasisExample, DataSourceExample, conformance

CHECKS = conformance(
    "structflow-sequence",
    examples={
        "attention": [
            BasisExample({"position_channels": 4}, (5, 2), (3,)),
            BasisExample({"heads": 2}, (4, 1), (4, 4)),
            BasisExample({"causal": False, "position_channels": 0}, (3, 2), (3, 2)),
        ],
        "autoregression": [BasisExample({}, (6, 1), (1,)), BasisExample({"order": 2, "bias": False}, (5, 2), (3,))],
        "gru": [BasisExample({}, (4, 2), (3,)), BasisExample({}, (3, 1), (3, 2))],
        "lstm": [BasisExample({}, (4, 2), (3,)), BasisExample({}, (3, 1), (3, 2))],
        "temporal_convolution": [
            BasisExample({}, (5, 2), (3,)),
            BasisExample({"kernel_size": 2, "dilation": 3, "activation": "tanh"}, (5, 2), (5, 3)),
        ],
        "statsmodels_series": [
            DataSourceExample({"name": "sunspots"}),
            DataSourceExample({"name": "co2", "length": 8, "horizon": 3, "missing": "skip"}),
            DataSourceExample({"name": "macrodata", "column": "realinv", "transform": "log_difference"}),
        ],
    },
)


@pytest.mark.parametrize("check", CHECKS)
def test_conformance(check: Callable[[], None]) -> None:
    check()
