"""What structflow asks of every plugin, asked of this package's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from structflow.testing import BasisExample, conformance

IMAGE, HALVED, WIDER = (3, 6, 6), (3, 3, 3), (4, 6, 6)
CHECKS = conformance(
    "structflow-vision",
    examples={
        "convolution": [
            BasisExample({}, IMAGE, WIDER),
            BasisExample({"size": 5, "activation": "none", "bias": False}, IMAGE, HALVED),
        ],
        "dilated_convolution": [BasisExample({}, IMAGE, WIDER), BasisExample({"dilation": 3}, IMAGE, HALVED)],
        "separable_convolution": [BasisExample({}, IMAGE, WIDER), BasisExample({"activation": "gelu"}, IMAGE, HALVED)],
        "max_pool": [BasisExample({}, IMAGE, IMAGE), BasisExample({}, IMAGE, HALVED)],
        "average_pool": [BasisExample({}, IMAGE, IMAGE), BasisExample({}, IMAGE, HALVED)],
        "flat_linear": [BasisExample({}, IMAGE, (2,))],
        "pooled_linear": [BasisExample({}, IMAGE, (2,))],
    },
)


@pytest.mark.parametrize("check", CHECKS)
def test_conformance(check: Callable[[], None]) -> None:
    check()
