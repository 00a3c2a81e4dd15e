"""Training with two levels: where h ends on a linear model, against a grid in numpy; and the box of log s."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from handmade import DOUBLE, edge, fn, graph, keys_of, make_bound, normal, population, start, structures

from structflow.objective.divergence import AgainstSet
from structflow.plugins.registry import registry
from structflow.spec.models import Against, Spec
from structflow.train.linear_fits import start_at_posterior
from structflow.train.linear_structures import Level
from structflow.train.metaparameters import metaparameter_tables
from structflow.train.outer_level import OuterLevel
from structflow.train.stage_inputs import Execution, Minibatching, StageSetup, TrainingData
from structflow.train.trainer import TrainingResult, train

CPU = torch.device("cpu")
SD = 0.8
X = normal(15, 3, seed=1)
Y = X @ torch.tensor([[0.9], [-0.5], [0.0]], dtype=DOUBLE) + SD * normal(15, 1, seed=2)
LINEAR = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("linear", bias=False)))


def spec(objective, steps: int, lr: float = 0.05, **inner) -> Spec:
    return Spec.model_validate(
        {
            "data": {"source": "synthetic", "rows": 10, "inputs": 1, "formula": "x0"},
            "model": {"edges": [{"from": "x", "to": "y", "basis": ["linear"]}]},
            "objective": objective,
            "optimizer": {"inner": {"steps": steps, "lr": lr, **inner}},
        }
    )


def level(name: str, members: int, **options) -> OuterLevel:
    registration = registry().of_kind("hypergradients")[name]
    return OuterLevel(registration.plugin, registration.options(**options), tuple(range(members)))


def trained(bound, of: Spec, outer: OuterLevel | None, largest: float | None = None) -> TrainingResult:
    objective = of.objective
    parameters = start_at_posterior(bound, bound.of_labels(start(bound)), Level(X, Y, objective.c_reg))
    setup = StageSetup(
        keys_of(bound.population),
        TrainingData(X, Y),
        metaparameter_tables(of, 0, 1, DOUBLE, CPU),
        2,
        Minibatching(None, 0, "stage"),
        Execution(CPU, DOUBLE, False),
        largest,
    )
    return train(bound, parameters, setup, outer=outer)


def linear_bound(**keys):
    weights = {"precision": "shared", **keys}
    members = population(LINEAR, structures(LINEAR))
    return make_bound(members, likelihood_options={"noise": SD}, prior={"weights": weights})


def q_at_optimum(log_a: float, c_reg: float, c_train: float, c_prior: float) -> float:
    """Q at the diagonal q that maximises L: Λ = XᵀX/(c_reg σ²) + A I, mean Λ⁻¹Xᵀy/(c_reg σ²), variances 1/Λ_ii."""
    x, y, a = X.numpy(), Y.numpy()[:, 0], np.exp(log_a)
    precision = x.T @ x / (c_reg * SD**2) + a * np.eye(3)
    mean = np.linalg.solve(precision, x.T @ y / (c_reg * SD**2))
    variance = 1 / np.diag(precision)
    square = (y - x @ mean) ** 2 + x**2 @ variance
    log_likelihood = -0.5 * np.sum(np.log(2 * np.pi * SD**2) + square / SD**2)
    kl = 0.5 * np.sum(a * (mean**2 + variance) - 1 - log_a - np.log(variance))
    return float(c_train * log_likelihood - c_prior * kl)


def best_of_grid(c_reg: float, c_train: float, c_prior: float) -> float:
    grid = np.arange(-4, 8, 0.005)
    values = [q_at_optimum(log_a, c_reg, c_train, c_prior) for log_a in grid]
    best = int(np.argmax(values))
    assert 100 < best < len(grid) - 100  # inside
    return float(grid[best])


FACTORS = [(1.0, 1.0, 0.1), (1.0, 1.0, 4.0), (3.0, 1.0, 1.0)]


@pytest.mark.parametrize(("c_reg", "c_train", "c_prior"), FACTORS)
def test_hoag_ends_where_the_upper_level_is_highest(c_reg, c_train, c_prior):
    """log A within 0.03 of the maximum of Q(θ*(h), h) on a grid."""
    objective = {"c_reg": c_reg, "c_train": c_train, "c_prior": c_prior}
    found = trained(
        linear_bound(), spec(objective, 500), level("hoag", 1, every=5, rate=0.2, tolerance=1e-6)
    )  # fmt: skip
    best = best_of_grid(c_reg, c_train, c_prior)
    assert float(found.parameters.hyper.log_precision[0]["whole"][0]) == pytest.approx(best, abs=0.03)
    assert found.outer["step"].tolist() == list(range(4, 500, 5))
    assert found.outer["damping"].max() == 0  # −L of a linear model is convex
    assert found.outer["hypergradient"].shape == (100, 1)


def test_answers_differ_between_settings():
    """What the tests above and below tell apart: maxima over c_prior lie farther apart than their tolerance."""
    best = [best_of_grid(1.0, 1.0, c_prior) for c_prior in (0.1, 1.0, 4.0)]
    assert min(abs(np.diff(best))) > 0.1


@pytest.mark.parametrize("name", ["first_order", "hoag"])
def test_first_order_has_one_answer_for_every_c_prior(name):
    """At c_prior 0.1 and 4; its fixed point is that of c_prior = 1, where ∂KL/∂h = 0: A · mean(μ² + α) = 1."""
    options = {"despite_bias": True} if name == "first_order" else {"tolerance": 1e-6}
    found = [
        float(
            trained(
                linear_bound(), spec({"c_prior": c_prior}, 300), level(name, 1, every=5, rate=0.2, **options)
            ).parameters.hyper.log_precision[0]["whole"][0]
        )
        for c_prior in (0.1, 4.0)
    ]
    if name == "hoag":
        assert abs(found[0] - found[1]) > 0.3
    else:
        assert found[0] == pytest.approx(found[1], abs=1e-3)
        assert found[0] == pytest.approx(best_of_grid(1.0, 1.0, 1.0), abs=0.03)


def test_both_levels_follow_a_hyperprior():
    """One level and hoag reach the maximum of Q + log p(h), λ₁ = 40 and λ₂ = 20, on a grid: log p = 40 log A − 20 A."""
    grid = np.arange(-2, 3, 0.005)
    values = [q_at_optimum(log_a, 1, 1, 1) + 40 * log_a - 20 * np.exp(log_a) for log_a in grid]
    best = float(grid[np.argmax(values)])
    assert abs(best - best_of_grid(1.0, 1.0, 1.0)) > 0.1
    hyperprior = {"shape": 40.0, "scale": 20.0}
    for outer in (None, level("hoag", 1, every=5, rate=0.2, tolerance=1e-6)):
        result = trained(linear_bound(hyperprior=hyperprior), spec({}, 300), outer)
        assert float(result.parameters.hyper.log_precision[0]["whole"][0]) == pytest.approx(best, abs=0.02)


CHOICE = graph(
    {"x": (3,), "h": (2,), "y": (1,)},
    edge("x", "h", "one", fn("dense"), fn("linear")),
    edge("h", "y", "any", fn("linear"), fn("dense")),
)
KINDS = ("structure/", "prior_structure/")


@pytest.mark.parametrize(
    "method", [None, *(pytest.param(each, marks=pytest.mark.thorough) for each in ("first_order", "hoag"))]
)
def test_the_box_holds_log_s(method):
    """Repelled with c_comb = −20 from one structure: log s goes to the edge of the box, other parameters beyond.

    The box of ± 0.3 is one of the stored numbers; a learned log s of `one` is read less its mean.
    """
    against = AgainstSet((Against(structure={"x->h": ("linear",), "h->y": ("linear",)}),), "mixture", 0.5)
    objective = {"c_comb": -20.0, "against": [{"structure": {"x->y": ["linear"]}}]}
    bound = make_bound(
        population(CHOICE, [None] * 2, [0, 1]),
        prior={"structure": {"type": "gumbel_softmax", "learned": True}},
        against=against,
    )
    options = {"first_order": {"despite_bias": True}, "hoag": {"iterations": 3}}
    outer = None if method is None else level(method, 2, every=3, rate=0.3, samples=1, **options[method])
    steps = spec(objective, 12, lr=0.2, structure_warmup=0.0)
    largest = {}
    for limit in (0.3, None):
        result = trained(bound, steps, outer, limit)
        found = bound.labelled(result.parameters)
        for kind in KINDS:
            values = [value.abs().max() for name, value in found.items() if name.startswith(kind)]
            assert len(values) == 2
            largest[limit, kind] = float(torch.stack(values).max())
        others = [value.abs().max() for name, value in found.items() if not name.startswith(KINDS)]
        assert float(torch.stack(others).max()) > 0.3
        assert (result.diverged_at == -1).all()
    for kind in KINDS:
        assert largest[0.3, kind] == pytest.approx(0.3, abs=1e-12)
        assert largest[None, kind] > 0.35
