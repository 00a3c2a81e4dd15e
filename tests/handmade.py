"""Graphs, populations and bounds built by hand, and the slow, obvious computation they are checked against."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from structflow.model.population import Population, build_population
from structflow.objective.bound import Bound, Distributions, Noise
from structflow.objective.divergence import AgainstSet
from structflow.objective.noise import member_keys, noise_source
from structflow.objective.structure import NOTHING
from structflow.plugins import Candidate
from structflow.plugins.registry import registry
from structflow.spec.graph import Graph, GraphEdge, GraphFunction
from structflow.spec.models import Posterior, Prior
from structflow.spec.structures import Structure
from structflow.train.conditioning import Coordinates
from structflow.train.entries import entries_of
from structflow.train.flat import FlatLayout
from structflow.train.linear_fits import end_at_posterior, start_at_posterior
from structflow.train.linear_structures import Level
from structflow.train.metaparameters import MetaparameterTables
from structflow.train.open_stage import OpenStage
from structflow.train.stage_inputs import Execution, Minibatching, StageInputs, StageSetup, TrainingData
from structflow.train.step import Objectives

DOUBLE = torch.float64
STAGES = itertools.count()


def fn(type_name: str, **options: Any) -> GraphFunction:
    """A candidate, named as the spec would name it."""
    registration = registry().of_kind("basis_functions")[type_name]
    values = registration.options(**options)
    return GraphFunction(values.name or registration.plugin.label(values), registration.plugin, values)


def edge(source: str, target: str, space: str, *functions: GraphFunction, smallest: int = 0) -> GraphEdge:
    return GraphEdge(source, target, space, smallest, functions)


def graph(shapes: Mapping[str, tuple[int, ...]], *edges: GraphEdge) -> Graph:
    """Nodes in the order of `shapes`, which is topological, with one shape each."""
    return Graph(tuple(shapes), {node: (shape,) for node, shape in shapes.items()}, edges)


def structures(of: Graph) -> list[Structure]:
    """Every combination of choices, also those that are equal: the last edge fastest."""
    space = of.structure_space()
    keys = [each.key for each in space.edges]
    return [
        Structure(tuple(zip(keys, chosen, strict=True)), shapes)
        for shapes in space.shape_assignments()
        for chosen in itertools.product(*(list(each.vertices()) for each in space.edges))
    ]


def population(
    of: Graph, members: Sequence[Structure | None], restarts: Sequence[int] | None = None, **settings: Any
) -> Population:
    numbers = restarts if restarts is not None else [0] * len(members)
    candidates = [Candidate(member, number) for member, number in zip(members, numbers, strict=True)]
    return build_population(of, of.node_shapes(), candidates, **settings)


def make_bound(
    members: Population,
    likelihood: str = "gaussian",
    likelihood_options: Mapping[str, Any] | None = None,
    prior: Mapping[str, Any] | None = None,
    posterior: Mapping[str, Any] | None = None,
    target_scale: Sequence[float] | None = None,
    integrate: bool = True,
    against: AgainstSet = NOTHING,
    fold_scales: Mapping[int, float] | None = None,
) -> Bound:
    """With `fold_scales` members have rows of their own, in the units of their folds."""
    registration = registry().of_kind("likelihoods")[likelihood]
    width = members.layout.node_shapes["y"][0]
    scale = np.ones(width) if target_scale is None else np.asarray(target_scale)
    options = registration.options(**(likelihood_options or {}))
    of_folds = None
    if fold_scales is not None:
        of_folds = {fold: registration.plugin(options, scale * value) for fold, value in fold_scales.items()}
    distributions = Distributions(
        registration.plugin(options, scale),
        registry().get("structure_distributions", "gumbel_softmax"),
        Prior.model_validate(prior or {}),
        Posterior.model_validate(posterior or {}),
        start_temperature=0.5,
    )
    return Bound(members, distributions, integrate, against, of_folds)


def keys_of(members: Population, seed: int = 0) -> np.ndarray:
    """Keys that depend on nothing but the structure and the restart, as in a run."""
    names = [member.structure.canonical if member.structure else "relaxed" for member in members.members]
    return member_keys([f"{seed}/{name}/{m.restart}" for name, m in zip(names, members.members, strict=True)])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def perturbed(parameters: Mapping[str, Tensor], seed: int = 0, scale: float = 0.3) -> dict[str, Tensor]:
    """Parameters away from any special point, different for every member."""
    return {
        name: value + scale * normal(*value.shape, seed=seed + number)
        for number, (name, value) in enumerate(parameters.items())
    }


def start(bound: Bound, seed: int = 0) -> dict[str, Tensor]:
    """What members start with, by label."""
    return bound.labelled(bound.start(keys_of(bound.population, seed)))


def best_start(bound: Bound, parameters: Mapping[str, Tensor], level: Level) -> dict[str, Tensor]:
    """`start_at_posterior`, by label."""
    return bound.labelled(start_at_posterior(bound, bound.of_labels(parameters), level))


def best_end(
    bound: Bound, started: Mapping[str, Tensor], trained: Mapping[str, Tensor], level: Level, moved: bool
) -> tuple[dict[str, Tensor], Tensor]:
    """`end_at_posterior`, by label."""
    ended, left = end_at_posterior(bound, bound.of_labels(started), bound.of_labels(trained), level, moved)
    return bound.labelled(ended), left


def by_weight(members: Population, parameters: Mapping[str, Tensor], kind: str, group: str) -> dict[str, Tensor]:
    """One of q's parameters of a weight group, such as its `mean`, as tensors (C, *shape) by the names of weights."""
    found = next(each for each in members.layout.groups if each.name == group)
    return found.split(parameters[f"{kind}/{group}"])


