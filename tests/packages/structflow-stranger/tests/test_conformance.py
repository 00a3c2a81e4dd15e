from structflow.testing import (
    BasisExample,
    BasisFunctionTests,
    HypergradientTests,
    LikelihoodExample,
    LikelihoodTests,
    PackageTests,
)

from structflow_stranger.hypergradient import SignDirect
from structflow_stranger.likelihood import StudentT
from structflow_stranger.wavelet import RidgeWavelet


class TestPackage(PackageTests):
    package = "structflow-stranger"


class TestRidgeWavelet(BasisFunctionTests):
    plugin = RidgeWavelet
    examples = [BasisExample({}, (3,), (2,)), BasisExample({"scale": 2.5}, (4,), (1,))]


class TestStudentT(LikelihoodTests):
    plugin = StudentT
    examples = [LikelihoodExample({}, 2, 0), LikelihoodExample({"degrees_of_freedom": 30}, 1, 0)]


class TestSignDirect(HypergradientTests):
    plugin = SignDirect
