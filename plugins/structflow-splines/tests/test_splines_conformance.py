"""structflow's conformance kit over everything that this package registers."""

from structflow.testing import BasisExample, BasisFunctionTests, PackageTests
from structflow_splines.b_spline import BSpline
from structflow_splines.fourier import Fourier
from structflow_splines.radial import Radial
from structflow_splines.rational import Rational


class TestPackage(PackageTests):
    package = "structflow-splines"


class TestBSpline(BasisFunctionTests):
    plugin = BSpline
    examples = (BasisExample({}, (3,), (2,)), BasisExample({"degree": 0, "intervals": 4}, (1,), (2,)))


class TestFourier(BasisFunctionTests):
    plugin = Fourier
    examples = (BasisExample({}, (3,), (2,)),)


class TestRadial(BasisFunctionTests):
    plugin = Radial
    examples = (BasisExample({}, (3,), (2,)),)


class TestRational(BasisFunctionTests):
    plugin = Rational
    examples = (BasisExample({"numerator": 2, "denominator": 3}, (1,), (4,)),)
