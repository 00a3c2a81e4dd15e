"""A plugin that fails while a run goes on is named, with its package and what to do; its neighbours aren't blamed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import studies
import torch
from handmade import edge, graph, keys_of, noise_of, normal, population, structures
from pydantic import model_validator
from torch import Tensor

from structflow.builtin.basis_functions.linear import Linear
from structflow.builtin.likelihoods.gaussian import Gaussian
from structflow.builtin.regimes.enumeration import Enumeration
from structflow.builtin.structure_distributions.gumbel_softmax import GumbelSoftmax
from structflow.data.read import load_dataset
from structflow.errors import FunctionError, PluginError, SpecError, StructflowError
from structflow.evidence.estimates import checked_estimate
from structflow.objective.bound import Bound, BoundInputs, Distributions
from structflow.objective.guarded_distribution import GuardedDistribution
from structflow.plugins import (
    Candidate,
    DataOptions,
    DataSource,
    Decision,
    Estimate,
    EvidenceEstimator,
    Hypergradient,
    Likelihood,
    Options,
    OuterGradient,
    Parent,
    Regime,
    RoundBound,
    Table,
)
from structflow.plugins.calling import Calling, conflicts_of
from structflow.plugins.registry import Registration, registry
from structflow.spec.choice import validated
from structflow.spec.graph import GraphFunction
from structflow.spec.models import Posterior, Prior
from structflow.spec.regime_calls import regime_decision, regime_rounds
from structflow.spec.structures import EdgeChoice, Structure, StructureSpace
from structflow.testing import quadratic_point
from structflow.testing.default_spec import default_spec
from structflow.train.hypergradient_calls import hypergradient

ROWS = 5
HERE = __name__


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that raises."""

    def fails(*arguments: Any, **named: Any) -> Any:
        raise error

    return fails


def odd(base: type[Any], **attributes: Any) -> Any:
    """A plugin of this module of type `odd`, with these methods in place of those of its base."""
    own = {"type": "odd", "__module__": HERE, **attributes}
    return type(base)("Odd", (base,), own)


# -- basis functions ---------------------------------------------------------------------------------------------------


def bound_of(function: type[Linear], likelihood: Any = None) -> Bound:
    """Three inputs → two hidden units by the function → two targets by `linear`."""
    options: Any = function.Options()
    bent = GraphFunction("bent", function, options)
    of = graph(
        {"x": (3,), "h": (2,), "y": (2,)},
        edge("x", "h", "all", bent),
        edge("h", "y", "all", GraphFunction("linear", Linear, Linear.Options())),
    )
    own = Gaussian(Gaussian.Options(noise=0.5), np.ones(2)) if likelihood is None else likelihood
    family = registry().get("structure_distributions", "gumbel_softmax")
    return Bound(population(of, structures(of)), Distributions(own, family, Prior(), Posterior(), 0.5))


def terms(bound: Bound) -> Any:
    """Terms of the bound at its start."""
    keys = keys_of(bound.population)
    started = bound.start(keys)
    x, y = normal(ROWS, 3), normal(ROWS, 2, seed=1)
    noise = noise_of(bound, keys, samples=3)
    return bound.terms(
        started, BoundInputs(noise, x, y, torch.tensor(0.5), bound.population.indices, torch.tensor(1.0))
    )


def odd_function(forward: Callable[[dict[str, Tensor], Tensor], Any], **more: Any) -> type[Linear]:
    return odd(Linear, forward=lambda self, w, x: forward(w, x), **more)


