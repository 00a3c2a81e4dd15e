"""Point estimates of the candidates' weights, all folds of cross-validation in one batched program of plain torch.

For fold k, with rows i outside of it and m_k their number, Adam minimises
    −(1/m_k) Σ_i log p(y_i | f(x_i; w_k), σ_k) + λ/(2 m_k) ‖w_k‖²,
the maximum a posteriori estimate under w ~ N(0, I/λ); σ is learned with the weights of a regression. Every weight has
a leading axis of folds, and no fold's gradient depends on another fold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .records import Candidate

SECOND_WIDTH = 8
"""Units of the second hidden layer, node g of the spec."""


@dataclass(frozen=True)
class Rows:
    """Inputs (rows, columns) and targets: numbers (rows, 1), or codes of classes (rows,) with `classes` > 0."""

    inputs: Tensor
    targets: Tensor
    classes: int

    @property
    def outputs(self) -> int:
        """Numbers that a network puts out for a row."""
        return self.classes or 1


def shapes_of(candidate: Candidate, rows: Rows) -> dict[str, tuple[int, ...]]:
    """Shape of every weight of one network; log σ, which has no prior, comes last."""
    columns, outputs, width = rows.inputs.shape[1], rows.outputs, candidate.width
    shapes: dict[str, tuple[int, ...]] = {"first": (columns, width), "first_bias": (1, width)}
    shapes |= {"out": (width, outputs), "out_bias": (1, outputs)}
    if candidate.deeper:
        shapes |= {"second": (width, SECOND_WIDTH), "second_bias": (1, SECOND_WIDTH)}
        shapes["second_out"] = (SECOND_WIDTH, outputs)
    if candidate.straight:
        shapes["straight"] = (columns, outputs)
    return shapes if rows.classes else shapes | {"log_noise": (1, 1)}


def start(shapes: dict[str, tuple[int, ...]], folds: int, seed: int) -> Tensor:
    """Weights from N(0, 1/fan-in), biases 0 and log σ = 0, laid end to end; the same for all folds, (folds, size)."""
    generator = torch.Generator().manual_seed(seed)
    parts = [
        torch.randn(math.prod(shape), generator=generator) / math.sqrt(shape[0])
        if shape[0] > 1 or not name.endswith(("bias", "noise"))
        else torch.zeros(shape[1])
        for name, shape in shapes.items()
    ]
    return torch.cat(parts).expand(folds, -1).clone().requires_grad_()


def split(flat: Tensor, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Every weight by name, (folds, *shape)."""
    parts = flat.split([math.prod(shape) for shape in shapes.values()], dim=1)
    return {name: part.unflatten(1, shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def outputs_of(candidate: Candidate, weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
    """f of every fold's network, (folds, rows, outputs)."""
    activation: Callable[[Tensor], Tensor] = getattr(torch, candidate.activation)
    hidden = activation(inputs @ weights["first"] + weights["first_bias"])
    output = hidden @ weights["out"] + weights["out_bias"]
    if candidate.deeper:
        output = output + torch.tanh(hidden @ weights["second"] + weights["second_bias"]) @ weights["second_out"]
    if candidate.straight:
        output = output + inputs @ weights["straight"]
    return output


def log_likelihoods(candidate: Candidate, weights: dict[str, Tensor], rows: Rows) -> Tensor:
    """log p(y_i | x_i, w_k) of every fold's network and every row, (folds, rows)."""
    output = outputs_of(candidate, weights, rows.inputs)
    if rows.classes:
        codes = rows.targets.expand(len(output), -1).unsqueeze(-1)
        return output.log_softmax(-1).gather(-1, codes).squeeze(-1)
    log_noise = weights["log_noise"]
    scaled = (rows.targets - output) * (-log_noise).exp()
    return (-0.5 * math.log(2 * math.pi) - log_noise - 0.5 * scaled.square()).squeeze(-1)


def objective(candidate: Candidate, flat: Tensor, rows: Rows, learned: Tensor, precision: float) -> Tensor:
    """What fold k's network minimises, (folds,); `learned` (folds, rows) is 1 for the rows that it learns from."""
    fitted = (log_likelihoods(candidate, split(flat, shapes_of(candidate, rows)), rows) * learned).sum(1)
    weights = flat if rows.classes else flat[:, :-1]
    return (0.5 * precision * weights.square().sum(1) - fitted) / learned.sum(1)


def fit(
    candidate: Candidate,
    rows: Rows,
    learned: Tensor,
    learning_rate: float,
    precision: float,
    steps: int,
    seed: int,
) -> dict[str, Tensor]:
    """The weights after so many steps of Adam, whose learning rate falls to 0 by a cosine."""
    shapes = shapes_of(candidate, rows)
    flat = start(shapes, len(learned), seed)
    optimizer = torch.optim.Adam([flat], lr=learning_rate, fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(objective(candidate, flat, rows, learned, precision).sum())
        optimizer.step()
    return split(flat.detach(), shapes)
