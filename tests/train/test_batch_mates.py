"""A member's result doesn't depend on the members beside it, nor on how the batch is laid out or run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from handmade import (
    by_weight,
    edge,
    fn,
    graph,
    keys_of,
    make_bound,
    normal,
    pick,
    population,
    rich_graph,
    start,
    structures,
)

from structflow.model.population import Population
from structflow.spec.models import Spec
from structflow.train.metaparameters import MetaparameterTables, metaparameter_tables
from structflow.train.stage_inputs import Execution, Minibatching, StageSetup, TrainingData
from structflow.train.trainer import TrainingResult, train

CPU = torch.device("cpu")
ROWS = 20
X, Y = normal(ROWS, 3, seed=1), normal(ROWS, 1, seed=2)
STEPS = 30


def tables(dtype: torch.dtype, lr: float) -> MetaparameterTables:
    spec = Spec.model_validate(
        {
            "data": {"source": "sklearn", "name": "diabetes"},
            "model": {"edges": [{"from": "x", "to": "y", "basis": ["linear"]}]},
            "optimizer": {"inner": {"steps": STEPS, "lr": lr}},
        }
    )
    return metaparameter_tables(spec, 0, 1, dtype, CPU)


def run(
    members: Population,
    dtype: torch.dtype = torch.float64,
    compiled: bool = False,
    samples: int = 2,
    batch_size: int | None = None,
    changed=None,
    lr: float = 0.03,
    y: torch.Tensor = Y,
    **settings,
) -> TrainingResult:
    """The result, its parameters by label."""
    bound = make_bound(members, **settings)
    parameters = start(bound)
    if changed is not None:
        changed(bound, parameters)
    data = TrainingData(X.to(dtype), y.to(dtype))
    execution = Execution(CPU, dtype, compiled)
    batching = Minibatching(batch_size, 0, "stage")
    setup = StageSetup(keys_of(members), data, tables(dtype, lr), samples, batching, execution)
    result = train(bound, bound.of_labels(parameters), setup)
    return replace(result, parameters=bound.labelled(result.parameters))


def of_member(members: Population, result: TrainingResult, member: int) -> dict[str, np.ndarray]:
    """All that training leaves of one member: its own parameters and its trajectory."""
    own = {f"trace/{name}": values[:, member] for name, values in result.trajectory.terms.items()}
    groups = {group.name: index for group, index in zip(members.layout.groups, members.groups, strict=True)}
    for name, value in result.parameters.items():
        owner = next((group for group in groups if f"/{group}/" in f"{name}/"), None)
        if owner is None:
            own[name] = value[member].numpy()
            continue
        slot = int(groups[owner].positions[member])
        if slot < len(groups[owner].slots):
            own[name] = value[slot].numpy()
    return own


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], tolerance: float) -> None:
    assert set(one) == set(other)
    for name, value in one.items():
        np.testing.assert_allclose(other[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.fixture(scope="module")
def chosen():
    return pick(structures(rich_graph()), 64, 5)


@pytest.fixture(scope="module")
def batch(chosen):
    members = population(rich_graph(), chosen)
    return members, run(members)


@pytest.mark.parametrize("member", [0, 17, 40, 63])
def test_alone(chosen, batch, member):
    alone = population(rich_graph(), [chosen[member]])
    assert_same(of_member(*batch, member), of_member(alone, run(alone), 0), 1e-9)


def test_other_batch_mates_order_and_spare_slots(chosen, batch):
    """Members 40 … 63 backwards, 16 strangers before them, and room for 45 in every function."""
    of = rich_graph()
    strangers = [structure for structure in structures(of) if structure not in chosen][:16]
    others = [*strangers, *chosen[:39:-1]]
    members = population(of, others, capacities=[[45] * len(link.functions) for link in of.edges])
    result = run(members)
    for member in (40, 51, 63):
        place = others.index(chosen[member])
        assert_same(of_member(*batch, member), of_member(members, result, place), 1e-9)


def test_a_grid_of_views_gives_what_index_tensors_give(chosen, batch):
    of = rich_graph()
    members = population(of, structures(of))
    assert type(members.network.routings[1]).__name__ == "GridAny"
    result = run(members)
    for member in (3, 30):
        place = structures(of).index(chosen[member])
        assert_same(of_member(*batch, member), of_member(members, result, place), 1e-9)


@pytest.mark.parametrize("precision", [pytest.param("per_function", marks=pytest.mark.thorough), "per_parameter"])
def test_other_precisions_and_minibatches(chosen, precision):
    of, settings = rich_graph(), {"prior": {"weights": {"precision": precision}}, "batch_size": 6}
    together, alone = population(of, chosen[:8]), population(of, [chosen[3]])
    first, second = run(together, **settings), run(alone, **settings)
    assert_same(of_member(together, first, 3), of_member(alone, second, 0), 1e-9)


def test_relaxed_members():
    """Restart 2 beside others, and alone: q(Γ), its temperature and the learned prior too."""
    of, settings = rich_graph(), {"prior": {"structure": {"learned": True}}}
    together, alone = population(of, [None] * 4, [0, 1, 2, 3]), population(of, [None], [2])
    one, other = run(together, **settings), run(alone, **settings)
    assert "structure_temperature" in one.parameters
    assert_same(of_member(together, one, 2), of_member(alone, other, 0), 1e-9)


def test_full_covariance():
    of = rich_graph()
    settings = {"posterior": {"weights": {"covariance": "full"}}}
    structure = structures(of)[77]
    together, alone = population(of, [structure] * 3, [0, 1, 2]), population(of, [structure], [1])
    one, other = run(together, **settings), run(alone, **settings)
    assert_same(of_member(together, one, 1), of_member(alone, other, 0), 1e-9)


@pytest.mark.thorough
def test_single_precision(chosen):
    """Rounding differs between layouts, and 30 steps of Adam keep it below 1e-4."""
    of = rich_graph()
    together, alone = population(of, chosen), population(of, [chosen[17]])
    one, other = run(together, torch.float32), run(alone, torch.float32)
    assert_same(of_member(together, one, 17), of_member(alone, other, 0), 1e-4)


def small_graph():
    return graph(
        {"x": (3,), "h": (2,), "y": (1,)},
        edge("x", "h", "one", fn("dense"), fn("dense", activation="relu")),
        edge("h", "y", "any", fn("linear"), fn("dense")),
    )


@pytest.mark.thorough
def test_compiled_equals_eager():
    """A batch with a spare slot; the same program then serves another batch of the same signature."""
    of = graph({"x": (3,), "y": (1,)}, edge("x", "y", "one", fn("dense"), fn("dense", activation="relu")))
    tanh, relu = structures(of)
    for chosen in ([tanh, relu, tanh], [relu, relu, tanh]):
        members = population(of, chosen, [0, 1, 2], capacities=[[2, 2]])
        eager, compiled = (run(members, compiled=flag) for flag in (False, True))
        for name, value in eager.parameters.items():
            torch.testing.assert_close(compiled.parameters[name], value, rtol=1e-9, atol=1e-9)
        assert_same(of_member(members, eager, 0), of_member(members, compiled, 0), 1e-9)


def poison(place: int, value: float):
    def changed(bound, parameters):
        parameters["likelihood/log_noise"][place] = value

    return changed


@pytest.mark.parametrize(
    ("value", "spare"),
    [
        (float("nan"), True),
        (-1e30, False),
        *(
            pytest.param(*each, marks=pytest.mark.thorough)
            for each in ((float("nan"), False), (-1e30, True), (float("inf"), False), (float("inf"), True))
        ),
    ],
)
def test_a_diverged_member_leaves_the_others_alone(chosen, value, spare):
    """Member 2 starts from a noise level that makes its bound not finite: it diverged at step 0, the others never."""
    of, few = rich_graph(), chosen[:6]
    capacities = [[8] * len(link.functions) for link in of.edges] if spare else None
    members = population(of, few, capacities=capacities)
    healthy, sick = run(members), run(members, changed=poison(2, value))
    assert healthy.diverged_at.tolist() == [-1] * 6
    assert sick.diverged_at.tolist() == [-1, -1, 0, -1, -1, -1]
    for member in (0, 1, 3, 4, 5):
        one, other = of_member(members, healthy, member), of_member(members, sick, member)
        assert all(np.array_equal(value, other[name]) for name, value in one.items())


def test_the_step_of_divergence_is_kept():
    """Single precision, log σ falling by about 1 a step from −40: σ⁻² = e^80 passes the largest number, e^88.7, later.

    f = 0 and y = 0, so the bound has no reason to stop it; member 0 starts at log σ = 0 and is fine for 8 steps.
    """
    of = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("constant")))
    members = population(of, structures(of) * 2, [0, 1])

    def changed(bound, parameters):
        for name in parameters:
            if name.startswith("log_sd"):
                parameters[name][1] = -60.0
        parameters["likelihood/log_noise"][1] = -40.0

    result = run(members, torch.float32, changed=changed, y=torch.zeros(ROWS, 1), lr=1.0)
    bound = sum(sign * result.trajectory.terms[n] for sign, n in ((1, "log_likelihood"), (-1, "kl_weights")))
    first = int(np.flatnonzero(~np.isfinite(bound[:, 1]))[0])
    assert 0 < first < STEPS
    assert result.diverged_at.tolist() == [-1, first]


def test_function_nobody_uses_that_overflows_touches_no_member():
    """Spare slots of `exp` repeat member 0, whose hidden values near 1e3 would overflow there: e^1000 = ∞."""
    of = graph(
        {"x": (3,), "h": (2,), "y": (2,)},
        edge("x", "h", "all", fn("linear")),
        edge("h", "y", "one", fn("identity"), fn("elementwise", function="exp")),
        edge("x", "y", "all", fn("linear")),
    )
    identity = structures(of)[0]

    def changed(bound, parameters):
        by_weight(bound.population, parameters, "mean", "x->h/linear")["weight"].mul_(1e3)

    tight = population(of, [identity] * 2, [0, 1])
    roomy = population(of, [identity] * 2, [0, 1], capacities=[[2], [2, 2], [2]])
    one, other = (run(members, changed=changed, y=normal(ROWS, 2, seed=2)) for members in (tight, roomy))
    assert other.diverged_at.tolist() == [-1, -1]
    for member in range(2):
        assert_same(of_member(tight, one, member), of_member(roomy, other, member), 1e-9)


def test_the_first_batch_of_a_program_trains_as_many_steps_as_the_next():
    """Tracing runs the step once: on copies, or the first batch would be one step ahead."""
    of = small_graph()
    members = population(of, structures(of)[:2])
    settings = {"likelihood_options": {"noise": 0.123}}  # a signature of its own
    first, second = run(members, **settings), run(members, **settings)
    for name, value in first.parameters.items():
        assert torch.equal(value, second.parameters[name]), name
