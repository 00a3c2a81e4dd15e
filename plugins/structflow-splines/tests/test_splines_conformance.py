"""structflow's conformance kit over everything that this package registers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from structflow.testing import BasisExample, conformance

CHECKS = conformance(
    "structflow-splines",
    examples={
        "b_spline": [
            BasisExample({}, (3,), (2,)),
            BasisExample({"degree": 0, "intervals": 4}, (1,), (2,)),
        ],
        "fourier": [BasisExample({}, (3,), (2,))],
        "radial": [BasisExample({}, (3,), (2,))],
        "rational": [BasisExample({"numerator": 2, "denominator": 3}, (1,), (4,))],
    },
)


@pytest.mark.parametrize("check", CHECKS)
def test_conformance(check: Callable[[], None]) -> None:
    check()
