"""Laplace's evidence of networks and its gradient by h, against dense matrices from one row after another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from handmade import DOUBLE, edge, fn, graph, keys_of, make_bound, normal, population, start, structures
from torch import Tensor
from torch.autograd.functional import hessian, jacobian
from torch.distributions import Bernoulli, Categorical, Normal, Poisson

from structflow.objective import linearised
from structflow.objective.bound import Bound, Distributions
from structflow.objective.laplace_evidence import LaplaceEvidence
from structflow.objective.linearised import Linearised, linearisation
from structflow.objective.parameters import Parameters
from structflow.objective.weight_vectors import PopulationWeights
from structflow.plugins import Likelihood
from structflow.plugins.registry import registry
from structflow.spec.models import Posterior, Prior
from structflow.train.entries import OF_CURVATURE

FEW, MANY = 3, 30
WIDTH = 2
NETWORK = graph(
    {"x": (3,), "h": (4,), "y": (WIDTH,)},
    edge("x", "h", "one", fn("dense", activation="tanh"), fn("dense", activation="softplus")),
    edge("h", "y", "all", fn("linear")),
    edge("x", "y", "any", fn("linear", bias=False, name="skip")),
)
"""Four structures, of 26 or 32 weights: more than numbers of output at three rows, fewer at thirty."""

TARGETS = {
    "gaussian": lambda rows: normal(rows, WIDTH, seed=2),
    "bernoulli": lambda rows: (normal(rows, WIDTH, seed=2) > 0).double(),
    "categorical": lambda rows: (normal(rows, 1, seed=2) > 0).double(),
    "poisson": lambda rows: normal(rows, WIDTH, seed=2).abs().floor(),
}


def vectors_of(
    likelihood: str, rows: int, members=None, curvature: str = "ggn", precision: str = "per_function"
) -> Any:
    members = population(NETWORK, structures(NETWORK)) if members is None else members
    bound = make_bound(
        members,
        likelihood,
        prior={"weights": {"precision": precision}},
        posterior={"weights": {"type": "laplace", "curvature": curvature}},
    )
    return PopulationWeights(
        bound,
        bound.of_labels(parameters_of(bound)),
        keys_of(members),
        normal(rows, 3, seed=1),
        TARGETS[likelihood](rows),
    )


def parameters_of(bound: Bound) -> dict[str, Tensor]:
    """Away from any special point; every weight and precision from the structure, not from the batch."""
    started = start(bound)
    return {
        name: value + 0.3 * torch.sin(7.0 * torch.arange(value[0].numel(), dtype=DOUBLE)).reshape(value[:1].shape)
        for name, value in started.items()
    }


def slopes_of(evidence: LaplaceEvidence, parameters: Parameters | None = None) -> dict[str, Tensor]:
    """The gradient by h, by label."""
    bound, at = evidence.linearised.vectors.bound, parameters or evidence.linearised.vectors.parameters
    found = bound.labelled(evidence.gradient(at, OF_CURVATURE))
    return {name: value for name, value in found.items() if bound.by_label[name].role in OF_CURVATURE}


def log_density(likelihood: str, own: dict[str, Tensor], y: Tensor, f: Tensor) -> Tensor:
    """log p(y | f) of one row by torch.distributions."""
    if likelihood == "gaussian":
        return Normal(f, own["log_noise"].exp()).log_prob(y).sum()
    if likelihood == "bernoulli":
        return Bernoulli(logits=f).log_prob(y).sum()
    if likelihood == "categorical":
        return Categorical(logits=f).log_prob(y[0])
    return Poisson(f.exp()).log_prob(y).sum()


def slow_evidence(vectors: PopulationWeights, likelihood: str, member: int, diagonal: bool = False) -> float:
    """log p(y | w) + log p(w) + n/2 log 2π − ½ log|Σ_i J_iᵀ Λ_i J_i + A| with J_i and Λ_i of one row after another."""
    used = vectors.used[member]
    w, precision = vectors.mean[member][used], vectors.log_precision[member][used].exp()
    own = {name: value[member] for name, value in vectors.parameters.theta.likelihood.items()}

    def output(weights: Tensor, row: int) -> Tensor:
        whole = vectors.mean.clone()
        whole[member, used] = weights
        return vectors.outputs(whole.unsqueeze(1), torch.tensor([row]))[member, 0, 0]

    total, matrix = Normal(0.0, precision.rsqrt()).log_prob(w).sum(), torch.diag(precision)
    for row, y in enumerate(vectors.y):
        f = output(w, row)
        total = total + log_density(likelihood, own, y, f)
        of_output = hessian(lambda at, y=y: -log_density(likelihood, own, y, at), f)
        of_weights = jacobian(lambda at, row=row: output(at, row), w)
        matrix = matrix + of_weights.T @ of_output @ of_weights
    matrix = torch.diag(matrix.diagonal()) if diagonal else matrix
    return float(total + 0.5 * len(w) * math.log(2 * math.pi) - 0.5 * torch.linalg.slogdet(matrix)[1])


@pytest.mark.parametrize("rows", [FEW, MANY])
@pytest.mark.parametrize("likelihood", list(TARGETS))
def test_it_is_that_of_the_dense_matrix(likelihood: str, rows: int) -> None:
    """Four networks of several structures in one batch, by either size of matrices: to 1e-8 nats."""
    vectors = vectors_of(likelihood, rows)
    found = LaplaceEvidence(Linearised.of(vectors)).value(vectors.parameters)
    expected = [slow_evidence(vectors, likelihood, member) for member in range(4)]
    assert found.tolist() == pytest.approx(expected, abs=1e-8)


def test_the_diagonal_is_that_of_the_dense_matrix() -> None:
    """To 1e-8 nats; it is below that of the whole matrix, as |H| ≤ Π H_ii."""
    vectors = vectors_of("gaussian", MANY, curvature="diagonal")
    found = LaplaceEvidence(Linearised.of(vectors)).value(vectors.parameters)
    assert found.tolist() == pytest.approx(
        [slow_evidence(vectors, "gaussian", each, True) for each in range(4)], abs=1e-8
    )
    whole = vectors_of("gaussian", MANY)
    assert (found <= LaplaceEvidence(Linearised.of(whole)).value(whole.parameters)).all()


@pytest.mark.parametrize("rows", [FEW, MANY])
@pytest.mark.parametrize("likelihood", ["gaussian", "poisson"])
def test_members_in_a_batch_are_as_alone(likelihood: str, rows: int) -> None:
    """Evidence and gradient of each of four structures beside the others and alone: to 1e-10."""
    whole = vectors_of(likelihood, rows)
    value = LaplaceEvidence(Linearised.of(whole))
    slopes = slopes_of(value)
    for number, structure in enumerate(structures(NETWORK)):
        alone = vectors_of(likelihood, rows, population(NETWORK, [structure]))
        own = LaplaceEvidence(Linearised.of(alone))
        assert own.value(alone.parameters).item() == pytest.approx(
            value.value(whole.parameters)[number].item(), abs=1e-10
        )
        for name, slope in slopes_of(own).items():
            group = whole.bound.by_label[name].group
            place = number if group is None else int(whole.bound.population.groups[group].positions[number])
            torch.testing.assert_close(slope[0], slopes[name][place], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rows", [FEW, MANY])
@pytest.mark.parametrize("precision", ["shared", "per_function", "per_parameter"])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_gradient_is_that_of_differences(likelihood: str, precision: str, rows: int) -> None:
    """By every precision and noise, at fixed w* and J: relative 1e-6 of central differences of the evidence."""
    vectors = vectors_of(likelihood, rows, precision=precision)
    compare_with_differences(vectors)


def compare_with_differences(vectors: PopulationWeights, size: float = 1e-5) -> None:
    evidence = LaplaceEvidence(Linearised.of(vectors))
    bound, parameters = vectors.bound, vectors.bound.labelled(vectors.parameters)
    slopes = slopes_of(evidence)
    for name in slopes:
        for place in np.ndindex(*parameters[name].shape):
            values = []
            for sign in (1, -1):
                moved = {**parameters, name: parameters[name].clone()}
                moved[name][place] += sign * size
                values.append(float(evidence.value(bound.of_labels(moved)).sum()))
            difference = (values[0] - values[1]) / (2 * size)
            assert slopes[name][place].item() == pytest.approx(difference, rel=1e-6, abs=1e-6)


class Sharpened(Likelihood):
    """Bernoulli with the logit e^s f, s learned: Λ depends on h and on the row; its curvature is the contract's own."""

    type = "sharpened"
    target = "binary"

    @classmethod
    def output_shape(cls, options: Any, n_targets: int, n_classes: int) -> tuple[int, ...]:
        return (n_targets,)

    def parameters(self, out_shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        return {"log_scale": np.array(0.2)}

    def log_prob(self, parameters: dict[str, Tensor], y: Tensor, f: Tensor) -> Tensor:
        logit = parameters["log_scale"].exp() * f
        return (y * logit - torch.nn.functional.softplus(logit)).sum(-1)

    def moments(self, parameters: dict[str, Tensor], f: Tensor) -> tuple[Tensor, Tensor]:
        probability = (parameters["log_scale"].exp() * f).sigmoid()
        return probability, probability * (1 - probability)


@pytest.mark.parametrize("rows", [FEW, MANY])
def test_a_likelihood_of_any_kind_has_its_gradient(rows: int) -> None:
    """One whose curvature depends on its own parameters and on the row, row by row: relative 1e-6 of differences."""
    given = vectors_of("bernoulli", rows)
    members, options = given.bound.population, registry().of_kind("likelihoods")["bernoulli"].options()
    distributions = Distributions(
        Sharpened(options, np.ones(WIDTH)),
        registry().get("structure_distributions", "gumbel_softmax"),
        Prior.model_validate({"weights": {"precision": "per_function"}}),
        Posterior.model_validate({"weights": {"type": "laplace"}}),
        start_temperature=0.5,
    )
    bound = Bound(members, distributions)
    parameters = bound.of_labels(parameters_of(bound))
    compare_with_differences(PopulationWeights(bound, parameters, keys_of(members), given.x, given.y))


@pytest.mark.parametrize("rows", [FEW, MANY])
def test_removed_weights_have_no_part_in_it(rows: int) -> None:
    """With every third weight removed it is that of the dense matrix over the others, to 1e-8 nats."""
    vectors = vectors_of("gaussian", rows)
    means = [own["mean"] for own in vectors.parameters.theta.weights]
    masks = tuple((torch.arange(mean.shape[1]) % 3 > 0).double().expand_as(mean).clone() for mean in means)
    pruned = vectors.with_parameters(vectors.parameters._replace(kept=masks))
    assert int(pruned.used.sum()) < int(vectors.used.sum())
    found = LaplaceEvidence(Linearised.of(pruned)).value(pruned.parameters)
    assert found.tolist() == pytest.approx([slow_evidence(pruned, "gaussian", each) for each in range(4)], abs=1e-8)
    compare_with_differences(pruned)


def test_rows_may_count_more_than_once() -> None:
    """A row with the weight 2 is as the same row twice, one with the weight 0 as if it weren't there: to 1e-9 nats."""
    once = vectors_of("gaussian", MANY)
    weights = torch.ones((4, MANY), dtype=DOUBLE)
    weights[:, 0], weights[:, 1] = 2.0, 0.0
    order = torch.tensor([0, 0, *range(2, MANY)])
    twice = PopulationWeights(once.bound, once.parameters, once.keys, once.x[order], once.y[order])
    found = LaplaceEvidence(Linearised.of(once, weights)).value(once.parameters)
    torch.testing.assert_close(found, LaplaceEvidence(Linearised.of(twice)).value(once.parameters), rtol=0, atol=1e-9)


def test_the_blocks_of_rows_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row at a time, and J recomputed for every h: the same to 1e-9 nats."""
    vectors = vectors_of("categorical", MANY)
    whole = LaplaceEvidence(Linearised.of(vectors)).value(vectors.parameters)
    monkeypatch.setattr(linearised, "BLOCK_NUMBERS", 1)
    monkeypatch.setattr(linearised, "MOST_HELD", 1)
    torch.testing.assert_close(
        LaplaceEvidence(Linearised.of(vectors)).value(vectors.parameters), whole, rtol=0, atol=1e-9
    )


def test_the_jacobian_is_that_of_every_row_by_itself() -> None:
    """Members of four structures, against torch.autograd row by row: to 1e-12; 0 where there is no weight."""
    vectors = vectors_of("gaussian", FEW)
    found, f = linearisation(vectors, vectors.x)
    torch.testing.assert_close(f, vectors.outputs(vectors.mean.unsqueeze(1)).squeeze(1))
    for row in range(FEW):
        whole = jacobian(lambda w, row=row: vectors.outputs(w.unsqueeze(1), torch.tensor([row]))[:, 0, 0], vectors.mean)
        own = torch.stack([whole[member, :, member] for member in range(4)])
        torch.testing.assert_close(found[:, row], own, rtol=1e-12, atol=1e-12)
    assert not found.movedim(3, 1)[~vectors.used].any()


def test_a_candidate_beside_a_diverged_one_keeps_its_gradient() -> None:
    """A weight of NaN makes the evidence of its member NaN, leaves its gradient finite, and changes nothing else."""
    members = population(NETWORK, structures(NETWORK)[:1] * 2, [0, 1])
    vectors = vectors_of("gaussian", MANY, members)
    evidence = LaplaceEvidence(Linearised.of(vectors))
    before, slopes = evidence.value(vectors.parameters), slopes_of(evidence)
    broken = vectors.parameters.map(torch.clone)
    vectors.bound.labelled(broken)["mean/h->y/linear"][1, 0] = torch.nan
    changed = vectors.with_parameters(broken)
    after = LaplaceEvidence(Linearised.of(changed))
    values, found = after.value(broken), slopes_of(after, broken)
    assert values[1].isnan()
    assert values[0].item() == before[0].item()
    for name in slopes:
        torch.testing.assert_close(found[name][0], slopes[name][0], rtol=1e-12, atol=1e-12)
        assert found[name].isfinite().all()
