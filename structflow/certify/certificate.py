"""How exact hypergradients are: each method's dQ/dh against finite differences, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import CallError
from ..objective.bound import Bound
from ..train.entries import by_row
from ..train.flat import FlatLayout
from ..train.outer_level import numbers_in_use
from .finite_differences import Differences, central_differences, chosen_places
from .measured_method import Method, Problem, Row, measured

EXACT, CLOSE = 1e-5, 1e-2
"""Largest relative errors that are called exact and close."""

NOTHING = 1e-8
"""A difference below this share of Q is the rounding of Q."""


@dataclass(frozen=True)
class Certificate:
    """Rows and the differences that judge them; `owners` (P,) are the members of the hyperparameters, else −1."""

    rows: tuple[Row, ...]
    differences: Differences
    owners: np.ndarray
    layout: FlatLayout
    reference: str
    step_seconds: float
    difference_seconds: float

    def at_places(self, gradient: np.ndarray) -> np.ndarray:
        """A gradient at the chosen hyperparameters, (K, M)."""
        places = self.differences.places
        return np.where(places < 0, 0.0, gradient[places])

    def relative_error(self, row: Row) -> np.ndarray:
        """‖g − D‖ / ‖D‖ of every member over its chosen hyperparameters, (M,)."""
        return relative(self.at_places(row.gradient), self.differences.value)

    def cosine(self, row: Row) -> np.ndarray:
        """⟨g, D⟩ / ‖g‖ ‖D‖ of every member, (M,); NaN where g is 0."""
        found, true = self.at_places(row.gradient), self.differences.value
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine: np.ndarray = (found * true).sum(0) / (np.linalg.norm(found, axis=0) * np.linalg.norm(true, axis=0))
        return cosine

    def from_reference(self, row: Row) -> np.ndarray | None:
        """‖g − r‖ / ‖r‖ of every member over all its hyperparameters, r the reference, (M,); None without one."""
        reference = next((other for other in self.rows if other.name == self.reference), None)
        if reference is None:
            return None
        members = range(self.differences.value.shape[1])
        owned = [self.owners == member for member in members]
        return np.array([float(relative(row.gradient[own, None], reference.gradient[own, None])[0]) for own in owned])

    @property
    def uncertainty(self) -> np.ndarray:
        """How far the differences of two widths are apart, ‖·‖ / ‖D‖ of every member, (M,)."""
        return relative(self.differences.value + self.differences.uncertainty, self.differences.value)


def relative(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """‖found − true‖ / ‖true‖ down the first axis; 0 where both vanish."""
    error, size = np.linalg.norm(found - true, axis=0), np.linalg.norm(true, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(error == 0, 0.0, error / size)


def verdict(relative_error: float) -> str:
    """`exact` to 1e-5, `close` to 1e-2, else `biased`."""
    return "exact" if relative_error <= EXACT else "close" if relative_error <= CLOSE else "biased"


def certify(problem: Problem, methods: Sequence[Method], coordinates: int, seed: int) -> Certificate:
    """Every method's dQ/dh, and finite differences at some hyperparameters of each kind of every member.

    Raises `CallError` where there are no hyperparameters, where Q isn't finite, and for hyperparameters that neither
    the differences nor any method find an influence of.
    """
    stage = problem.stage
    bound, layout = stage.objectives.bound, stage.layout
    in_use = stage.entries.of_h.cpu() & numbers_in_use(bound, layout)
    if not bool(in_use.any()):
        raise CallError(
            "there are no hyperparameters to certify: set prior.weights.precision to shared, per_function or "
            "per_parameter, or prior.structure.learned to true"
        )
    values = problem.value(problem.flat)
    if not bool(torch.isfinite(values).all()):
        raise CallError("Q isn't finite where it is to be differentiated; lower --steps or optimizer.inner.lr")
    rows = tuple(row for row in (measured(problem, method) for method in methods) if row is not None)
    owners = np.where(in_use.numpy(), stage.entries.member_of.cpu().numpy(), -1)
    without = np.flatnonzero((owners >= 0) & np.all([row.gradient == 0 for row in rows], axis=0))
    places = chosen_places(kinds_of(bound, layout, owners), coordinates, seed, without)
    started = time.perf_counter()
    differences = central_differences(problem.value, problem.flat, places)
    seconds = time.perf_counter() - started
    refuse_silent(layout, differences, without, values.double().cpu().numpy())
    return Certificate(rows, differences, owners, layout, problem.reference, problem.step_seconds(), seconds)


def kinds_of(bound: Bound, layout: FlatLayout, owners: np.ndarray) -> list[list[np.ndarray]]:
    """For every member the places of its hyperparameters, by their roles."""
    roles = by_row(layout, lambda parameter, rows: np.full(rows, parameter.role.name))
    places = [np.flatnonzero(roles == role) for role in dict.fromkeys(roles.tolist())]
    members = range(bound.population.size)
    return [[own for each in places if len(own := each[owners[each] == member])] for member in members]


def place_name(layout: FlatLayout, place: int) -> tuple[str, tuple[int, ...]]:
    """The parameter that a place of the flat vector belongs to, and where it stands within its slot."""
    begin = 0
    for parameter, shape in layout.shapes:
        size = int(np.prod(shape))
        if place < begin + size:
            return parameter.label, tuple(int(index) for index in np.unravel_index(place - begin, shape)[1:])
        begin += size
    raise IndexError(place)


def shown_place(layout: FlatLayout, place: int) -> str:
    """A hyperparameter by name: `log_precision/x->h/dense:tanh/weight[2, 0]`."""
    name, index = place_name(layout, place)
    return f"{name}{list(index)}" if index else name


def refuse_silent(layout: FlatLayout, differences: Differences, without: np.ndarray, values: np.ndarray) -> None:
    """Raise `CallError` for hyperparameters whose gradients are exactly zero and whose differences are rounding."""
    places = differences.places
    nothing = np.isin(places, without) & (np.abs(differences.value) <= NOTHING * np.maximum(1.0, np.abs(values)))
    silent = sorted({shown_place(layout, int(place)) for place in places[nothing & (places >= 0)]})
    if silent:
        verb = "has" if len(silent) == 1 else "have"
        raise CallError(
            f"{', '.join(silent[:5])} {verb} no influence on Q, by finite differences and by every method: don't learn "
            "it, or change the objective so that Q depends on it"
        )
