"""Estimators of log evidence of small networks: against quadrature, finite differences and slow, obvious loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from handmade import (
    DOUBLE,
    edge,
    fn,
    graph,
    keys_of,
    make_bound,
    normal,
    perturbed,
    pick,
    population,
    start,
    structures,
)
from handmade import rich_graph as rich
from torch.distributions import Normal

from structflow.builtin.evidence_estimators import scaled_energy
from structflow.builtin.evidence_estimators.modes import find_modes
from structflow.builtin.evidence_estimators.scaled_energy import ScaledEnergy
from structflow.errors import CallError
from structflow.evidence.trained import TrainedPopulation
from structflow.plugins import BasisFunction, BasisOptions, Estimate
from structflow.plugins.registry import registry
from structflow.spec.graph import GraphFunction

NOISE = 0.3
X = normal(25, 1, seed=11)
Y = (1.5 * X).tanh() + NOISE * normal(25, 1, seed=12)
PRIOR = {"weights": {"precision": 1.0}}
TANH = graph(
    {"x": (1,), "h": (1,), "y": (1,)},
    edge("x", "h", "all", fn("dense", bias=False)),
    edge("h", "y", "all", fn("linear", bias=False)),
)
"""y = v tanh(u x): two weights."""


def estimated(name: str, trained: TrainedPopulation, samples: int = 256, **options: Any) -> Estimate:
    registration = registry().of_kind("evidence_estimators")[name]
    found = registration.plugin.estimate(registration.options.model_validate(options), trained, samples)
    assert isinstance(found, Estimate)
    return found


def members_at(of, x, y, mean: float, sd: float, count: int = 1, **settings: Any) -> TrainedPopulation:
    """Members of the first structure, all means and deviations of q alike."""
    members = population(of, structures(of)[:1] * count, list(range(count)))
    bound = make_bound(members, prior=PRIOR, **({"likelihood_options": {"noise": NOISE}} | settings))
    values = {"mean": mean, "log_sd": math.log(sd)}
    parameters = {name: torch.full_like(value, values[name.partition("/")[0]]) for name, value in start(bound).items()}
    return TrainedPopulation(bound, bound.of_labels(parameters), keys_of(members), x, y, 0.7)


def quadrature() -> float:
    """log ∫∫ N(y; v tanh(u x), σ²) N(u; 0, 1) N(v; 0, 1) du dv by the midpoint rule, 1,400² points of [−7, 7]²."""
    side = 1400
    points = (torch.arange(side, dtype=DOUBLE) + 0.5) / side * 14 - 7
    standard = Normal(torch.zeros((), dtype=DOUBLE), 1.0)
    total = torch.full((), -torch.inf, dtype=DOUBLE)
    for u in points.split(100):
        features = (X[:, 0] * u.reshape(-1, 1)).tanh()  # (u, rows)
        # Σ_i (y_i − v t_i)² = Σ y² − 2 v Σ y t + v² Σ t²
        cross, square = features @ Y[:, 0], features.square().sum(1)
        errors = Y.square().sum() - 2 * points * cross.unsqueeze(1) + points.square() * square.unsqueeze(1)
        fit = -0.5 * errors / NOISE**2 - len(X) * math.log(NOISE * math.sqrt(2 * math.pi))
        joint = fit + standard.log_prob(u).unsqueeze(1) + standard.log_prob(points)
        total = torch.logaddexp(total, joint.logsumexp((0, 1)))
    return float(total) + 2 * math.log(14 / side)


def test_annealing_from_the_prior_is_the_quadrature():
    """Both modes, (u, v) and (−u, −v): within 0.2 nats and 4 standard errors."""
    found = estimated("ais", members_at(TANH, X, Y, 1.0, 0.2), chains=512, temperatures=100)
    off = abs(found.value.item() - quadrature())
    assert off < 0.2
    assert off < 4 * found.standard_error.item()


def test_one_mode_of_two_is_half_of_the_evidence():
    """Laplace and the importance-weighted bound look at one mode: log 2 below the quadrature.

    Laplace's own error is that of a posterior with a tail along v u = const: within 0.3 nats with both Hessians.
    """
    trained = members_at(TANH, X, Y, 1.2, 0.3)
    half = quadrature() - math.log(2)
    for hessian in ("full", "ggn"):
        assert estimated("laplace", trained, hessian=hessian).value.item() == pytest.approx(half, abs=0.3)
    diagonal, full = (estimated("laplace", trained, hessian=h).value.item() for h in ("diagonal", "full"))
    assert diagonal < full
    bound = estimated("iwelbo", trained, 40_000, k=4000)
    assert bound.value.item() == pytest.approx(half, abs=0.1 + 4 * bound.standard_error.item())


def test_the_hessian_is_that_of_finite_differences():
    """∇²U in the coordinates z of five structures with different weights, from differences of the gradient."""
    members = population(rich(), pick(structures(rich()), 5, 3))
    bound = make_bound(members, prior=PRIOR, likelihood_options={"noise": 0.5})
    x, y = normal(6, 3, seed=1), normal(6, 1, seed=2)
    energy = ScaledEnergy.of(
        TrainedPopulation(bound, bound.of_labels(perturbed(start(bound))), keys_of(members), x, y, 0.7).weights
    )
    z = energy.start()
    hessian, size = energy.hessian(z), 1e-5
    for place in range(z.shape[1]):
        step = size * torch.eye(z.shape[1], dtype=DOUBLE)[place]
        difference = (energy.value_and_gradient(z + step)[1] - energy.value_and_gradient(z - step)[1]) / (2 * size)
        torch.testing.assert_close(hessian[:, :, place], difference, rtol=1e-5, atol=1e-6)
    spare = ~energy.vectors.used
    assert spare.any()
    assert (hessian.diagonal(dim1=1, dim2=2)[spare] == 1).all()


def test_gauss_newton_of_classes_is_that_of_a_loop(monkeypatch):
    """Σ_i J_iᵀ (diag p − p pᵀ) J_i + A row by row, J by `torch.autograd`; rows in chunks of two."""
    of = graph(
        {"x": (2,), "h": (2,), "y": (3,)}, edge("x", "h", "all", fn("dense")), edge("h", "y", "all", fn("linear"))
    )
    members = population(of, structures(of) * 2, [0, 1])
    bound = make_bound(members, likelihood="categorical", prior={"weights": {"precision": 2.0}})
    x, y = normal(5, 2, seed=3), torch.tensor([[0], [2], [1], [1], [0]])
    trained = TrainedPopulation(bound, bound.of_labels(perturbed(start(bound))), keys_of(members), x, y, 0.7)
    energy = ScaledEnergy.of(trained.weights)
    n = energy.scale.shape[1]
    monkeypatch.setattr(scaled_energy, "CHUNK_NUMBERS", 2 * 2 * n * 3)
    found = energy.gauss_newton(energy.start())
    for member in range(2):
        expected = 2.0 * torch.eye(n, dtype=DOUBLE)
        for row in range(5):

            def output(w, member=member, row=row):
                both = trained.weights.mean.clone()
                return trained.weights.outputs(torch.where(torch.arange(2).reshape(2, 1) == member, w, both)[:, None])[
                    member, 0, row
                ]

            w = trained.weights.mean[member].clone()
            jacobian = torch.autograd.functional.jacobian(output, w)
            p = output(w).softmax(-1)
            expected = expected + jacobian.T @ (p.diag() - p.outer(p)) @ jacobian
        scaled = energy.scale[member].outer(energy.scale[member]) * expected
        torch.testing.assert_close(found[member], scaled, rtol=1e-9, atol=1e-9)


def test_modes_are_reached_from_far_away():
    """From u = v = 4 and from close to the saddle at 0: |∇U| vanishes, U is that of the best point of a grid."""
    for mean in (4.0, 1e-3):
        trained = members_at(TANH, X, Y, mean, 0.3)
        energy = ScaledEnergy.of(trained.weights)
        modes = find_modes(energy)
        gradient = energy.value_and_gradient(modes.z)[1]
        assert gradient.abs().max() < 1e-4
        assert modes.is_definite.all()
        grid = torch.cartesian_prod(*[torch.linspace(0, 4, 81, dtype=DOUBLE)] * 2) / energy.scale
        assert modes.value.item() <= energy.value(grid.unsqueeze(0)).min().item()


def test_at_a_saddle_there_is_no_mode():
    """At u = v = 0 the gradient is exactly 0 and the Hessian indefinite, so that nothing shows the way."""
    found = estimated("laplace", members_at(TANH, X, Y, 0.0, 0.3))
    assert found.value.isnan().all()
    assert found.missing == {0: "the Hessian at the point reached isn't positive definite"}


class Kink(BasisFunction):
    """g(x; w) = |w| x."""

    type = "kink"

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        return {"weight": (1,)}

    def forward(self, weights, x):
        return weights["weight"].abs() * x


def test_at_a_kink_there_is_no_mode():
    """y = −x wants a negative slope, |w| has none: the best point is the kink, where the gradient doesn't vanish."""
    of = graph({"x": (1,), "y": (1,)}, edge("x", "y", "all", GraphFunction("kink", Kink, BasisOptions())))
    found = estimated("laplace", members_at(of, X, -X, 0.5, 0.3))
    assert found.value.isnan().all()
    assert found.missing[0].startswith("no mode was reached: ½ gᵀH⁻¹g is")
    assert "kink" in found.missing[0]


