"""Hyperparameters of linear members where columns are equal: an ascent ends between them, at a saddle.

The references are closed forms maximised by scipy from several starts (`linear_references`), which break every tie.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handmade import best_end, best_start, edge, fn, graph, make_bound, population, start, structures
from linear_references import best_poisson_bound_of_relevance, best_tempered_bound, tempered_bound

import structflow
from structflow.objective.bound import Bound
from structflow.train import linear_curvature, linear_starts
from structflow.train.linear_curvature import upward
from structflow.train.linear_fits import AT_SADDLE
from structflow.train.linear_hyperparameters import LinearFit, LinearProblem, around
from structflow.train.linear_structures import Level, linear_structures

TWO_DEGREES = (fn("linear"), fn("polynomial", degree=2))
SAME_TWICE = (fn("linear"), fn("polynomial", degree=1))
CLOSE = 0.01
"""Nats: maxima in which a weight that hardly matters is there or not differ by a few thousandths."""


def table(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """45 rows, two inputs, y of the first and of the square of the second; inputs then times a scale."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(45, 2))
    y = 1.5 * x[:, 0] + 0.3 * x[:, 1] ** 2 + 0.4 * rng.normal(size=45) + 0.2
    return x * scale, y


def bound_of(
    functions: tuple[Any, ...],
    precision: str = "per_parameter",
    noise: float | str = 0.4,
    covariance: str = "diagonal",
    likelihood: str = "gaussian",
    hyperprior: tuple[float, float] | None = None,
) -> Bound:
    of = graph({"x": (2,), "y": (1,)}, edge("x", "y", "all", *functions))
    prior = {} if hyperprior is None else {"hyperprior": dict(zip(("shape", "scale"), hyperprior, strict=True))}
    return make_bound(
        population(of, structures(of)),
        likelihood,
        likelihood_options={"noise": noise} if likelihood == "gaussian" else {},
        prior={"weights": {"precision": precision, **prior}},
        posterior={"weights": {"covariance": covariance}},
    )


def level_of(x: np.ndarray, y: np.ndarray, c: float = 1.0) -> Level:
    return Level(torch.from_numpy(x), torch.from_numpy(y[:, None]), c_reg=c, c_train=1.0)


def held(bound: Bound, level: Level, parameters: Mapping[str, torch.Tensor]) -> tuple[LinearProblem, LinearFit]:
    """The problem of the only member, and what parameters hold of it."""
    (structure,) = linear_structures(bound, level)
    tree = bound.of_labels(parameters)
    problem = structure.problem(tree, 0)
    return problem, structure.given(tree, 0, problem)


def found(bound: Bound, level: Level) -> tuple[LinearProblem, LinearFit]:
    """The problem of the only member, and the fit that it starts from."""
    return held(bound, level, best_start(bound, start(bound), level))


def design_of(problem: LinearProblem) -> np.ndarray:
    return problem.model.features[:, :, 0].numpy().T


def expected(problem: LinearProblem, y: np.ndarray, diagonal: bool, **known: Any) -> float:
    return best_tempered_bound(design_of(problem), y, problem.owner.numpy(), diagonal, **known)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("c", [1.0, 3.0])
def test_equal_columns_of_two_functions(scale, c):
    """x in linear and in polynomial:2, a precision for every weight, of which one can have any scale: so can L.

    −22.1815, and −32.6783 with c = 3. The point of equal precisions was the end before, at −24.407 and −38.712.
    """
    x, y = table(scale)
    problem, fit = found(bound_of(TWO_DEGREES), level_of(x, y, c))
    best = expected(problem, y, diagonal=True, c=c, log_noise=np.log(0.4))
    assert best == pytest.approx({1.0: -22.1815, 3.0: -32.6783}[c], abs=CLOSE)
    assert fit.value == pytest.approx(best, abs=CLOSE)


@pytest.mark.parametrize("scale", [1.0, *(pytest.param(scale, marks=pytest.mark.thorough) for scale in (1e-3, 1e3))])
@pytest.mark.parametrize("functions", [TWO_DEGREES, SAME_TWICE], ids=["two degrees", "same twice"])
@pytest.mark.parametrize(
    ("precision", "covariance", "noise", "hyperprior"),
    [
        ("per_function", "diagonal", 0.4, None),
        ("per_function", "full", 0.4, None),
        ("per_function", "diagonal", "learned", None),
        ("per_parameter", "diagonal", "learned", None),
        ("per_parameter", "diagonal", 0.4, (2.0, 0.05)),
        ("per_parameter", "full", 0.4, (2.0, 0.05)),
        ("per_parameter", "full", "learned", None),
    ],
)
def test_equal_columns_elsewhere(scale, functions, precision, covariance, noise, hyperprior):
    """Equal functions with a precision each, full covariances with a hyperprior, and a learned noise: scipy's maximum.

    Where two functions share what they explain there are maxima besides, in which the wrong one of them does.
    """
    x, y = table(scale)
    problem, fit = found(bound_of(functions, precision, noise, covariance, hyperprior=hyperprior), level_of(x, y))
    log_noise = None if noise == "learned" else np.log(0.4)
    best = expected(problem, y, covariance == "diagonal", log_noise=log_noise, hyperprior=hyperprior)
    assert fit.value >= best - CLOSE


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_equal_columns_of_counts(scale):
    """A likelihood whose best q has no closed form: the reference searches over q, with the precisions solved for."""
    x, _ = table(1.0)
    y = np.random.default_rng(1).poisson(np.exp(1 + 0.5 * x[:, 0])).astype(float)
    problem, fit = found(bound_of(SAME_TWICE, likelihood="poisson"), level_of(x * scale, y))
    assert fit.value == pytest.approx(best_poisson_bound_of_relevance(design_of(problem), y), abs=CLOSE)


