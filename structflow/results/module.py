"""The network of one structure as a plain torch module, for use without structflow's machinery."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ..data.nearest import listing
from ..errors import CallError
from ..model.population import Population
from ..plugins import BasisFunction, Likelihood, Shape
from ..spec.graph import INPUT, OUTPUT
from .prediction import Predictor


@dataclass(frozen=True)
class Step:
    """One function on its way: `weights` says where its weights are, None where it has none."""

    source: str
    target: str
    name: str
    function: BasisFunction
    weights: tuple[str, str] | None


class StructureModule(nn.Module):
    """x ↦ f(x): inputs (rows, *input_shape) in original units to predictions (rows, *output_shape).

    - Continuous targets: the mean of y in original units.
    - Classes and two labels: logits, for `cross_entropy` and `binary_cross_entropy_with_logits`.
    - Counts: the log rate, for `poisson_nll_loss`.

    Columns are in the order of `input_names`; a data frame `frame` is given as
    `torch.tensor(frame[list(module.input_names)].to_numpy())`. Values aren't checked: NaN gives NaN.

    Weights are ordinary parameters, `weights.<edge>.<function>.<weight>` or, of functions that share them,
    `weights.shared.<name>.<weight>`; what standardises inputs and targets are buffers. Nothing in it is random.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        node_shapes: Mapping[str, Shape],
        likelihood: Likelihood,
        input_names: Sequence[str],
    ) -> None:
        super().__init__()
        self.input_names = tuple(input_names)
        self.steps = tuple(steps)
        self.nodes = dict(node_shapes)
        self.likelihood = likelihood
        self.weights = nn.ModuleDict()
        self.weight_names: dict[tuple[str, str], dict[str, str]] = {}
        self.likelihood_names: dict[str, str] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Predict inputs (rows, *input_shape) of any numeric dtype.

        Raises `CallError` for anything but a tensor, such as a data frame, and for another shape.
        """
        shift, scale = cast(Tensor, self.input_shift), cast(Tensor, self.input_scale)
        self._check(x, shift)
        standardized = (x.to(shift.dtype) - shift) / scale
        values = {INPUT: standardized.reshape(x.shape[0], *self.nodes[INPUT])}
        for node, shape in self.nodes.items():
            if node == INPUT:
                continue
            total: Tensor | None = None
            for step in self.steps:
                if step.target == node:
                    value = step.function.forward(self._weights_of(step), values[step.source])
                    total = value if total is None else total + value
            values[node] = values[INPUT].new_zeros((x.shape[0], *shape)) if total is None else total
        if self.likelihood.target != "continuous":
            return values[OUTPUT]
        own = {name: cast(Tensor, getattr(self, buffer)) for name, buffer in self.likelihood_names.items()}
        mean, _ = self.likelihood.moments(own, values[OUTPUT])
        return mean * cast(Tensor, self.target_scale) + cast(Tensor, self.target_shift)

    def _check(self, x: object, shift: Tensor) -> None:
        """Raise `CallError` unless x is a tensor whose rows have the shape of the training inputs."""
        if isinstance(x, Tensor) and x.shape[1:] == shift.shape and x.ndim > 0:
            return
        got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        columns = (
            f", columns in the order of module.input_names: {listing(self.input_names)}" if shift.ndim == 1 else ""
        )
        expected = ", ".join(["rows", *map(str, shift.shape)])
        raise CallError(f"the module got {got}; expected a torch.Tensor ({expected}){columns}")

    def _weights_of(self, step: Step) -> dict[str, Tensor]:
        """The weights of a function by the names that it knows them by."""
        if step.weights is None:
            return {}
        place, name = step.weights
        held = cast(nn.ParameterDict, cast(nn.ModuleDict, self.weights[place])[name])
        return {weight: held[attribute] for weight, attribute in self.weight_names[step.weights].items()}

    def extra_repr(self) -> str:
        """The functions of every edge, for `print`."""
        return "\n".join(f"{step.source}->{step.target}: {step.name}" for step in self.steps)


def module_of(predictor: Predictor, dtype: torch.dtype) -> StructureModule:
    """The module of a predictor with one structure, its weights at their posterior means."""
    (part,) = predictor.parts
    trained, scaling = part.trained, predictor.scaling
    population, likelihood = trained.bound.population, trained.bound.likelihood.plugin
    steps, places = steps_of(population)
    module = StructureModule(steps, ordered_shapes(population), likelihood, scaling.input_names)
    means, _ = trained.bound.weights.moments(trained.parameters)
    for place, groups in places.items():
        inner = module.weights[place] = nn.ModuleDict()
        for name, number in groups.items():
            weights = population.layout.groups[number].split(means[number][0].cpu())
            attributes = attribute_names(weights, nn.ParameterDict)
            held = {attributes[weight]: nn.Parameter(value.clone()) for weight, value in weights.items()}
            inner[name] = nn.ParameterDict(held)
            module.weight_names[place, name] = attributes
    for name in ("input_shift", "input_scale", "target_shift", "target_scale"):
        module.register_buffer(name, torch.from_numpy(getattr(scaling, name).copy()))
    for name, value in trained.parameters.theta.likelihood.items():
        (attribute,) = attribute_names([f"likelihood_{name}"], StructureModule).values()
        module.register_buffer(attribute, value[0].cpu().clone())
        module.likelihood_names[name] = attribute
    return module.to(dtype)


def ordered_shapes(population: Population) -> dict[str, Shape]:
    """Shapes of the nodes, in an order in which every edge leads forward."""
    return {node: population.layout.node_shapes[node] for node in population.layout.graph.nodes}


def steps_of(population: Population) -> tuple[list[Step], dict[str, dict[str, int]]]:
    """The functions in the order of the spec, and for every place (edge or `shared`) its weight groups by name."""
    layout = population.layout
    keys = attribute_names([edge.key for edge in layout.graph.edges], nn.ModuleDict, taken=["shared"])
    places: dict[str, dict[str, int]] = {}
    steps: list[Step] = []
    shared = attribute_names([group.name for group in layout.groups if group.tied], nn.ModuleDict)
    for edge, blocks in zip(layout.graph.edges, layout.blocks, strict=True):
        names = attribute_names([block.name for block in blocks], nn.ModuleDict)
        for block in blocks:
            where: tuple[str, str] | None = None
            if block.group is not None:
                group = layout.groups[block.group]
                where = ("shared", shared[group.name]) if group.tied else (keys[edge.key], names[block.name])
                places.setdefault(where[0], {})[where[1]] = block.group
            steps.append(Step(edge.source, edge.target, block.name, block.function, where))
    return steps, places


def attribute_names(names: Iterable[str], owner: type[nn.Module], taken: Iterable[str] = ()) -> dict[str, str]:
    """Names that torch takes for attributes of `owner`: `x->h` becomes `x_to_h`, `dense:tanh` `dense_tanh`."""
    found: dict[str, str] = {}
    used = {*dir(owner), "training", *taken}
    for name in names:
        plain = name.removeprefix("share/").replace("->", "_to_")
        attribute = re.sub(r"\W+", "_", plain, flags=re.ASCII).strip("_") or "unnamed"
        while attribute in used:
            attribute += "_"
        used.add(attribute)
        found[name] = attribute
    return found
