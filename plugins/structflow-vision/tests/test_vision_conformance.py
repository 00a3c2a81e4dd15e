"""What structflow asks of every plugin, asked of this package's."""

from structflow.testing import BasisExample, BasisFunctionTests, PackageTests
from structflow_vision.convolution import Convolution
from structflow_vision.dilated_convolution import DilatedConvolution
from structflow_vision.heads import FlatLinear, PooledLinear
from structflow_vision.pooling import AveragePool, MaxPool
from structflow_vision.separable_convolution import SeparableConvolution

IMAGE, HALVED, WIDER = (3, 6, 6), (3, 3, 3), (4, 6, 6)


class TestPackage(PackageTests):
    package = "structflow-vision"


class TestConvolution(BasisFunctionTests):
    plugin = Convolution
    examples = (
        BasisExample({}, IMAGE, WIDER),
        BasisExample({"size": 5, "activation": "none", "bias": False}, IMAGE, HALVED),
    )


class TestDilatedConvolution(BasisFunctionTests):
    plugin = DilatedConvolution
    examples = (BasisExample({}, IMAGE, WIDER), BasisExample({"dilation": 3}, IMAGE, HALVED))


class TestSeparableConvolution(BasisFunctionTests):
    plugin = SeparableConvolution
    examples = (BasisExample({}, IMAGE, WIDER), BasisExample({"activation": "gelu"}, IMAGE, HALVED))


class TestMaxPool(BasisFunctionTests):
    plugin = MaxPool
    examples = (BasisExample({}, IMAGE, IMAGE), BasisExample({}, IMAGE, HALVED))


class TestAveragePool(BasisFunctionTests):
    plugin = AveragePool
    examples = (BasisExample({}, IMAGE, IMAGE), BasisExample({}, IMAGE, HALVED))


class TestFlatLinear(BasisFunctionTests):
    plugin = FlatLinear
    examples = (BasisExample({}, IMAGE, (2,)),)


class TestPooledLinear(BasisFunctionTests):
    plugin = PooledLinear
    examples = (BasisExample({}, IMAGE, (2,)),)
