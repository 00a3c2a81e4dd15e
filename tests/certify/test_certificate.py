"""Certificates of hypergradients: what exact methods reach in float64, what approximations don't, and their memory."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from handmade import DOUBLE, edge, fn, graph, make_bound, normal, population, stage_by_hand, start, structures
from torch import Tensor

from structflow.certify.certificate import Certificate, certify, verdict
from structflow.certify.dense_curvature import dense_curvature
from structflow.certify.finite_differences import central_differences, chosen_places
from structflow.certify.measured_method import Method, peak_bytes
from structflow.certify.optimum_problem import OptimumProblem, optimum_problem
from structflow.certify.steps_problem import StepsProblem, largest_curvature, safe_rate
from structflow.errors import CallError, PluginError
from structflow.plugins.registry import registry
from structflow.train.inner_method import InnerMethod, inner_method
from structflow.train.live_memory import LiveMemory
from structflow.train.metaparameters import MetaparameterTables
from structflow.train.open_stage import OpenStage
from structflow.train.stage_inputs import TrainingData

X, Y = normal(30, 3, seed=1), normal(30, 1, seed=2)
# c_reg, c_train, c_prior, c_comb, c_temp: Q isn't a multiple of L, so that the response of θ matters.
VALUES = (0.7, 1.3, 4.0, 0.0, 0.5)
SAMPLES = 2
HALF = inner_method("sgd", momentum=0.5)


@cache
def stage(precision: object, batch_size: int | None) -> OpenStage:
    """Two starts of a smooth network; one stage for all tests, since making its programs takes longest."""
    of = graph(
        {"x": (3,), "h": (2,), "y": (1,)},
        edge("x", "h", "all", fn("dense", activation="tanh")),
        edge("h", "y", "all", fn("linear")),
    )
    prior = {"weights": {"precision": precision}}
    bound = make_bound(population(of, structures(of) * 2, [0, 1]), likelihood_options={"noise": 0.6}, prior=prior)
    return stage_by_hand(bound, start(bound), TrainingData(X, Y), tables(1, VALUES), 2, batch_size)


def tables(steps: int, values: tuple[float, ...], rate: float = 4e-3) -> MetaparameterTables:
    """Falling rates and constant metaparameters."""
    rates = rate * torch.linspace(1, 0.5, steps, dtype=DOUBLE)
    return MetaparameterTables(rates, torch.tensor(values, dtype=DOUBLE).repeat(steps, 1), torch.ones(steps).bool())


def problem(
    steps: int = 8,
    inner: InnerMethod = HALF,
    values: tuple[float, ...] = VALUES,
    precision: object = "per_function",
    batch_size: int | None = 10,
) -> StepsProblem:
    """Some steps of the two, by default in minibatches of 10 rows."""
    opened = stage(precision, batch_size)
    inputs = replace(opened.inputs, setup=replace(opened.inputs.setup, tables=tables(steps, values)), drawn=-1)
    return StepsProblem(replace(opened, inputs=inputs), inner, SAMPLES, steps)


def methods(*names: str, steps: int = 8) -> list[Method]:
    """Rows by name; `unroll` and `implicit` are those of no plugin."""
    found = []
    for name in names:
        registration = registry().of_kind("hypergradients").get(name)
        if registration is None:
            found.append(Method(name))
        elif registration.plugin.levels == 1:
            found.append(Method(name, registration.plugin))
        else:
            options = registration.options(samples=SAMPLES, every=steps)
            found.append(Method(name, registration.plugin, options))
    return found


def errors(certificate: Certificate) -> dict[str, float]:
    """The worst relative error of every row."""
    return {row.name: float(certificate.relative_error(row).max()) for row in certificate.rows}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_through_steps_the_exact_methods_are_exact_and_the_others_have_a_bias(momentum):
    """The bars: reversible and the unroll within 1e-5 of differences in float64; greedy and drmad state their bias."""
    names = ("unroll", "reversible", "drmad", "greedy", "first_order", "one_level")
    found = certify(problem(inner=inner_method("sgd", momentum=momentum)), methods(*names), coordinates=5, seed=0)
    worst = errors(found)
    assert tuple(worst) == names
    assert max(found.uncertainty) < 1e-6
    assert worst["unroll"] < 1e-5
    assert worst["reversible"] < 1e-5
    assert [verdict(worst[name]) for name in names[:2]] == ["exact", "exact"]
    assert 1e-5 < worst["drmad"] < worst["greedy"] < 1  # many small steps are nearly a line; one step is few of 8
    assert worst["first_order"] == worst["one_level"]  # both are ∂Q/∂h alone
    by_name = {row.name: row for row in found.rows}
    assert max(found.from_reference(by_name["reversible"])) < 1e-9
    assert found.from_reference(by_name["greedy"]) == pytest.approx(found.relative_error(by_name["greedy"]), rel=1e-4)


def test_errors_and_cosines_are_those_of_the_definition():
    """Of greedy, member by member, from its own gradient and the differences."""
    found = certify(problem(steps=4), methods("greedy", steps=4), coordinates=5, seed=0)
    (row,) = found.rows
    for member in range(2):
        places = found.differences.places[:, member]
        assert (places >= 0).sum() == 2  # a precision for each of the two functions of a member
        g, true = row.gradient[places], found.differences.value[:, member]
        assert found.relative_error(row)[member] == pytest.approx(np.sqrt(((g - true) ** 2).sum() / (true**2).sum()))
        cosine = (g * true).sum() / np.sqrt((g**2).sum() * (true**2).sum())
        assert found.cosine(row)[member] == pytest.approx(cosine)
    assert found.from_reference(row) is None  # there is no reference among the rows


@cache
def optimum() -> OptimumProblem:
    return optimum_problem(problem())


def test_at_an_optimum_hoag_is_exact_and_the_direct_derivative_is_not():
    """The bar: hoag within 1e-4 of differences of Q(θ*(h), h) with θ* found anew on both sides."""
    slope = optimum().point().inner_gradient()[~optimum().stage.entries.of_h]
    assert slope.abs().max() < 1e-7
    assert bool(optimum().curvature.is_definite.all())
    found = certify(optimum(), methods("implicit", "hoag", "first_order"), coordinates=5, seed=0)
    worst = errors(found)
    assert worst["implicit"] < 1e-6
    assert worst["hoag"] < 1e-4
    assert worst["first_order"] > 0.1
    assert max(found.from_reference(found.rows[1])) < 1e-8


def linear_problem(steps: int) -> StepsProblem:
    """Steps of one linear model of three weights, which are cheap."""
    of = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("linear", bias=False)))
    bound = make_bound(population(of, structures(of)), likelihood_options={"noise": 0.6})
    opened = stage_by_hand(bound, start(bound), TrainingData(X, Y), tables(steps, VALUES, 1e-3), 1)
    return StepsProblem(opened, inner_method("sgd"), 1, steps)


def test_memory_of_drmad_does_not_grow_with_the_steps():
    """Bytes at the peak for 20 and for 200 steps: the same."""
    long = linear_problem(200)
    (method,) = methods("drmad", steps=200)
    method.gradient(long.tenth())()  # makes the programs
    peaks = [peak_bytes(each, method) for each in (long.tenth(), long)]
    assert peaks[0] == peaks[1] > 0


def test_memory_of_the_unroll_grows_with_the_steps_and_that_of_reversible_with_their_root():
    """From 10 to 100 steps more than sixfold, beside what Q takes, and less than √10-fold for 2 √η states."""
    long = linear_problem(100)
    ratio = {}
    for method in methods("reversible", "unroll", steps=100):
        method.gradient(long.tenth())()
        short, all_steps = (peak_bytes(each, method) for each in (long.tenth(), long))
        ratio[method.name] = all_steps / short
    assert ratio["unroll"] > 6
    assert ratio["reversible"] < 10**0.5


def test_bytes_that_are_alive_are_counted_and_nothing_else():
    """A number is 8 bytes; views take none, nor does what was there before or is made while the count is paused."""
    given = torch.zeros(100, dtype=DOUBLE)
    with LiveMemory() as meter:
        first = given + 1
        view = first.reshape(10, 10).t()
        given.add_(1)
        second = torch.stack([given, given])
        assert meter.live == 800 + 1600
        del second, first
        assert meter.live == 800  # the view keeps it
        del view
        assert meter.live == 0
        with meter.paused():
            paused = given * 2
        again = paused.reshape(10, 10)
        assert (meter.live, meter.peak) == (0, 2400)
        del again, paused
    assert meter.live == 0


def test_memory_that_autograd_keeps_is_counted():
    """Ten sines keep their ten inputs, of which the first was there before."""
    given = torch.zeros(100, dtype=DOUBLE, requires_grad=True)
    with LiveMemory() as meter:
        value = given
        for _ in range(10):
            value = value.sin()
        assert meter.live == 10 * 800


def test_differences_of_functions_whose_derivatives_are_known():
    """exp and cubes, two members at once; a place of −1 is left alone."""

    def value(flat: Tensor) -> Tensor:
        return torch.stack([flat[0].exp() + flat[1] ** 3, 5 * flat[2]])

    places = np.array([[0, 2], [1, -1]])
    found = central_differences(value, torch.tensor([0.3, 2.0, 1.0], dtype=DOUBLE), places)
    np.testing.assert_allclose(found.value, [[math.exp(0.3), 5.0], [12.0, 0.0]], rtol=1e-9)
    assert np.all(found.uncertainty < 1e-5)
    assert found.uncertainty[1, 1] == 0


def test_a_kink_between_the_widths_shows_in_the_uncertainty():
    """√h⁺ at 0: half of 1/√δ, so that the nearest two differ by (√10 − 1)/(2 √1e-3) = 34.2."""
    found = central_differences(lambda flat: flat.relu().sqrt(), torch.zeros(1, dtype=DOUBLE), np.array([[0]]))
    assert found.uncertainty[0, 0] == pytest.approx((10**0.5 - 1) / (2 * 1e-3**0.5))


def test_places_are_drawn_from_a_seed_with_the_suspects_first():
    groups = [[np.arange(100), np.arange(100, 103)], [np.arange(200, 202)]]
    none = np.array([], dtype=int)
    places = chosen_places(groups, 4, 7, none)
    assert places.shape == (7, 2)
    np.testing.assert_array_equal(places, chosen_places(groups, 4, 7, none))
    assert places[4:, 0].tolist() == [100, 101, 102]
    assert places[:, 1].tolist() == [200, 201, -1, -1, -1, -1, -1]
    assert not np.array_equal(places, chosen_places(groups, 4, 8, none))
    assert {3, 99} <= set(chosen_places(groups, 4, 7, np.array([3, 99]))[:, 0].tolist())


def test_hyperparameters_without_influence_are_refused_by_name():
    """With c_reg = c_prior = 0 no prior enters L or Q; both kinds of derivative agree that nothing happens."""
    with pytest.raises(CallError, match=r"log_precision/h->y/linear.* no influence on Q, by finite differences"):
        certify(problem(steps=3, values=(0.0, 1.0, 0.0, 0.0, 0.5)), methods("unroll", steps=3), coordinates=1, seed=0)


def test_a_method_that_is_blind_is_biased_and_no_error():
    """With c_prior = 0 ∂Q/∂h is 0, and h acts through θ alone: a relative error of 1."""
    found = certify(problem(steps=3, values=(1.0, 1.0, 0.0, 0.0, 0.5)), methods("first_order", steps=3), 5, 0)
    assert errors(found) == {"first_order": 1.0}
    assert np.isnan(found.cosine(found.rows[0])).all()


def test_nothing_to_certify_is_refused():
    with pytest.raises(CallError, match=r"no hyperparameters to certify: set prior\.weights\.precision"):
        certify(problem(steps=3, precision=2.0), methods("unroll", steps=3), 5, 0)


def test_a_rate_that_is_safe_is_half_of_one_over_the_largest_curvature():
    """The largest |eigenvalue| of the curvature that is written out, which power iterations come near to."""
    of = problem()
    curvature = dense_curvature(of.start_point()).values.abs().max()
    assert float(largest_curvature(of.start_point())) == pytest.approx(float(curvature), rel=0.02)
    found = safe_rate(of).stage.inputs.setup.tables.rate
    assert bool((found == found[0]).all())
    at_end = largest_curvature(safe_rate(of).point())
    assert 0.2 / curvature < found[0] <= 0.51 / curvature
    assert found[0] * at_end <= 1


def test_the_curvature_written_out_solves_as_it_should():
    """H (H⁻¹ v) = v along θ, by products that don't use the matrix."""
    point = optimum().point()
    v = torch.where(point.of_theta, normal(len(point.flat), seed=3), torch.zeros_like(point.flat))
    back = point.curvature_product(optimum().curvature.inverse_times(v))
    torch.testing.assert_close(torch.where(point.of_theta, back, torch.zeros_like(v)), v, rtol=1e-8, atol=1e-8)


def test_adam_has_no_unroll():
    of = problem(steps=5, inner=inner_method())
    found = certify(of, methods("unroll", "greedy", steps=5), 5, 0)
    assert [row.name for row in found.rows] == ["greedy"]


def test_a_method_that_fails_is_named():
    def broken(options, point):
        raise ValueError("no such thing")

    (method,) = methods("greedy")
    plugin = type("Broken", (method.plugin,), {"gradient": staticmethod(broken)})
    with pytest.raises(PluginError, match="gradient raised ValueError: no such thing"):
        certify(problem(steps=2), [replace(method, plugin=plugin)], 1, 0)


@pytest.mark.parametrize(("error", "word"), [(1e-5, "exact"), (1.1e-5, "close"), (0.01, "close"), (0.011, "biased")])
def test_verdicts(error, word):
    assert verdict(error) == word


def test_a_number_that_is_none_is_biased():
    assert verdict(math.nan) == "biased"
