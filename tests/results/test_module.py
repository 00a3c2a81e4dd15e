"""The network of a structure as a plain torch module."""

from __future__ import annotations

import copy
import io
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import studies
import torch
from handmade import edge, fn, graph, keys_of, make_bound, normal, perturbed, pick, population, rich_graph, structures
from handmade import start as start_of
from torch import Tensor
from torch.nn import functional

from structflow.data.dataset import Dataset
from structflow.errors import CallError
from structflow.evidence.trained import TrainedPopulation
from structflow.results.module import StructureModule, attribute_names, module_of
from structflow.results.prediction import Predictor, TrainedStructure
from structflow.results.run import Run
from structflow.spec.graph import Graph
from structflow.spec.structures import Structure

DOUBLE = torch.float64
NONE = np.zeros(0, dtype=np.int64)


def scaling(inputs: int, targets: int, kind: Any = "continuous") -> Dataset:
    """Original units far from the prepared ones."""
    continuous = kind == "continuous"
    return Dataset(
        np.zeros((0, inputs)), np.zeros((0, targets)), NONE, NONE,
        np.linspace(-40.0, 7.0, inputs), np.linspace(0.1, 9.0, inputs),
        np.full(targets, 300.0) if continuous else np.zeros(targets),
        np.full(targets, 25.0) if continuous else np.ones(targets),
        (), tuple("abcdefgh"[:inputs]), tuple("uvw"[:targets]), kind,
    )  # fmt: skip


def predictor_of(of: Graph, structure: Structure, data: Dataset, **settings: Any) -> Predictor:
    """A structure with random parameters."""
    alone = population(of, [structure])
    bound = make_bound(alone, integrate=False, **settings)
    parameters = perturbed(start_of(bound), scale=0.5)
    trained = TrainedPopulation(bound, bound.of_labels(parameters), keys_of(alone), normal(0, 1), normal(0, 1), 0.5)
    return Predictor(data, 0, (TrainedStructure(structure.as_dict(), 1.0, trained),))


def mean_output(predictor: Predictor, raw: Tensor) -> Tensor:
    """`Network.forward` with mean weights, back in original units."""
    trained, data = predictor.parts[0].trained, predictor.scaling
    means, _ = trained.bound.weights.moments(trained.parameters)
    members = trained.bound.population
    weights = [group.split(mean.unsqueeze(1)) for group, mean in zip(members.layout.groups, means, strict=True)]
    x = torch.from_numpy(data.transform_inputs(raw.numpy()))
    none: list[Any] = [None] * len(members.layout.graph.edges)
    output = members.network.forward(weights, [None] * len(weights), none, x, members.indices.edges).mean[0, 0]
    return output * torch.from_numpy(data.target_scale) + torch.from_numpy(data.target_shift)


RICH = rich_graph()
RAW = normal(6, 3, seed=3) * 5 - 10


@pytest.mark.parametrize("structure", pick(structures(RICH), 24, 0), ids=lambda structure: structure.canonical)
def test_the_module_is_the_network_with_mean_weights(structure: Structure) -> None:
    """Several functions on an edge, none on an edge, shared weights, skip edges, functions without weights."""
    predictor = predictor_of(RICH, structure, scaling(3, 1))
    expected = mean_output(predictor, RAW)
    module = module_of(predictor, DOUBLE)
    torch.testing.assert_close(module(RAW), expected, rtol=0, atol=1e-10)
    assert torch.equal(module(RAW), module(RAW))
    single = module_of(predictor, torch.float32)(RAW.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=1e-4, atol=1e-3)


def test_a_full_covariance_has_the_same_mean_weights() -> None:
    predictor = predictor_of(RICH, structures(RICH)[5], scaling(3, 1), posterior={"weights": {"covariance": "full"}})
    torch.testing.assert_close(module_of(predictor, DOUBLE)(RAW), mean_output(predictor, RAW), rtol=0, atol=1e-10)


def test_what_is_no_tensor_of_the_inputs_is_refused() -> None:
    """A data frame, whose columns may stand in any order, and a shape that would be broadcast; it names the columns."""
    module = module_of(predictor_of(RICH, structures(RICH)[5], scaling(3, 1)), DOUBLE)
    assert module.input_names == ("a", "b", "c")
    frame = pandas.DataFrame(RAW.numpy(), columns=["a", "b", "c"])
    with pytest.raises(
        CallError, match=r"got a DataFrame; expected a torch.Tensor \(rows, 3\), columns .* 'a', 'b', 'c'"
    ):
        module(frame)
    for wrong in (RAW[:, :1], RAW[0], RAW.T):
        with pytest.raises(CallError, match="the module got shape"):
            module(wrong)
    moved = frame[["c", "a", "b"]]
    given = torch.tensor(moved[list(module.input_names)].to_numpy())
    torch.testing.assert_close(module(given), module(RAW), rtol=0, atol=0)


