"""Forecasts count what functions do: operations, numbers and multiplications, whoever wrote them."""

from __future__ import annotations

import pytest
import studies

from structflow.plan.cost import EVALUATION_SHARE, PARAMETER_NUMBERS, StepWork, batch_work, evaluation_work, steps_worth
from structflow.plan.function_work import FunctionWork, function_work
from structflow.plan.plan import make_plan
from structflow.plugins.registry import registry
from structflow.spec.graph import GraphFunction


def function(name: str, **options: object) -> GraphFunction:
    plugin = registry().get("basis_functions", name)
    return GraphFunction(name, plugin, plugin.Options(**options))


def two_layers(width: int, outer: dict | None = None, steps: int = 1000) -> dict:
    """13 → width → width → 1 on 400 rows, eight members."""
    edges = [
        {"from": "x", "to": "h", "basis": [{"type": "dense"}]},
        {"from": "h", "to": "k", "basis": [{"type": "dense"}]},
        {"from": "k", "to": "y", "basis": ["linear"]},
    ]
    return studies.spec(
        data={"source": "synthetic", "rows": 400, "inputs": 13, "formula": "tanh(x0)", "noise": 0.2},
        model=studies.model(edges, h={"shape": [width]}, k={"shape": [width]}),
        optimizer={"inner": {"steps": steps}, "restarts": 8, **({} if outer is None else {"outer": outer})},
    )


def work_of(document: dict, members: int) -> StepWork:
    study = studies.study(document)
    return batch_work(study.graph, study.settings[0].stages[0], study.dataset.n_train, members, relaxed=False)


def test_a_dense_function_multiplies_inputs_by_outputs():
    """x Wᵀ + b and an activation: 13 · 50 multiplications a row; views of W aren't operations."""
    work = function_work(function("dense"), (13,), (50,))
    assert work.multiplications == 13 * 50
    assert 2 <= work.operations <= 4
    assert 2 * 50 <= work.values <= 4 * 50


def test_a_function_that_cannot_be_evaluated_counts_as_its_output():
    class Broken(registry().get("basis_functions", "dense")):
        type = "broken"

        def forward(self, weights, x):
            raise RuntimeError("no")

    assert function_work(GraphFunction("broken", Broken, Broken.Options()), (3,), (4,)) == FunctionWork(1, 4.0, 0.0)


@pytest.mark.parametrize("width", [5, 50, 200])
def test_two_layers_multiply_most_between_them(width):
    """13 w + w² + w for each of 8 members and 400 rows; counting values of nodes alone, it would be 2 w + 1."""
    assert work_of(two_layers(width), 8).multiplications == 8 * 400 * (13 * width + width**2 + width)


def test_parameters_of_the_posterior_count():
    """A full covariance of n weights is kept as n × n numbers, where the diagonal one has n."""
    weights = (13 + 1) * 20 + (20 + 1) * 20 + 20 + 1
    diagonal, full = (
        work_of({**two_layers(20), "posterior": {"weights": {"type": kind}}}, 8) for kind in ("diagonal", "full")
    )
    more = weights**2 - weights
    assert full.numbers - diagonal.numbers == pytest.approx(8 * PARAMETER_NUMBERS * more)


def test_minibatches_and_samples_count():
    document = two_layers(20)
    document["optimizer"]["inner"].update(batch_size=100, samples=3)
    whole, part = work_of(two_layers(20), 8), work_of(document, 8)
    assert part.multiplications == whole.multiplications * 3 * 100 / 400
    assert part.weights == whole.weights


@pytest.mark.parametrize(
    ("outer", "expected"),
    [
        ({"type": "one_level"}, 1.0),
        ({"type": "greedy"}, 1 + 1.4),  # the table in docs/benchmarks.md: a hypergradient is 1.3 to 1.5 steps
        ({"type": "hoag", "every": 20, "samples": 1, "iterations": 20}, 1 + 102 / 20),  # 84 eager, 120 compiled
    ],
)
def test_steps_of_the_hyperparameters_are_in_the_forecast(outer, expected):
    def study(steps, outer=None):
        return studies.study({**two_layers(20, outer, steps), "objective": {"c_prior": 1}})

    def of_a_thousand_steps(outer=None):  # what doesn't grow with steps drops out
        short, long = (make_plan(study(steps, outer), "cpu", False, 1).seconds for steps in (1000, 2000))
        return long - short

    assert steps_worth(study(1000, outer).settings[0].stages[0]) == pytest.approx(expected)
    assert of_a_thousand_steps(outer) == pytest.approx(expected * of_a_thousand_steps())


def test_what_follows_training_is_in_the_forecast():
    """Eight restarts are compared by 32 samples, twice; the best is evaluated by 256, three times and on test rows."""
    document = two_layers(20)
    document["evidence"] = {"samples": 256}
    one = work_of(document, 1)
    found = evaluation_work(one, studies.study(document).settings[0].stages[0], (400, 100), 8, 1)
    passes = (2 * 400 * 32 * 8 + (3 * 400 + 100) * 256) / 400
    assert found.numbers == pytest.approx(EVALUATION_SHARE * one.numbers * passes)
    assert found.multiplications == pytest.approx(EVALUATION_SHARE * one.multiplications * passes)


@pytest.mark.parametrize(
    ("sections", "passes"),
    [
        ({"evidence": {"samples": 256, "estimators": ["elbo", {"type": "iwelbo", "k": 100}]}}, 400 * 2 * 100),
        (
            {"evidence": {"samples": 256, "estimators": ["elbo", {"type": "ais", "temperatures": 10, "chains": 4}]}},
            400 * 3 * (4 + 16) * 10 * 4,  # with 16 chains to tune the steps; a gradient is three evaluations
        ),
        ({"robustness": {"inputs": [0, 0.5], "weights": [0.1], "samples": 8}}, 500 * 256 * (1 + 8 + 8)),
        (  # two criteria, three shares: the bound and metrics of 400 rows, metrics of 100, and 2 × 5 times under noise
            {"relevance": {"criteria": ["random", "graves"], "shares": [0, 0.5, 0.9], "samples": 10,
                           "input_noise": [0.5], "weight_noise": [0.1], "perturbations": 5}},
            2 * 3 * 10 * (2 * 400 + 100 + 2 * 5 * 100),
        ),
    ],
)  # fmt: skip
def test_estimators_robustness_and_curves_are_in_the_forecast(sections, passes):
    """Beyond what the metrics and the bound take, for one structure of one member."""
    one, base = work_of(two_layers(20), 1), {**two_layers(20), "evidence": {"samples": 256}}
    plain, more = (
        evaluation_work(one, studies.study(document).settings[0].stages[0], (400, 100), 1, 1)
        for document in (base, {**base, **sections})
    )
    assert more.numbers - plain.numbers == pytest.approx(EVALUATION_SHARE * one.numbers * passes / 400)


def test_small_studies_take_one_thread():
    """Two threads that share some thousand numbers wait for each other; of a large batch each does half."""
    assert make_plan(studies.study(studies.spec()), "cpu", False, 2).execution.threads == 1
    large = studies.study(two_layers(200))
    assert make_plan(large, "cpu", False, 2).execution.threads == 2
