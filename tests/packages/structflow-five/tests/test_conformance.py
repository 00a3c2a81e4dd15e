from structflow.testing import (
    CriterionTests,
    Example,
    InnerOptimizerTests,
    MetricTests,
    PackageTests,
    WeightPosteriorTests,
    WeightPriorTests,
)

from structflow_five.adagrad import Adagrad
from structflow_five.cauchy import Cauchy
from structflow_five.error_quantile import ErrorQuantile
from structflow_five.hannan_quinn import HannanQuinn
from structflow_five.sharp import Sharp


class TestPackage(PackageTests):
    package = "structflow-five"


class TestSharp(WeightPosteriorTests):
    plugin = Sharp
    examples = [Example(), Example({"start": 0.5})]


class TestCauchy(WeightPriorTests):
    plugin = Cauchy


class TestHannanQuinn(CriterionTests):
    plugin = HannanQuinn


class TestAdagrad(InnerOptimizerTests):
    plugin = Adagrad


class TestErrorQuantile(MetricTests):
    plugin = ErrorQuantile
    examples = [Example({"share": 0.9})]
