"""The conformance kit: whether plugins keep what their interface promises, as pytest classes that a package inherits.

    from structflow.testing import BasisExample, BasisFunctionTests, PackageTests
    from structflow_waves.wave import Wave

    class TestPackage(PackageTests):
        package = "structflow-waves"

    class TestWave(BasisFunctionTests):
        plugin = Wave
        examples = [BasisExample({"frequency": 3.0}, in_shape=(3,), out_shape=(2,))]

The package must be installed: the kit asks the registry, as a run does.
"""

from .basis_function import BasisFunctionTests
from .criterion import CriterionTests
from .data_source import DataSourceTests
from .evidence_estimator import EvidenceEstimatorTests
from .examples import BasisExample, DataSourceExample, Example, LikelihoodExample
from .hypergradient import HypergradientTests
from .inner_optimizer import InnerOptimizerTests
from .likelihood import LikelihoodTests
from .metric import MetricTests
from .package_tests import PackageTests
from .plugin_tests import PluginTests
from .regime import RegimeTests
from .relevance import RelevanceTests
from .structure_distribution import StructureDistributionTests
from .tracker import TrackerTests
from .two_level_problem import QuadraticPoint, quadratic_point
from .weight_posterior import WeightPosteriorTests
from .weight_prior import WeightPriorTests

__all__ = [
    "TESTS_OF_KIND",
    "BasisExample",
    "BasisFunctionTests",
    "CriterionTests",
    "DataSourceExample",
    "DataSourceTests",
    "EvidenceEstimatorTests",
    "Example",
    "HypergradientTests",
    "InnerOptimizerTests",
    "LikelihoodExample",
    "LikelihoodTests",
    "MetricTests",
    "PackageTests",
    "PluginTests",
    "QuadraticPoint",
    "RegimeTests",
    "RelevanceTests",
    "StructureDistributionTests",
    "TrackerTests",
    "WeightPosteriorTests",
    "WeightPriorTests",
    "quadratic_point",
]

TESTS_OF_KIND: dict[str, type[PluginTests]] = {
    tests.kind: tests
    for tests in (
        BasisFunctionTests,
        LikelihoodTests,
        DataSourceTests,
        WeightPriorTests,
        WeightPosteriorTests,
        StructureDistributionTests,
        CriterionTests,
        InnerOptimizerTests,
        HypergradientTests,
        EvidenceEstimatorTests,
        MetricTests,
        RegimeTests,
        RelevanceTests,
        TrackerTests,
    )
}
"""The class that tests plugins of a kind."""