def noise_of(bound: Bound, keys: np.ndarray, samples: int, step: int = 0, phase: str = "train") -> Noise:
    steps = torch.tensor([step])
    return Noise(
        noise_source(bound.normals, keys, phase).normals(steps, samples, DOUBLE, False)[0],
        noise_source(bound.uniforms, keys, phase).uniforms(steps, samples, DOUBLE, False)[0],
    )


def stage_by_hand(
    bound: Bound,
    parameters: Mapping[str, Tensor],
    data: TrainingData,
    tables: MetaparameterTables,
    samples: int,
    batch_size: int | None = None,
) -> OpenStage:
    """A stage in plain coordinates and float64, its programs shared with no other stage."""
    tree = bound.of_labels(parameters)
    layout = FlatLayout.of(bound.described, tree)
    start, entries = layout.pack(tree), entries_of(bound, layout, DOUBLE)
    batching, execution = Minibatching(batch_size, 0, "stage"), Execution(start.device, DOUBLE, False)
    setup = StageSetup(keys_of(bound.population), data, tables, samples, batching, execution)
    objectives = Objectives(bound, layout, Coordinates(bound, {}))
    entries = entries._replace(of_structure=torch.zeros_like(entries.of_h))
    return OpenStage(start, entries, objectives, StageInputs.of(bound, setup, {}), ("by hand", next(STAGES)))


def slow_output(
    of: Graph,
    shapes: Mapping[str, tuple[int, ...]],
    chosen: Mapping[str, Sequence[str]],
    weights: Callable[[GraphEdge, GraphFunction], dict[str, Tensor]],
    gamma: Mapping[str, Tensor],
    x: Tensor,
    scale_by_structure: bool = False,
) -> Tensor:
    """f_j = Σ_k Σ_l γ_l g_l(f_k; w_l), or g_l(f_k; γ_l w_l), for one member and one sample, node by node."""
    values = {"x": x}
    for node in of.nodes[1:]:
        total = torch.zeros(len(x), *shapes[node], dtype=x.dtype)
        for link in of.edges:
            if link.target != node:
                continue
            for number, function in enumerate(link.functions):
                if function.name not in chosen[link.key]:
                    continue
                g = function.plugin(function.options, shapes[link.source], shapes[link.target])
                weight = gamma[link.key][number] if link.key in gamma else torch.ones((), dtype=x.dtype)
                own = weights(link, function)
                if scale_by_structure:
                    own = {name: weight * value for name, value in own.items()}
                total = total + weight * g.forward(own, values[link.source])
        values[node] = total
    return values["y"]


def chosen_by(of: Graph, structure: Structure | None) -> dict[str, tuple[str, ...]]:
    """Names on every edge; all of them for a relaxed member."""
    if structure is None:
        return {link.key: tuple(function.name for function in link.functions) for link in of.edges}
    return dict(structure.edges)


def group_name(link: GraphEdge, function: GraphFunction) -> str:
    return f"share/{function.share}" if function.share else f"{link.key}/{function.name}"


@dataclass
class MemberWeights:
    """The weights of one member and sample, looked up in per-slot tensors (C, S or 1, *shape) a group."""

    members: Population
    weights: Sequence[Mapping[str, Tensor]]
    member: int
    sample: int

    def __call__(self, link: GraphEdge, function: GraphFunction) -> dict[str, Tensor]:
        for group, index, values in zip(self.members.layout.groups, self.members.groups, self.weights, strict=True):
            if group.name == group_name(link, function):
                slot = int(index.positions[self.member])
                return {name: value[slot, self.sample % value.shape[1]] for name, value in values.items()}
        return {}


def rich_graph() -> Graph:
    """Two hidden nodes, skip edges, one/any/all, weightless functions, shared weights on one edge and across two."""
    return graph(
        {"x": (3,), "h": (2,), "k": (2,), "y": (1,)},
        edge("x", "h", "one", fn("dense", share="W"), fn("dense", activation="sigmoid", share="W"), fn("linear")),
        edge("h", "k", "any", fn("dense", share="V"), fn("identity"), fn("elementwise", function="sin")),
        edge("x", "k", "all", fn("dense", activation="relu", rows=[0, 2]), fn("constant")),
        edge("k", "y", "one", fn("linear"), fn("polynomial", degree=2), fn("dense", activation="softplus")),
        edge("h", "y", "any", fn("linear", name="skip"), fn("dense", name="bend"), smallest=0),
    )


def pick(items: Sequence[Any], count: int, seed: int) -> list[Any]:
    """A random selection in random order."""
    order = np.random.default_rng(seed).permutation(len(items))[:count]
    return [items[number] for number in order]