def test_nearly_equal_columns():
    """Columns that differ by 1e-4 of their size: no exact saddle, but a slope that is next to 0 between them."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(45, 1)) + np.array([0.0, 1e-4]) * rng.normal(size=(45, 2))
    y = x[:, 0] + 0.4 * rng.normal(size=45)
    problem, fit = found(bound_of((fn("linear"),)), level_of(x, y))
    assert fit.value == pytest.approx(expected(problem, y, diagonal=True, log_noise=np.log(0.4)), abs=CLOSE)


def at_saddle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out whatever breaks ties."""
    monkeypatch.setattr(linear_curvature, "MOST_SADDLES", 0)
    monkeypatch.setattr(linear_starts, "MOST_ALONE", 0)
    monkeypatch.setattr(linear_starts, "MOST_JUMPING", 0)


def test_the_way_up_from_a_saddle(monkeypatch):
    """Two equal functions: at equal precisions V rises where one goes up as the other goes down, by scipy's closed form
    too. Beside it the best of both is no saddle.
    """
    x, y = table(1.0)
    bound, level = bound_of(SAME_TWICE, "per_function"), level_of(x, y)
    with monkeypatch.context() as patched:
        at_saddle(patched)
        problem, saddle = found(bound, level)
    direction = upward(problem, saddle, around(saddle))
    assert direction is not None
    np.testing.assert_allclose(direction.abs().numpy(), [1.0, 1.0], atol=1e-3)
    assert float(direction.sum()) == pytest.approx(0.0, abs=1e-3)

    def closed_form(step: float) -> float:
        own = (saddle.log_precisions + step * direction).numpy()
        return tempered_bound(design_of(problem), y, own[problem.owner.numpy()], np.log(0.4), True, 1.0)

    assert saddle.value == pytest.approx(closed_form(0.0), abs=1e-6)
    assert min(closed_form(0.1), closed_form(-0.1)) > closed_form(0.0) + 1e-3
    problem, best = found(bound, level)
    assert best.value > saddle.value + 1
    assert upward(problem, best, around(best)) is None


def test_a_saddle_is_no_maximum(monkeypatch):
    """A member that is left at a saddle has not converged: at least a nat is said to be left, of 2.2 that are."""
    x, y = table(1.0)
    bound, level = bound_of(TWO_DEGREES), level_of(x, y)
    best = found(bound, level)[1].value
    at_saddle(monkeypatch)
    saddle = best_start(bound, start(bound), level)
    assert held(bound, level, saddle)[1].value < best - 2
    _, left = best_end(bound, saddle, saddle, level, moved=False)
    assert float(left[0]) >= AT_SADDLE


def test_training_that_leaves_a_saddle_is_followed():
    """Where steps end above the start, the maximum that they were on the way to is climbed."""
    x, y = table(1.0)
    bound, level = bound_of(SAME_TWICE, "per_function"), level_of(x, y)
    with pytest.MonkeyPatch.context() as patched:
        at_saddle(patched)
        saddle = best_start(bound, start(bound), level)
    problem, fit = held(bound, level, saddle)
    (structure,) = linear_structures(bound, level)
    beside = problem.at(fit, fit.log_precisions + torch.tensor([0.3, -0.3], dtype=torch.float64))
    assert beside.value > fit.value + 0.01
    trained = {name: value.clone() for name, value in saddle.items()}
    structure.put(bound.of_labels(trained), 0, beside)
    ended, left = best_end(bound, saddle, trained, level, moved=False)
    assert held(bound, level, ended)[1].value == pytest.approx(found(bound, level)[1].value, abs=CLOSE)
    assert float(left[0]) < 1e-3


@pytest.mark.parametrize(("c", "log_evidence"), [(1.0, -22.187), (3.0, -23.094)])
def test_runs_report_the_maximum(tmp_path: Path, c: float, log_evidence: float):
    """The log evidence at scipy's maximum; before it was −24.409, and with c = 3 −26.088, said to have converged."""
    x, y = table(1.0)
    np.savez(tmp_path / "table.npz", x=x, y=y)
    functions = [{"type": "linear"}, {"type": "polynomial", "degree": 2}]
    spec = {
        "name": "equal-columns",
        "data": {
            "source": "npz", "path": str(tmp_path / "table.npz"), "inputs": "x", "target": "y",
            "standardize": {"inputs": False, "targets": False},
        },
        "model": {
            "likelihood": {"type": "gaussian", "noise": 0.4},
            "edges": [{"from": "x", "to": "y", "choose": "all", "basis": functions}],
        },
        "prior": {"weights": {"precision": "per_parameter"}},
        "objective": {"c_reg": c, "c_prior": c},
        "optimizer": {"inner": {"steps": 20}, "restarts": 2},
        "compute": {"compile": False},
    }  # fmt: skip
    (entry,) = structflow.run(spec, tmp_path / "run").ranking
    assert entry["log_evidence"] == pytest.approx(log_evidence, abs=CLOSE)
    assert entry["converged"] is True
