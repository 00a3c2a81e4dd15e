"""The conformance kit: whether plugins keep what their interface promises, as pytest tests of their own package.

    import pytest
    from structflow.testing import BasisExample, conformance

    CHECKS = conformance("structflow-splines", examples={"b_spline": [BasisExample({"degree": 3}, (3,), (2,))]})

    @pytest.mark.parametrize("check", CHECKS)
    def test_conformance(check):
        check()

The package must be installed: the kit asks the registry, as a run does.
"""

from .examples import BasisExample, DataSourceExample, Example, LikelihoodExample
from .suite import conformance
from .two_level_problem import QuadraticPoint, quadratic_point

__all__ = [
    "BasisExample",
    "DataSourceExample",
    "Example",
    "LikelihoodExample",
    "QuadraticPoint",
    "conformance",
    "quadratic_point",
]
