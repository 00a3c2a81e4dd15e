"""Tests of a likelihood."""

from __future__ import annotations

from .check import remedy
from .compiled import CompiledTests
from .examples import LikelihoodExample
from .likelihood_density import LikelihoodDensityTests
from .likelihood_expectation import LikelihoodExpectationTests
from .likelihood_subject import LikelihoodSubject
from .likelihood_values import LikelihoodValueTests
from .numbers import normal
from .tiny_model import Readout, candidate, chain, expect_training, tiny_model

USUAL_CLASSES = 3
USUAL_TARGETS = 2


class LikelihoodTests(
    LikelihoodValueTests,
    LikelihoodDensityTests,
    LikelihoodExpectationTests,
    CompiledTests,
):
    """Tests of one likelihood.

    class TestStudentT(LikelihoodTests):
        plugin = StudentT
        examples = [LikelihoodExample({"degrees": 4.0}, n_targets=2)]
    """

    kind = "likelihoods"
    example_class = LikelihoodExample
    subject_class = LikelihoodSubject

    @classmethod
    def usual_examples(cls) -> list[LikelihoodExample]:
        """Default options over three classes, or over two targets."""
        if cls.plugin.target == "classes":
            return [LikelihoodExample({}, 1, USUAL_CLASSES)]
        return [LikelihoodExample({}, USUAL_TARGETS, 2 if cls.plugin.target == "binary" else 0)]

    @remedy("see the tests of log_prob and its gradients; what they pass should train")
    def test_likelihood_trains(self, subject: LikelihoodSubject) -> None:
        """A small network under the likelihood trains for twenty steps, and its bound stays finite."""
        graph = chain([candidate("readout", Readout)], [(3,), (2,), subject.out_shape])
        y = subject.targets()
        expect_training(tiny_model(graph, normal(len(y), 3, seed=12), y, subject.likelihood))
