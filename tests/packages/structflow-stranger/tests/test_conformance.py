import pytest
from structflow.testing import BasisExample, LikelihoodExample, conformance

CHECKS = conformance(
    "structflow-stranger",
    examples={
        "ridge_wavelet": [BasisExample({}, (3,), (2,)), BasisExample({"scale": 2.5}, (4,), (1,))],
        "student_t": [LikelihoodExample({}, 2, 0), LikelihoodExample({"degrees_of_freedom": 30}, 1, 0)],
    },
)


@pytest.mark.parametrize("check", CHECKS)
def test_conformance(check):
    check()
