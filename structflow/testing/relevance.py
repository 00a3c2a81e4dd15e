"""What a criterion of relevance promises of the weights of trained members."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial

import torch
from torch import Tensor

from ..errors import CallError, Problem
from ..evidence.removal import removal_places
from ..evidence.trained import TrainedPopulation
from ..objective.members import stack, unstack
from ..objective.parameters import Parameters
from ..plugins.registry import registry
from ..spec.models import Posterior
from .check import PROBLEMS, expect, expect_problems, expect_refusal, remedy
from .default_spec import default_spec
from .numbers import DOUBLE, copies, expect_all_close, expect_close, expect_finite, expect_shape, normal
from .plugin_tests import PluginTests
from .subject import Subject
from .tiny_model import Bend, TinyModel, candidate, chain, tiny_model

RESTARTS = (0, 1)
BATCH_MATES = 1e-8
"""Relative influence of other members, by the rounding of sums of other lengths."""

POSTERIORS = {
    "a diagonal posterior": Posterior.model_validate({"weights": "diagonal"}),
    "a full posterior": Posterior.model_validate({"weights": "full"}),
    "a point": Posterior.model_validate({"weights": "point"}),
}


def bent_or_constant(posterior: Posterior, restarts: Sequence[int]) -> TinyModel:
    """Twelve rows and two inputs; one hidden unit of 3 weights, or, where a batch may hold both, a constant of 1."""
    constant = registry().of_kind("basis_functions")["constant"]
    functions = [candidate("bent", Bend)]
    if not registry().get("weight_posteriors", posterior.weights.type).joint:
        functions.append(candidate("constant", constant.plugin, constant.options.model_validate({"type": "constant"})))
    x = normal(12, 2, seed=31)
    y = x[:, :1].tanh() + 0.3 * normal(12, 1, seed=32)
    return tiny_model(chain(functions, [(2,), (1,), (1,)]), x, y, None, restarts, posterior=posterior)


@cache
def parameters_of(posterior: Posterior) -> Parameters:
    """The model's parameters after a few steps."""
    return bent_or_constant(posterior, RESTARTS).trained().parameters


def populations(subject: Subject) -> Iterator[tuple[str, TrainedPopulation]]:
    """Members with every posterior that the criterion has no conflict with."""
    for name, posterior in POSTERIORS.items():
        if not conflicts(subject, posterior):
            yield name, bent_or_constant(posterior, RESTARTS).evaluated(parameters_of(posterior))


def conflicts(subject: Subject, posterior: Posterior) -> list[Problem]:
    """What the criterion says of a spec with this posterior."""
    found: list[Problem] = subject.plugin.conflicts(default_spec(posterior=posterior))
    return found


def scores(subject: Subject, trained: TrainedPopulation, kept: Tensor | None = None) -> Tensor:
    """What the criterion says of the weights."""
    left = trained.weights.used if kept is None else kept
    found: Tensor = subject.plugin.scores(subject.options, trained.weights, left)
    return found


def only(together: TrainedPopulation, fewer: TinyModel) -> Parameters:
    """The parameters of the members that a model has of those of a larger one."""
    members = together.bound.population.members
    own = dict(zip(members, unstack(together.parameters, together.bound), strict=True))
    return stack([own[member] for member in fewer.bound.population.members], fewer.bound)


class RelevanceTests(PluginTests):
    """Tests of one criterion of relevance."""

    kind = "relevances"

    @remedy(PROBLEMS)
    def test_conflicts_are_problems(self, subject: Subject) -> None:
        """`conflicts` is a list of problems, and empty for a diagonal posterior, a full one or a point."""
        for name, posterior in POSTERIORS.items():
            expect_problems(partial(conflicts, subject, posterior), name)
        expect(any(populations(subject)), "conflicts with every posterior")

    @remedy("raise structflow.errors.CallError in `scores` where `conflicts` names the posterior")
    def test_conflicting_posteriors_are_refused(self, subject: Subject) -> None:
        """Where `conflicts` has a problem with the posterior, so has `scores`."""
        for name, posterior in POSTERIORS.items():
            if conflicts(subject, posterior):
                trained = bent_or_constant(posterior, RESTARTS).evaluated(parameters_of(posterior))
                expect_refusal(CallError, lambda trained=trained: scores(subject, trained), f"scores for {name}")  # type: ignore[misc]

    @remedy("return (M, n) numbers in float64, also where members have fewer weights than n")
    def test_scores_every_weight(self, subject: Subject) -> None:
        """Scores are (M, n) in float64, and finite where a weight is kept."""
        for name, trained in populations(subject):
            found = scores(subject, trained)
            expect_shape(found, tuple(trained.weights.used.shape), f"scores for {name}")
            expect(found.dtype == DOUBLE, f"scores for {name} in {found.dtype}")
            expect_finite(found[trained.weights.used], f"scores for {name}")

    @remedy(
        "score the weights that are left, whichever they are; one that is `sequential` is asked down to the last one"
    )
    def test_every_weight_is_removed_once(self, subject: Subject) -> None:
        """Removed in the order of the scores, every weight goes exactly once, also the last ones of a member."""
        for name, trained in populations(subject):
            used = trained.weights.used
            places = removal_places(subject.plugin, subject.options, trained.weights, used)
            for member in range(trained.size):
                found, count = sorted(places[member][used[member]].tolist()), int(used[member].sum())
                expect(found == list(range(count)), f"places {found} of {count} weights of member {member} for {name}")

    @remedy(
        "draw noise through `weights.normals`, which is keyed by member, and keep no state; change nothing in place"
    )
    def test_repeats_itself(self, subject: Subject) -> None:
        """The same members give the same scores, and their parameters and `kept` stay as they are."""
        for name, trained in populations(subject):
            before, kept = copies(trained.bound.labelled(trained.parameters)), trained.weights.used.clone()
            first, again = scores(subject, trained, kept), scores(subject, trained, kept)
            expect_close(again[kept], first[kept], f"the second scores for {name}", 0.0)
            expect(bool((kept == trained.weights.used).all()), f"`kept` changed for {name}")
            now = trained.bound.labelled(trained.parameters)
            expect_all_close(now, before, f"after the scores for {name}, parameters")

    @remedy("compute every member from its own weights and noise: nothing is averaged or normalised over members")
    def test_members_do_not_mix(self, subject: Subject) -> None:
        """A member's scores don't depend on the members beside it."""
        for name, posterior in POSTERIORS.items():
            if conflicts(subject, posterior):
                continue
            together = bent_or_constant(posterior, RESTARTS).evaluated(parameters_of(posterior))
            whole, used = scores(subject, together), together.weights.used
            fewer, mine = bent_or_constant(posterior, RESTARTS[1:]), slice(1, None, len(RESTARTS))
            alone = fewer.evaluated(only(together, fewer))
            found = scores(subject, alone)
            expect_close(found[used[mine]], whole[mine][used[mine]], f"the scores alone for {name}", BATCH_MATES)

    @remedy("open no context that outlives the call: torch.no_grad() as `with`, not set_grad_enabled")
    def test_leaves_torch_as_it_was(self, subject: Subject) -> None:
        """Gradients are switched on after the scores if they were before."""
        with torch.enable_grad():
            scores(subject, next(populations(subject))[1])
            expect(torch.is_grad_enabled(), "gradients switched off after the scores")
