"""structflow's conformance kit over everything that this package registers."""

from structflow.testing import PackageTests, TrackerTests
from structflow_tensorboard.tracker import TensorBoard


class TestPackage(PackageTests):
    package = "structflow-tensorboard"


class TestTensorBoard(TrackerTests):
    plugin = TensorBoard
