"""structflow's conformance kit over everything that this package registers."""

from structflow.testing import BasisExample, BasisFunctionTests, DataSourceExample, DataSourceTests, PackageTests
from structflow_sequence.attention import Attention
from structflow_sequence.autoregression import Autoregression
from structflow_sequence.gru import GatedRecurrentUnit
from structflow_sequence.lstm import LongShortTermMemory
from structflow_sequence.statsmodels_series import StatsmodelsSeries
from structflow_sequence.temporal_convolution import TemporalConvolution


class TestPackage(PackageTests):
    package = "structflow-sequence"


class TestAttention(BasisFunctionTests):
    plugin = Attention
    examples = (
        BasisExample({"position_channels": 4}, (5, 2), (3,)),
        BasisExample({"heads": 2}, (4, 1), (4, 4)),
        BasisExample({"causal": False, "position_channels": 0}, (3, 2), (3, 2)),
    )


class TestAutoregression(BasisFunctionTests):
    plugin = Autoregression
    examples = (BasisExample({}, (6, 1), (1,)), BasisExample({"order": 2, "bias": False}, (5, 2), (3,)))


class TestGatedRecurrentUnit(BasisFunctionTests):
    plugin = GatedRecurrentUnit
    examples = (BasisExample({}, (4, 2), (3,)), BasisExample({}, (3, 1), (3, 2)))


class TestLongShortTermMemory(BasisFunctionTests):
    plugin = LongShortTermMemory
    examples = (BasisExample({}, (4, 2), (3,)), BasisExample({}, (3, 1), (3, 2)))


class TestTemporalConvolution(BasisFunctionTests):
    plugin = TemporalConvolution
    examples = (
        BasisExample({}, (5, 2), (3,)),
        BasisExample({"kernel_size": 2, "dilation": 3, "activation": "tanh"}, (5, 2), (5, 3)),
    )


class TestStatsmodelsSeries(DataSourceTests):
    plugin = StatsmodelsSeries
    examples = (
        DataSourceExample({"name": "sunspots"}),
        DataSourceExample({"name": "co2", "length": 8, "horizon": 3, "missing": "skip"}),
        DataSourceExample({"name": "macrodata", "column": "realinv", "transform": "log_difference"}),
    )