def test_exact_knows_what_is_not_linear():
    """In one batch a linear structure has a value, a tanh unit none; nor has a linear one with Poisson noise."""
    of = graph({"x": (1,), "y": (1,)}, edge("x", "y", "one", fn("linear"), fn("dense"), fn("dense", activation="relu")))
    members = population(of, structures(of))
    bound = make_bound(members, prior=PRIOR, likelihood_options={"noise": NOISE})
    found = estimated(
        "exact", TrainedPopulation(bound, bound.of_labels(perturbed(start(bound))), keys_of(members), X, Y, 0.7)
    )
    linear = [dict(member.structure.edges)["x->y"] == ("linear",) for member in members.members]
    assert found.value.isfinite().tolist() == linear
    assert sorted(found.missing) == [number for number, is_linear in enumerate(linear) if not is_linear]
    counts = members_at(of, X, (X > 0).double(), 0.1, 0.3, likelihood="poisson", likelihood_options={})
    assert "the noise isn't normal" in estimated("exact", counts).missing[list(linear).index(True)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("iwelbo", {"k": 4}),
        ("laplace", {}),
        ("laplace", {"hessian": "ggn"}),
        ("ais", {"temperatures": 6, "chains": 4}),
        ("ais", {"temperatures": 6, "chains": 4, "from": "posterior"}),
    ],
)
def test_a_member_alone_has_the_same_estimate(name, options):
    """4 weights of a tanh unit among 12 of a tanh unit with a linear part of powers, and by themselves."""
    of = graph(
        {"x": (1,), "h": (1,), "y": (1,)},
        edge("x", "h", "all", fn("dense")),
        edge("h", "y", "all", fn("linear")),
        edge("x", "y", "any", fn("polynomial", degree=7)),
    )
    both = structures(of)

    def trained(numbers):
        members = population(of, [both[number] for number in numbers], [0] * len(numbers))
        bound = make_bound(members, prior=PRIOR, likelihood_options={"noise": 0.5})
        return TrainedPopulation(bound, bound.of_labels(start(bound)), keys_of(members), X, Y, 0.7)

    sizes = trained((0, 1)).weights.used.sum(1).tolist()
    assert sorted(sizes) == [4, 12]
    smallest = sizes.index(4)
    together, alone = (
        estimated(name, trained((0, 1)), 16, **options),
        estimated(name, trained([smallest]), 16, **options),
    )
    torch.testing.assert_close(alone.value[0], together.value[smallest], rtol=1e-8, atol=1e-8)
    # where an error isn't known, it is for neither
    errors = alone.standard_error[0], together.standard_error[smallest]
    torch.testing.assert_close(*errors, rtol=1e-7, atol=1e-8, equal_nan=True)


@pytest.mark.parametrize("name", ["laplace", "exact"])
def test_too_many_weights_are_refused(monkeypatch, name):
    monkeypatch.setattr(scaled_energy, "MOST_WEIGHTS", 1)
    with pytest.raises(CallError, match=f"estimator {name} got structures of 2 weights; it takes 1 at most"):
        estimated(name, members_at(TANH, X, Y, 1.0, 0.2))
    monkeypatch.setattr(scaled_energy, "MOST_WEIGHTS", 2)
    monkeypatch.setattr(scaled_energy, "MOST_HELD", 4)
    with pytest.raises(CallError, match="would hold 2 Hessians of 2 × 2 numbers at a time; set compute"):
        estimated(name, members_at(TANH, X, Y, 1.0, 0.2, count=2))


def test_a_point_can_be_annealed_from_the_prior_only():
    point = {"posterior": {"weights": {"type": "point"}}}
    trained = members_at(TANH, X, Y, 1.0, 0.2, **point)
    assert estimated("ais", trained, temperatures=3, chains=2).value.isfinite().all()
    with pytest.raises(CallError, match="a point, which has no density"):
        estimated("ais", trained, **{"temperatures": 3, "chains": 2, "from": "posterior"})
