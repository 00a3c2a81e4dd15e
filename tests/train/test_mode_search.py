"""The end of a stage under Laplace's evidence: at a mode, where the evidence is the best that was met."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from handmade import DOUBLE, edge, fn, graph, keys_of, make_bound, normal, population, structures

from structflow.objective.laplace_evidence import LaplaceEvidence
from structflow.objective.linearised import Linearised
from structflow.objective.parameters import Role
from structflow.objective.weight_vectors import PopulationWeights
from structflow.train import mode_search
from structflow.train.mode_search import ModeSearch

NETWORK = graph(
    {"x": (2,), "h": (4,), "y": (1,)},
    edge("x", "h", "one", fn("dense", activation="tanh"), fn("dense", activation="softplus")),
    edge("h", "y", "all", fn("linear")),
)
X = normal(30, 2, seed=1)
Y = (2 * X[:, :1]).tanh() + 0.1 * normal(30, 1, seed=2)
OF_H = (Role.PRECISION, Role.LIKELIHOOD)


def vectors_of(chosen: list[int], rows: int = 30) -> PopulationWeights:
    members = population(NETWORK, [structures(NETWORK)[number] for number in chosen])
    bound = make_bound(members, prior={"weights": {"precision": "per_function"}}, posterior={"weights": "laplace"})
    return PopulationWeights(bound, bound.start(keys_of(members)), keys_of(members), X[:rows], Y[:rows])


def search(vectors: PopulationWeights, row_weights: torch.Tensor | None = None) -> ModeSearch:
    return ModeSearch(vectors, row_weights, OF_H, 0.1, 5)


def evidence(vectors: PopulationWeights) -> torch.Tensor:
    return LaplaceEvidence(Linearised.of(vectors)).value(vectors.parameters)


@pytest.mark.parametrize("rows", [8, 30])
def test_it_ends_near_a_mode(rows: int) -> None:
    """½ gᵀH⁻¹g is at most a nat at the end, with more weights (21) than rows and with fewer."""
    assert (search(vectors_of([0, 1], rows)).best().left_to_gain < 1.0).all()


def test_the_evidence_is_the_best_that_was_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """More rounds never lower it, and h rises it above that of the first mode."""
    values = []
    for rounds in (1, 2, 6):
        monkeypatch.setattr(mode_search, "MOST_ROUNDS", rounds)
        vectors = vectors_of([0, 1])
        values.append(evidence(vectors.with_parameters(search(vectors).best().parameters)))
    assert (values[1] >= values[0]).all()
    assert (values[2] >= values[1]).all()
    assert (values[2] > values[0] + 1).all()


def test_members_in_a_batch_are_as_alone() -> None:
    """The same weights and h to 1e-8, of either structure."""
    whole = search(vectors_of([0, 1])).best()
    together = evidence(vectors_of([0, 1]).with_parameters(whole.parameters))
    for number in (0, 1):
        vectors = vectors_of([number])
        alone = search(vectors).best()
        assert alone.left_to_gain[0] == pytest.approx(whole.left_to_gain[number], abs=1e-8)
        assert evidence(vectors.with_parameters(alone.parameters)).item() == pytest.approx(
            together[number].item(), abs=1e-8
        )


def test_rows_that_do_not_count_have_no_part_in_it() -> None:
    """With the last ten rows weighed by 0 it is as on the first twenty: to 1e-8 nats."""
    weights = torch.ones((1, 30), dtype=DOUBLE)
    weights[:, 20:] = 0
    vectors, fewer = vectors_of([0]), vectors_of([0], 20)
    found, expected = search(vectors, weights).best(), search(fewer).best()
    value = evidence(fewer.with_parameters(found.parameters))
    assert value.item() == pytest.approx(evidence(fewer.with_parameters(expected.parameters)).item(), abs=1e-8)


def test_a_member_that_is_not_finite_stays_and_leaves_the_others_alone() -> None:
    """NaN for its left to gain; the other as beside a sound one."""
    vectors = vectors_of([0, 1])
    sound = search(vectors).best()
    bound = vectors.bound
    broken = bound.labelled(vectors.parameters.map(torch.clone))
    broken["mean/x->h/dense:softplus"][:] = torch.nan
    found = search(vectors.with_parameters(bound.of_labels(broken))).best()
    assert np.isnan(found.left_to_gain[1])
    assert found.left_to_gain[0] == pytest.approx(sound.left_to_gain[0], abs=1e-8)


def test_with_nothing_to_learn_of_h_weights_go_to_the_mode_alone() -> None:
    """Precision and noise are set: log p(y, w) rises by a nat at least, to within five nats of its mode."""
    members = population(NETWORK, structures(NETWORK))
    bound = make_bound(
        members,
        likelihood_options={"noise": 0.5},
        prior={"weights": {"precision": 2.0}},
        posterior={"weights": "laplace"},
    )
    vectors = PopulationWeights(bound, bound.start(keys_of(members)), keys_of(members), X, Y)
    found = search(vectors).best()
    at = vectors.with_parameters(found.parameters)
    before, after = (
        each.log_likelihood(each.mean.unsqueeze(1)) + each.log_prior(each.mean.unsqueeze(1)) for each in (vectors, at)
    )
    assert (after > before + 1).all()
    assert (found.left_to_gain < 5.0).all()
