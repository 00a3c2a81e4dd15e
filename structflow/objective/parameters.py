"""The parameters of a population as a tree, and what each of them is, as another one of the same shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

Leaf = TypeVar("Leaf")
Other = TypeVar("Other")


class Theta(NamedTuple, Generic[Leaf]):
    """What the inner level raises.

    `weights` are the parameters of each factor of q(w) by the names of its family, (C, …); `structure` is log s of q(Γ)
    by the key of the edge, (M, K); `log_temperature` has one (M,) where it is learned; `likelihood` are those of the
    likelihood by its own names, (M, …).
    """

    weights: tuple[dict[str, Leaf], ...]
    structure: dict[str, Leaf]
    log_temperature: tuple[Leaf, ...]
    likelihood: dict[str, Leaf]


class Hyper(NamedTuple, Generic[Leaf]):
    """Hyperparameters, where they are learned: log A of each owner (see `WeightsPrior`), log s of p(Γ) by edge."""

    log_precision: tuple[dict[str, Leaf], ...]
    structure: dict[str, Leaf]


class Tree(NamedTuple, Generic[Leaf]):
    """θ, h and, where weights are removed, what is `kept` of each weight group, (C, size): constants."""

    theta: Theta[Leaf]
    hyper: Hyper[Leaf]
    kept: tuple[Leaf, ...] = ()

    def map(self, function: Callable[[Leaf], Other]) -> Tree[Other]:
        """The tree of what a function gives for each leaf."""
        found: Tree[Other] = tree_map(function, self)
        return found


Parameters = Tree[Tensor]

Named = dict[str, Tensor]
"""Parameters of one distribution by its own names."""


class Role(Enum):
    """The part of the objective that a parameter belongs to."""

    WEIGHTS = "q(w)"
    MASK = "which weights are kept"
    PRECISION = "p(w | h)"
    STRUCTURE = "q(Γ)"
    STRUCTURE_TEMPERATURE = "the temperature of q(Γ)"
    STRUCTURE_PRIOR = "p(Γ | h)"
    LIKELIHOOD = "p(y | f)"


@dataclass(frozen=True)
class Parameter:
    """One parameter: its first axis runs over the slots of the weight group numbered `group`, or over members.

    `label` is what it is stored and shown under. `edge` is the number of the edge whose open functions its second axis
    runs over.
    """

    label: str
    role: Role
    group: int | None = None
    edge: int | None = None


def by_label(described: Tree[Parameter], values: Tree[Leaf]) -> dict[str, Leaf]:
    """The leaves of a tree by their labels."""
    parts, tree = tree_flatten(described if values.kept else described._replace(kept=()))
    return {part.label: value for part, value in zip(parts, tree.flatten_up_to(values), strict=True)}


def of_labels(described: Tree[Parameter], values: Mapping[str, Leaf]) -> Tree[Leaf]:
    """The tree of leaves given by their labels; masks may be left out."""
    masked = any(part.label in values for part in described.kept)
    return (described if masked else described._replace(kept=())).map(lambda part: values[part.label])