def test_several_targets_have_each_their_units() -> None:
    of = graph({"x": (3,), "y": (2,)}, edge("x", "y", "all", fn("linear"), fn("dense", activation="sin")))
    predictor = predictor_of(of, structures(of)[0], scaling(3, 2))
    torch.testing.assert_close(module_of(predictor, DOUBLE)(RAW), mean_output(predictor, RAW), rtol=0, atol=1e-10)


def test_no_function_at_all_predicts_the_mean() -> None:
    of = graph({"x": (3,), "y": (1,)}, edge("x", "y", "any", fn("linear")))
    empty = next(structure for structure in structures(of) if structure.edges[0][1] == ())
    module = module_of(predictor_of(of, empty, scaling(3, 1)), DOUBLE)
    assert module(RAW).tolist() == [[300.0]] * 6
    assert list(module.parameters()) == []


def test_parameters_are_named_by_edge_function_and_weight() -> None:
    structure = next(
        each for each in structures(RICH)
        if dict(each.edges)["x->h"] == ("dense:tanh",) and dict(each.edges)["h->k"] == ("dense:tanh", "elementwise:sin")
        and dict(each.edges)["k->y"] == ("linear",) and dict(each.edges)["h->y"] == ("bend",)
    )  # fmt: skip
    module = module_of(predictor_of(RICH, structure, scaling(3, 1)), DOUBLE)
    assert {name for name, _ in module.named_parameters()} == {
        *(f"weights.shared.W.{weight}" for weight in ("weight", "bias")),
        *(f"weights.x_to_k.dense_relu_0_2.{weight}" for weight in ("weight", "bias")),
        *(f"weights.k_to_y.linear.{weight}" for weight in ("weight", "bias")),
        *(f"weights.h_to_y.bend.{weight}" for weight in ("weight", "bias")),
        *(f"weights.h_to_k.dense_tanh.{weight}" for weight in ("weight", "bias")),
        "weights.x_to_k.constant.bias",
    }
    assert "x->h: dense:tanh" in repr(module)


def test_shared_weights_are_one_parameter() -> None:
    """Used twice, they are held once and their gradient adds up."""
    of = graph(
        {"x": (2,), "h": (2,), "y": (1,)},
        edge("x", "h", "all", fn("dense", share="W")),
        edge("h", "y", "all", fn("linear")),
        edge("x", "y", "all", fn("linear", name="skip")),
    )
    twice = graph(
        {"x": (2,), "h": (2,), "k": (2,), "y": (1,)},
        edge("x", "h", "all", fn("dense", share="W")),
        edge("h", "k", "all", fn("dense", share="W", activation="relu")),
        edge("k", "y", "all", fn("linear")),
    )
    for each, expected in ((of, 2 * 2 + 2 + 3 + 3), (twice, 2 * 2 + 2 + 3)):
        predictor = predictor_of(each, structures(each)[0], scaling(2, 1))
        module = module_of(predictor, DOUBLE)
        assert sum(parameter.numel() for parameter in module.parameters()) == expected
        raw = RAW[:, :2]
        torch.testing.assert_close(module(raw), mean_output(predictor, raw), rtol=0, atol=1e-10)


def test_names_that_torch_refuses_are_changed() -> None:
    of = graph(
        {"x": (2,), "a.b": (2,), "values": (2,), "y": (1,)},
        edge("x", "a.b", "all", fn("dense", name="items"), fn("dense", name="1.5 x"), fn("dense", name="1_5_x")),
        edge("a.b", "values", "all", fn("dense", name="é")),
        edge("values", "y", "all", fn("linear", name="type")),
    )
    predictor = predictor_of(of, structures(of)[0], scaling(2, 1))
    module = module_of(predictor, DOUBLE)
    raw = RAW[:, :2]
    torch.testing.assert_close(module(raw), mean_output(predictor, raw), rtol=0, atol=1e-10)
    assert {name.rpartition(".")[0] for name, _ in module.named_parameters()} == {
        "weights.x_to_a_b.items_",
        "weights.x_to_a_b.1_5_x",
        "weights.x_to_a_b.1_5_x_",
        "weights.a_b_to_values.unnamed",
        "weights.values_to_y.type_",
    }
    module.load_state_dict(copy.deepcopy(module).state_dict())


def test_attribute_names_are_distinct() -> None:
    names = attribute_names(["a:b", "a-b", "a b", "shared"], torch.nn.ModuleDict, taken=["shared"])
    assert names == {"a:b": "a_b", "a-b": "a_b_", "a b": "a_b__", "shared": "shared_"}


