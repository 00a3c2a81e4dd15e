"""Curves of removed weights as results: entries of the summary, and labelled arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray

from ..evidence.weight_names import weight_names
from ..runner.context import RunContext
from ..runner.evaluate import load_evaluated
from ..runner.select import canonical
from ..store.records import NATS, Evaluation, RemovalCurve
from .columns import Column, numbers
from .models import RankingEntry, StructureCurves
from .read import structure_name

NOISE = {"input_noise": "inputs", "weight_noise": "weights"}


def relevance_entries(members: Sequence[Evaluation], ranking: Sequence[RankingEntry]) -> list[StructureCurves]:
    """The curves of every structure that has some, best first."""
    found = {
        canonical(member.structure): member.relevance
        for member in members
        if member.structure is not None and member.relevance is not None
    }
    return [
        StructureCurves(rank=entry.rank, structure=entry.structure, criteria=found[canonical(entry.structure)])
        for entry in ranking
        if canonical(entry.structure) in found
    ]


def relevance_datasets(
    context: RunContext, setting: int, entries: Sequence[StructureCurves]
) -> dict[str, xarray.Dataset]:
    """For every structure with curves a group `structure_<its place in the ranking>`, counted from 0."""
    parts: dict[str, xarray.Dataset] = {}
    for entry in entries:
        data = {**curve_columns(entry.criteria), **noise_columns(entry.criteria)}
        curves = list(entry.criteria.values())
        coordinates = {
            "criterion": np.array(list(entry.criteria), dtype=object),
            "share": np.array(curves[0].share, dtype=float),
        }
        for noise in NOISE:
            if getattr(curves[0], noise):
                coordinates[noise] = np.array([float(label) for label in getattr(curves[0], noise)])
        order, names = removal_order(context, setting, entry)
        data["removed_at"] = (
            ("criterion", "weight"),
            order,
            {"description": "when a weight is removed: 0 for the first one"},
        )
        coordinates["weight"] = np.array(names, dtype=object)
        attributes = {"structure": structure_name(entry.structure)}
        parts[f"structure_{entry.rank - 1}"] = xarray.Dataset(data, coords=coordinates, attrs=attributes)
    return parts


def curve_columns(criteria: Mapping[str, RemovalCurve]) -> dict[str, Column]:
    """Values (criterion, share): weights removed, bound, metrics."""
    curves, dims = list(criteria.values()), ("criterion", "share")
    texts: dict[str, tuple[str, Mapping[str, object]]] = {
        "removed": ("weights removed", {}),
        "bound": ("evidence bound of the model that is left, in the target's units", NATS),
        "bound_se": ("Monte Carlo standard error", NATS),
    }
    data: dict[str, Column] = {
        name: (dims, numbers([getattr(curve, name) for curve in curves]), {"description": text, **attributes})
        for name, (text, attributes) in texts.items()
    }
    for rows, metrics in curves[0].metrics.items():
        for metric in metrics:
            values = numbers([curve.metrics[rows][metric] for curve in curves])
            data[f"{rows}_{metric}"] = (dims, values, {"description": f"{metric} on the {rows} rows"})
    return data


def noise_columns(criteria: Mapping[str, RemovalCurve]) -> dict[str, Column]:
    """Metrics under noise, such as `rmse_input_noise` (criterion, input_noise, share)."""
    curves, data = list(criteria.values()), dict[str, Column]()
    for noise, what in NOISE.items():
        for metric in next(iter(getattr(curves[0], noise).values()), {}):
            values = numbers([[found[metric] for found in getattr(curve, noise).values()] for curve in curves])
            text = f"{metric} on the test rows, or the training rows where there are none, with noise on the {what}"
            data[f"{metric}_{noise}"] = (("criterion", noise, "share"), values, {"description": text})
    return data


def removal_order(context: RunContext, setting: int, entry: StructureCurves) -> tuple[np.ndarray, list[str]]:
    """When each criterion removes each weight, (criteria, n), and the names of the weights."""
    wanted = canonical(entry.structure)
    for evaluated in load_evaluated(context, setting):
        population = evaluated.trained.bound.population
        for number, member in enumerate(population.members):
            if member.structure is not None and not member.is_pruned and member.structure.canonical == wanted:
                (arrays,) = context.directory.evaluations.arrays([evaluated.keys[number]])
                names = weight_names(population, number)
                rows = [arrays[f"removal/{criterion}"] for criterion in entry.criteria]
                return np.stack(rows)[:, : len(names)], names
    raise LookupError(f"no record of {wanted}")