def product(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    return x @ weights["weight"] + weights["bias"]


WRONG_FORWARDS = {
    "float32": (
        lambda w, x: product(w, x).float(),
        "Odd.forward returned torch.float32 on cpu; expected torch.float64",
    ),
    "none": (lambda w, x: None, "forward returned NoneType (return one tensor)"),
    "two": (lambda w, x: (x, x), "Odd.forward returned tuple; expected a tensor (rows, *out_shape)"),
    "branch": (lambda w, x: product(w, x) if w["bias"].sum() > -9 else x, "forward branches on the value of a tensor"),
    "random": (lambda w, x: product(w, x) + torch.randn(2), "forward draws random numbers of its own"),
    "item": (lambda w, x: product(w, x) * float(w["bias"].sum()), "forward takes the value of a tensor out of torch"),
    "numpy": (lambda w, x: product(w, x) * w["bias"].tolist()[0], "out of torch (.numpy(), .tolist()) (use torch's"),
    "mask": (lambda w, x: product(w, x)[w["bias"] > 0], "forward makes a tensor whose shape depends on values"),
    "constant": (lambda w, x: x @ torch.ones(3, 2), "forward mixes numbers of different dtypes (make constants in"),
    "exit": (raising(SystemExit("no licence")), "forward raised SystemExit: no licence"),
    "quiet": (raising(KeyError()), "forward raised KeyError"),
}


@pytest.mark.parametrize("case", WRONG_FORWARDS)
def test_a_faulty_forward_names_itself_with_the_remedy_and_not_its_neighbour(case: str) -> None:
    forward, words = WRONG_FORWARDS[case]
    with pytest.raises(FunctionError) as caught:
        terms(bound_of(odd_function(forward)))
    assert f"basis function 'bent' on edge x->h (type 'odd' of package {HERE})" in str(caught.value)
    assert words in str(caught.value)
    assert "vmap" not in str(caught.value)


def test_a_function_whose_start_has_another_dtype_is_named() -> None:
    single = {"start": lambda self, normals: {name: value.float() for name, value in normals.items()}}
    with pytest.raises(FunctionError, match=r"weights 'x->h/bent' \(type 'odd'.*Odd.start returned .*float32"):
        terms(bound_of(odd_function(product, **single)))


def test_a_function_whose_start_leaves_a_weight_out_is_named() -> None:
    fewer = {"start": lambda self, normals: {"weight": normals["weight"]}}
    with pytest.raises(FunctionError, match=r"Odd.start returned .*expected .*'bias'.*as the normals"):
        terms(bound_of(odd_function(product, **fewer)))


def test_a_function_that_cannot_be_made_is_named() -> None:
    cannot = odd_function(product, __init__=raising(ZeroDivisionError("no columns")))
    with pytest.raises(FunctionError, match=r"'bent' on edge x->h \(type 'odd'.*\): __init__ raised ZeroDivisionError"):
        bound_of(cannot)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"weight": (3.0, 2)}, "weight_shapes returned (3.0, 2) for 'weight'; expected a tuple of whole numbers"),
        ({"weight": (0, 2)}, "weight_shapes returned (0, 2) for 'weight'"),
        ({"weight": None}, "weight_shapes returned None for 'weight'"),
        ([(3, 2)], "weight_shapes returned [(3, 2)]; expected a dictionary of shapes"),
    ],
)
def test_wrong_shapes_of_weights_are_refused_before_training(
    shapes: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Linear, "weight_shapes", classmethod(lambda cls, options, source, target: shapes))
    with pytest.raises(SpecError) as caught:
        studies.study(studies.spec())
    assert "basis function 'linear' of package structflow broke its contract" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("label", [None, 3, raising(RuntimeError("no name"))])
def test_a_label_that_is_none_is_a_problem_of_the_spec(label: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Linear, "label", classmethod(label if callable(label) else lambda cls, options: label))
    with pytest.raises(SpecError, match="linear has no label: basis function 'linear' of package structflow"):
        studies.study(studies.spec())


# -- likelihoods -------------------------------------------------------------------------------------------------------


def odd_likelihood(**methods: Any) -> Likelihood:
    closed = {"closed_form": property(lambda self: False)}
    made: Likelihood = odd(Gaussian, **{**closed, **methods})(Gaussian.Options(noise=0.5), np.ones(2))
    return made


def density(self: Any, parameters: Any, y: Tensor, f: Tensor) -> Tensor:
    return -0.5 * (y - f).square()