EXAMPLE = predictor_of(RICH, structures(RICH)[7], scaling(3, 1))


def exported(module: StructureModule) -> Callable[[Tensor], Tensor]:
    rows = torch.export.Dim("rows")
    program = torch.export.export(module, (RAW[:4],), dynamic_shapes=({0: rows},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    loaded: Callable[[Tensor], Tensor] = torch.export.load(buffer).module()
    return loaded


def stored(module: StructureModule) -> Callable[[Tensor], Tensor]:
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    loaded: Callable[[Tensor], Tensor] = torch.load(buffer, weights_only=False)
    return loaded


def reloaded(module: StructureModule) -> Callable[[Tensor], Tensor]:
    """Its state in a module that started elsewhere."""
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    other = module_of(EXAMPLE, DOUBLE)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    return other


@pytest.mark.parametrize("through", [exported, stored, reloaded, copy.deepcopy])
def test_the_module_travels(through: Callable[[StructureModule], Callable[[Tensor], Tensor]]) -> None:
    module = module_of(EXAMPLE, DOUBLE)
    torch.testing.assert_close(through(module)(RAW), module(RAW), rtol=0, atol=1e-12)


@pytest.mark.parametrize("noise", ["learned", 0.5])
def test_a_fixed_noise_can_be_exported_too(noise: Any) -> None:
    of = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("linear")))
    module = module_of(predictor_of(of, structures(of)[0], scaling(3, 1), likelihood_options={"noise": noise}), DOUBLE)
    torch.testing.assert_close(exported(module)(RAW), module(RAW), rtol=0, atol=1e-12)


def test_inputs_of_other_dtypes_are_converted() -> None:
    module = module_of(EXAMPLE, torch.float32)
    assert module(RAW).dtype == module(torch.ones(2, 3, dtype=torch.int64)).dtype == torch.float32


def test_training_goes_on_with_a_plain_loop() -> None:
    """Gradients reach every parameter; buffers stay; the loss falls."""
    module = module_of(EXAMPLE, DOUBLE)
    target = 300 + 25 * RAW[:, :1].sin()
    buffers = {name: value.clone() for name, value in module.named_buffers()}
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = functional.mse_loss(module(RAW), target)
        loss.backward()
        losses.append(loss.item())
        assert all(parameter.grad is not None for parameter in module.parameters())
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
    assert all(torch.equal(value, buffers[name]) for name, value in module.named_buffers())


@pytest.mark.parametrize(
    ("likelihood", "kind", "width"),
    [("categorical", "classes", 3), ("bernoulli", "binary", 1), ("poisson", "counts", 1)],
)
def test_other_targets_get_the_value_of_the_output_node(likelihood: str, kind: Any, width: int) -> None:
    """Logits, or the log rate: what the losses of torch take."""
    of = graph({"x": (3,), "y": (width,)}, edge("x", "y", "all", fn("dense")))
    data = scaling(3, 1, kind)
    predictor = predictor_of(of, structures(of)[0], data, likelihood=likelihood)
    torch.testing.assert_close(module_of(predictor, DOUBLE)(RAW), mean_output(predictor, RAW), rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return studies.run(studies.wide(), tmp_path_factory.mktemp("runs") / "wide")


def test_the_module_of_a_run_needs_it_no_more(run: Run, tmp_path: Path) -> None:
    x = torch.randn(9, 2, dtype=DOUBLE)
    for rank in (1, len(run.ranking)):
        expected = run.ranked(rank).module(DOUBLE)(x)
        moved = Run(Path(shutil.copytree(run.path, tmp_path / str(rank))))
        module = moved.ranked(rank).module(DOUBLE)
        shutil.rmtree(moved.path)
        assert torch.equal(module(x), expected)
        torch.testing.assert_close(expected, mean_output(run.ranked(rank).predictor, x), rtol=0, atol=1e-10)
    assert run.best.module().weights.training
    assert next(run.best.module().parameters()).dtype == torch.float32


def test_the_module_is_near_the_prediction_where_weights_are_certain(tmp_path: Path) -> None:
    """A linear model: the prediction's mean is the mean network, up to the error of its samples."""
    linear = {"edges": [{"from": "x", "to": "y", "basis": ["linear"]}]}
    run = studies.run(studies.spec(model=linear), tmp_path / "linear")
    x = np.random.default_rng(1).normal(size=(5, 2))
    found = run.best.predict(x, samples=4096)
    mean = run.best.module(DOUBLE)(torch.from_numpy(x)).detach().numpy()
    assert (abs(found.mean - mean) < 5 * found.standard_deviation / math.sqrt(4096)).all()
