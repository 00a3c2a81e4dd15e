"""A basis function whose value has another shape than the edge needs is named, wherever it would be broadcast."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from handmade import edge, graph, keys_of, make_bound, noise_of, normal, population, start, structures
from torch import Tensor

from structflow.builtin.basis_functions.linear import Linear
from structflow.errors import PluginError
from structflow.objective.bound import Bound, BoundInputs
from structflow.plugins import BasisFunction
from structflow.spec.graph import GraphFunction

ROWS = 5


class OneColumn(Linear):
    """The first output only."""

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return super().forward(weights, x)[:, :1]


class OneRow(Linear):
    """The mean over the rows, which they must not share."""

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return super().forward(weights, x).mean(0, keepdim=True)


class SummedVariance(Linear):
    """The variance of the sum of the outputs in place of that of each."""

    def output_variance(self, variances: dict[str, Tensor], x: Tensor) -> Tensor:
        return super().output_variance(variances, x).sum(-1)


def evaluate(plugin: type[BasisFunction]) -> Any:
    """Terms of a model from three inputs to two targets by one function of the class."""
    options: Any = plugin.Options()
    of = graph({"x": (3,), "y": (2,)}, edge("x", "y", "all", GraphFunction("bent", plugin, options)))
    bound: Bound = make_bound(population(of, structures(of)))
    noise = noise_of(bound, keys_of(bound.population), samples=3)
    x, y = normal(ROWS, 3), normal(ROWS, 2, seed=1)
    return bound.sample_terms(
        bound.of_labels(start(bound)), BoundInputs(noise, x, y, torch.tensor(0.5), bound.population.indices)
    )


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (OneColumn, "OneColumn.forward returned the shape (5, 1); expected (rows, *out_shape) = (5, 2)"),
        (OneRow, "OneRow.forward returned the shape (1, 2); expected (rows, *out_shape) = (5, 2)"),
        (SummedVariance, "SummedVariance.output_variance returned the shape (5,); expected"),
    ],
)
def test_a_wrong_shape_names_function_edge_and_method(plugin: type[BasisFunction], words: str) -> None:
    with pytest.raises(PluginError) as caught:
        evaluate(plugin)
    assert "basis function 'bent' on edge x->y (type 'linear' of package " in str(caught.value)
    assert words in str(caught.value)


def test_the_right_shape_passes() -> None:
    assert evaluate(Linear).log_likelihood.shape == (1, 1)  # nothing is sampled: the weights are integrated