WRONG_LIKELIHOODS: dict[str, tuple[dict[str, Any], str]] = {
    "not summed over targets": ({"log_prob": density}, "log_prob returned the shape (5, 2); expected (rows,) = (5,)"),
    "summed over rows": (
        {"log_prob": lambda *a: density(*a).sum()}, "log_prob returned the shape (); expected (rows,) = (5,)"
    ),
    "float32": ({"log_prob": lambda *a: density(*a).sum(1).float()}, "log_prob returned torch.float32 on cpu"),
    "none": ({"log_prob": lambda *a: None}, "log_prob returned NoneType; expected a tensor"),
    "branch": ({"log_prob": lambda *a: density(*a).sum(1) if a[3].sum() > 0 else 0 * a[3][:, 0]}, "log_prob branches"),
    "raises": ({"log_prob": raising(IndexError("list index"))}, "log_prob raised IndexError: list index"),
    "parameters": ({"parameters": lambda self, shape: [1.0]}, "parameters returned [1.0]"),
    "nan": ({"parameters": lambda self, shape: {"s": np.nan}}, "parameters returned nan for 's'; expected finite"),
    "closed form": ({"closed_form": property(raising(KeyError("x")))}, "closed_form raised KeyError: 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_LIKELIHOODS)
def test_a_faulty_likelihood_names_itself(case: str) -> None:
    methods, words = WRONG_LIKELIHOODS[case]
    with pytest.raises(PluginError) as caught:
        terms(bound_of(Linear, odd_likelihood(**methods)))
    assert f"likelihood 'odd' of package {HERE}" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("method", "result", "words"),
    [
        ("moments", lambda self, p, f: f, "moments returned Tensor of shape (5, 2)"),
        ("moments", lambda self, p, f: (f, f[:, :1]), "moments returned the shapes (5, 2) and (5, 1)"),
        ("draw", lambda self, p, f, g: f, "draw returned Tensor of shape (5, 2)"),
        ("draw", lambda self, p, f, g: f.numpy()[:2], "draw returned ndarray of shape (2, 2)"),
    ],
)
def test_moments_and_draws_of_a_wrong_shape_name_the_likelihood(method: str, result: Any, words: str) -> None:
    guarded = bound_of(Linear, odd_likelihood(**{method: result})).likelihood
    arguments: list[Any] = [{}, normal(ROWS, 2)] + [np.random.default_rng(1)] * (method == "draw")
    with pytest.raises(PluginError) as caught:
        getattr(guarded, method)(*arguments)
    assert f"likelihood 'odd' of package {HERE} broke its contract: {words}" in str(caught.value)


def test_metrics_are_numbers_of_python() -> None:
    metrics = bound_of(Linear, odd_likelihood(metrics=lambda self, y, p: {"rmse": np.float32(0.5)})).likelihood.metrics
    found = metrics(np.zeros((2, 2)), np.zeros((2, 2)))
    assert found == {"rmse": 0.5}
    assert type(found["rmse"]) is float
    wrong = bound_of(Linear, odd_likelihood(metrics=lambda self, y, p: {"rmse": p})).likelihood.metrics
    with pytest.raises(PluginError, match="for 'rmse'; expected one number for every name"):
        wrong(np.zeros((2, 2)), np.zeros((2, 2)))


# -- regimes -----------------------------------------------------------------------------------------------------------

SPACE = StructureSpace((EdgeChoice("x->h", ("a", "b"), "one"), EdgeChoice("h->y", ("c", "d"), "any")))
ONE = Structure((("x->h", ("a",)), ("h->y", ("c",))))
OUTSIDE = Structure((("x->h", ("a", "b")), ("h->y", ("c",))))


@pytest.fixture
def regime_spec(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A spec whose regime, of type `odd`, has these methods."""

    def make(**methods: Any) -> Any:
        own = {name: staticmethod(method) for name, method in methods.items()}
        plugin = odd(Regime, **own)
        registration = Registration("regimes", plugin, "structflow-odd", plugin.Options)
        monkeypatch.setitem(registry().kinds["regimes"], "odd", registration)
        return default_spec(regime=SimpleNamespace(type="odd", open={}))

    return make


@pytest.mark.parametrize(
    ("rounds", "words"),
    [
        (raising(KeyError("round")), "rounds raised KeyError: 'round'"),
        (lambda *a: None, "rounds raised TypeError: 'NoneType' object is not iterable"),
        (lambda *a: [], "rounds returned no rounds"),
        (lambda *a: ["first"], "rounds returned 'first'; expected a list of structflow.plugins.RoundBound"),
        (lambda *a: [RoundBound("a", False, 2.0, True)], "rounds returned most=2.0 for round 'a'"),
        (lambda *a: [RoundBound("a", False, 2, True)] * 2, "rounds returned rounds named ['a', 'a']"),
        (lambda *a: [RoundBound("a", True, 2, True, {"c_regg": 1.0})], "the metaparameter 'c_regg' of 1.0"),
    ],
)
def test_a_regime_with_wrong_rounds_is_named(rounds: Any, words: str, regime_spec: Callable[..., Any]) -> None:
    with pytest.raises(PluginError) as caught:
        regime_rounds(regime_spec(rounds=rounds), SPACE)
    assert "regime 'odd' of package structflow-odd" in str(caught.value)
    assert words in str(caught.value)


def test_rounds_may_be_a_generator(regime_spec: Callable[..., Any]) -> None:
    bound = RoundBound("only", False, 4, True)
    assert regime_rounds(regime_spec(rounds=lambda *a: (each for each in [bound])), SPACE) == [bound]


@pytest.mark.parametrize(
    ("candidates", "words"),
    [
        (lambda: [Candidate(OUTSIDE, 0)], "decide returned the structure Structure(edges=(('x->h', ('a', 'b'))"),
        (lambda: [ONE], "expected a list of structflow.plugins.Candidate"),
        (lambda: [Candidate(ONE, 7)], "the restart 7 in round 0; expected a whole number from 0 to 1"),
        (lambda: [Candidate(ONE, 0)] * 2, "twice in round 0; expected every member once"),
        (lambda: [Candidate(ONE, 0), Candidate(None, 0)], "relaxed members beside structures"),
        (lambda: [Candidate(ONE, 0, parent=Parent(0, ONE, None, 0))], "expected a member of an earlier round"),
        (lambda: [Candidate(ONE, 0, fold=1)], "the fold 1 in round 0"),
        (lambda: 3, "decide raised TypeError: 'int' object is not iterable"),
    ],
)
def test_a_regime_that_decides_for_what_is_not_there_is_named(
    candidates: Any, words: str, regime_spec: Callable[..., Any]
) -> None:
    spec = regime_spec(decide=lambda *a: Decision(candidates()))
    with pytest.raises(PluginError) as caught:
        regime_decision(spec, SPACE, 0, [])
    assert "regime 'odd' of package structflow-odd" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("returned", [None, [Candidate(ONE, 0)]])
def test_a_decision_is_a_decision(returned: Any, regime_spec: Callable[..., Any]) -> None:
    with pytest.raises(PluginError, match="expected a structflow"):
        regime_decision(regime_spec(decide=lambda *a: returned), SPACE, 0, [])


def test_candidates_may_be_a_generator(regime_spec: Callable[..., Any]) -> None:
    spec = regime_spec(decide=lambda *a: Decision(Candidate(ONE, restart) for restart in range(2)))  # type: ignore[arg-type]
    assert list(regime_decision(spec, SPACE, 0, []).candidates) == [Candidate(ONE, 0), Candidate(ONE, 1)]


def test_a_space_knows_what_it_holds_without_listing() -> None:
    everything = list(SPACE)
    assert all(structure in SPACE for structure in everything)
    assert OUTSIDE not in SPACE
    assert Structure(ONE.edges[:1]) not in SPACE
    assert Structure((("x->h", ("a",)), ("h->y", ("d", "c")))) not in SPACE  # another order
    assert ONE not in StructureSpace(SPACE.edges, (("h", ((5,),)),))


def test_a_run_whose_regime_raises_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Enumeration, "decide", staticmethod(raising(KeyError("x->h"))))
    with pytest.raises(StructflowError, match="regime 'enumeration' of package structflow: decide raised KeyError"):
        studies.run(studies.spec(), tmp_path / "run")


# -- what is asked of a spec, and of trained members ------------------------------------------------------------------


@pytest.mark.parametrize("found", [None, "too wide", ["too wide"], [None]])
def test_conflicts_that_are_no_problems_name_the_plugin(found: Any) -> None:
    plugin = odd(Regime, conflicts=staticmethod(lambda *a: found))
    with pytest.raises(PluginError, match=rf"regime 'odd' of package {HERE} broke its contract: conflicts returned"):
        conflicts_of(plugin, None, None)


def odd_estimator(estimate: Any) -> type[EvidenceEstimator]:
    made: type[EvidenceEstimator] = odd(EvidenceEstimator, estimate=staticmethod(estimate))
    return made


THREE = torch.zeros(3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (lambda *a: Estimate(THREE[:2], THREE), "value (2,) in torch.float64; expected (3,) numbers in float64"),
        (lambda *a: Estimate(THREE, THREE.float()), "standard_error (3,) in torch.float32"),
        (lambda *a: Estimate([0.0] * 3, THREE), "value list"),  # type: ignore[arg-type]
        (lambda *a: (THREE, THREE), "estimate returned tuple"),
        (lambda *a: None, "estimate returned NoneType"),
        (lambda *a: Estimate(THREE, THREE, ["none"]), "missing=['none']"),  # type: ignore[arg-type]
        (raising(AttributeError("no weights")), "estimate raised AttributeError: no weights"),
    ],
)
def test_an_estimate_that_is_not_one_number_a_member_names_the_estimator(estimate: Any, words: str) -> None:
    trained: Any = SimpleNamespace(size=3)
    with pytest.raises(PluginError) as caught:
        checked_estimate(odd_estimator(estimate), "estimate", 3, None, trained, 16)
    assert f"evidence estimator 'odd' of package {HERE}" in str(caught.value)
    assert words in str(caught.value)


def test_an_estimator_without_a_value_or_a_reason_is_named_as_the_reason() -> None:
    trained: Any = SimpleNamespace(size=3)
    values = torch.tensor([torch.nan, 1.0, torch.inf], dtype=torch.float64)
    plugin = odd_estimator(lambda *a: Estimate(values, THREE, {0: "too large"}))
    found = checked_estimate(plugin, "estimate", 3, None, trained, 16)
    assert found.value.isnan().tolist() == [True, False, True]
    assert found.missing[0] == "too large"
    assert f"evidence estimator 'odd' of package {HERE} gave neither a finite value nor a reason" in found.missing[2]


@pytest.mark.parametrize(
    ("gradient", "words"),
    [
        (lambda o, point: point.outer_gradient(), "gradient returned Tensor; expected an OuterGradient"),
        (lambda o, point: OuterGradient(point.outer_gradient()[:3]), "the gradient of shape (3,); expected the shape"),
        (lambda o, point: OuterGradient(point.outer_gradient(), {"norm": THREE[:1]}), "report 'norm' of shape (1,)"),
        (lambda o, point: OuterGradient(point.outer_gradient(), {"norm": 1.0}), "float as report 'norm'"),
        (raising(NotImplementedError()), "gradient raised NotImplementedError"),
    ],
)
def test_a_hypergradient_of_a_wrong_shape_names_the_method(gradient: Any, words: str) -> None:
    plugin = odd(Hypergradient, levels=2, gradient=staticmethod(gradient))
    point: Any = quadratic_point()
    with pytest.raises(PluginError) as caught:
        hypergradient(plugin, None, point, point.members)
    assert f"hypergradient 'odd' of package {HERE}" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("method", "returned", "words"),
    [
        ("log_prob", lambda space, s, c, u: u, "log_prob returned the shape (2, 4, 3) in torch.float64 on cpu; expe"),
        ("sample", lambda space, s, c, u: u.float(), "sample returned the shape (2, 4, 3) in torch.float32"),
        ("log_gamma", lambda space, x: None, "log_gamma returned NoneType"),
        ("rounding_probabilities", lambda space, s: s.sum(-1), "rounding_probabilities returned the shape (2, 1)"),
        ("prior_log_concentration", lambda space, o, n: [0.0], "returned [0.0]; expected 3 finite numbers"),
        ("prior_log_concentration", lambda space, o, n: [np.nan] * n, "expected 3 finite numbers"),
        ("sample", raising(ValueError("below 0")), "sample raised ValueError: below 0"),
    ],
)  # fmt: skip
def test_a_faulty_structure_distribution_names_itself(method: str, returned: Any, words: str) -> None:
    guarded = GuardedDistribution(odd(GumbelSoftmax, **{method: staticmethod(returned)}))
    log_s, uniform = normal(2, 1, 3), torch.full((2, 4, 3), 0.3, dtype=torch.float64)
    arguments: dict[str, tuple[Any, ...]] = {
        "sample": ("one", log_s, torch.ones(2, 1, dtype=torch.float64), uniform),
        "log_gamma": ("one", uniform),
        "log_prob": ("one", log_s, torch.ones(2, 1, dtype=torch.float64), uniform),
        "rounding_probabilities": ("one", log_s),
        "prior_log_concentration": ("one", None, 3),
    }
    with pytest.raises(PluginError) as caught:
        getattr(guarded, method)(*arguments[method])
    assert f"structure distribution 'odd' of package {HERE}" in str(caught.value)
    assert words in str(caught.value)


# -- data and options --------------------------------------------------------------------------------------------------

COLUMN = np.zeros((3, 1))


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda *a: [COLUMN, COLUMN], "gave list; expected a structflow.plugins.Table"),
        (lambda *a: None, "gave NoneType"),
        (lambda *a: Table([[0.0]], COLUMN, ("a",), ("b",)), "gave inputs as list and targets as ndarray"),  # type: ignore[arg-type]
        (
            lambda *a: Table(COLUMN, COLUMN[:, 0], ("a",), ("b",)),
            "inputs of shape (3, 1) and targets of shape (3,)",
        ),
        (raising(KeyError("price")), "read raised KeyError: 'price'"),
        (raising(SystemExit(3)), "read raised SystemExit: 3"),
    ],
)
def test_a_faulty_data_source_names_itself(read: Any, words: str) -> None:
    plugin = odd(DataSource, read=staticmethod(read))
    with pytest.raises(PluginError) as caught:
        load_dataset(plugin, DataOptions(), Path(), "continuous")
    assert f"data source 'odd' of package {HERE}" in str(caught.value)
    assert words in str(caught.value)


def test_a_validator_that_raises_what_pydantic_does_not_know_names_the_plugin() -> None:
    class Picky(Options):
        degree: int = 3

        @model_validator(mode="after")
        def _known(self) -> Picky:
            return self if self.degree < 9 else {}[self.degree]

    plugin = odd(Linear, Options=Picky)
    assert validated(plugin, {}, Picky.model_validate).degree == 3
    with pytest.raises(PluginError, match=rf"basis function 'odd' of package {HERE}: .*Options raised KeyError: 12"):
        validated(plugin, {"degree": 12}, Picky.model_validate)
    with pytest.raises(ValueError, match="valid integer"):
        validated(plugin, {"degree": "many"}, Picky.model_validate)


# -- what is no fault of a plugin --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(143), MemoryError(), torch.OutOfMemoryError("2 GiB"), SpecError([])]
)
def test_interrupts_memory_and_deliberate_errors_are_not_blamed_on_a_plugin(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, Calling(Linear, "forward"):
        raise error
    assert caught.value is error
