"""The public results: a labelled tree of arrays, built from committed records and written as one Zarr hierarchy."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Sequence

import numpy as np
import xarray
import zarr
from zarr.errors import ZarrUserWarning

from ..errors import StorageError
from ..evidence.complexity import masks_of
from ..plan.tasks import Task
from ..plugins import TrainedBatch
from ..runner.context import RunContext
from ..runner.evaluate import load_evaluated
from ..runner.select import RELAXED, canonical
from ..runner.tracking import trained_batch
from ..store.names import RESULT
from ..store.records import NATS, SelectRecord, TrainRecord
from ..store.removal import is_of_zarr, refuse_others, remove_own
from ..store.run_directory import RunDirectory
from .columns import Column, columns, numbers
from .marginals import choice_label
from .models import RankingEntry, RelaxedResult, SettingResults, Summary
from .pruned import pruned_dataset
from .read import structure_name
from .relevance import relevance_datasets
from .summary import COMPLEXITIES

SHOWN = (
    *("score", "score_se", "log_evidence", "log_evidence_se", "log_prior", "probability"),
    *("c_param", "c_struct", "relative_density", "converged", "still_gaining", "still_gaining_se", "left_to_gain"),
    *("restart_agreement", "restarts"),
)
"""Keys of the ranking that are arrays."""

MOST_POSTERIORS = 20
"""Structures whose posterior arrays are part of the results; the records of the run keep all of them."""


def build_tree(context: RunContext, summary: Summary) -> xarray.DataTree:
    """The results of every setting: ranking, restarts, trajectories, relaxed q(Γ), posteriors and timings."""
    groups: dict[str, xarray.Dataset] = {"/": xarray.Dataset(attrs={"run": summary.run, "status": summary.status})}
    for index, found in enumerate(summary.each_setting):
        base, values = f"/setting_{index}", context.study.settings[index].values
        groups[base] = xarray.Dataset(attrs={str(key): str(value) for key, value in values.items()})
        groups[f"{base}/ranking"] = ranking_dataset(found.ranking)
        if found.pruned:
            groups[f"{base}/pruned"] = pruned_dataset(found.pruned)
        groups[f"{base}/restarts"] = restarts_dataset(context, index)
        groups.update({f"{base}/{name}": part for name, part in trajectories(context, index).items()})
        if found.relaxed is not None:
            groups.update({f"{base}/relaxed/{name}": part for name, part in relaxed(found.relaxed).items()})
        groups.update({f"{base}/posterior/{name}": part for name, part in posteriors(context, index, found).items()})
        curves = relevance_datasets(context, index, found.relevance)
        groups.update({f"{base}/relevance/{name}": part for name, part in curves.items()})
        groups[f"{base}/timing"] = timing(context, index)
    return xarray.DataTree.from_dict(groups)


def ranking_dataset(ranking: Sequence[RankingEntry]) -> xarray.Dataset:
    """One row a structure, best first; a choice of every edge and node as text."""
    names = [structure_name(entry.structure) for entry in ranking]
    data = columns(ranking, RankingEntry, SHOWN)
    for key in ranking[0].structure if ranking else {}:
        labels = [choice_label(key, entry.structure[key]) for entry in ranking]
        data[f"choice {key}"] = ("structure", np.array(labels, dtype=object), {"description": f"what {key} chose"})
    noisy, deviations = robustness_columns(ranking)
    data.update(noisy)
    estimators = list(ranking[0].evidence) if ranking else []
    if ranking:
        table = numbers([[entry.evidence[name] for name in estimators] for entry in ranking])
        errors = numbers([[entry.evidence_se[name] for name in estimators] for entry in ranking])
        for key, values in (("evidence", table), ("evidence_se", errors)):
            text = RankingEntry.model_fields[key].description
            data[key] = (("structure", "estimator"), values, {"description": text, **NATS})
    coordinates = {
        "structure": np.array(names, dtype=object), "estimator": np.array(estimators, dtype=object), **deviations
    }  # fmt: skip
    return xarray.Dataset(data, coords=coordinates)


def robustness_columns(ranking: Sequence[RankingEntry]) -> tuple[dict[str, Column], dict[str, np.ndarray]]:
    """Metrics under noise, such as `test_rmse_input_noise` (structure, input_noise), and the standard deviations."""
    found: dict[str, Column] = {}
    coordinates: dict[str, np.ndarray] = {}
    for rows, by_place in ranking[0].robustness.items() if ranking else ():
        for place, by_deviation in by_place.items():
            if not by_deviation:
                continue
            noise = f"{place.removesuffix('s')}_noise"
            coordinates[noise] = np.array([float(label) for label in by_deviation])
            for metric in next(iter(by_deviation.values())):
                table = numbers(
                    [[noisy[metric] for noisy in entry.robustness[rows][place].values()] for entry in ranking]
                )
                text = f"{metric} on the {rows} rows under noise on the {place}, in its standard deviation"
                found[f"{rows}_{metric}_{noise}"] = (("structure", noise), table, {"description": text})
    return found, coordinates


def restarts_dataset(context: RunContext, setting: int) -> xarray.Dataset:
    """The score of every restart of every structure, on the noise that restarts are compared with."""
    structures = context.directory.read(Task("select", setting).name, SelectRecord).structures
    names = [
        ("pruned: " if item.pruned else "") + structure_name(item.structure) if item.structure else RELAXED
        for item in structures
    ]
    most = max((len(item.scores) for item in structures), default=0)
    table = np.full((len(structures), most), np.nan)
    for row, item in enumerate(structures):
        table[row, : len(item.scores)] = numbers(item.scores)
    score = (
        ("structure", "restart"),
        table,
        {"description": "bound in training units; NaN: diverged or failed", **NATS},
    )
    coordinates = {"structure": np.array(names, dtype=object), "restart": np.arange(most)}
    return xarray.Dataset({"score": score}, coords=coordinates)


def trajectories(context: RunContext, setting: int) -> dict[str, xarray.Dataset]:
    """For every round and stage the terms of the bound of each member over steps, in training units."""
    found = {}
    for round_index, planned in enumerate(context.plan.settings[setting].rounds):
        for stage in range(len(planned.steps)):
            parts = [
                trajectory_dataset(batch, context.directory.read(batch.task, TrainRecord))
                for slot in range(planned.slots)
                if (
                    batch := trained_batch(
                        context.directory, context.plan, Task("train", setting, round_index, stage, slot), True
                    )
                )
                is not None
            ]
            if parts:
                found[f"trajectory/{planned.name}/stage_{stage}"] = xarray.concat(
                    parts, dim="member", coords="minimal", compat="override", join="override"
                )
    return found


def trajectory_dataset(batch: TrainedBatch, record: TrainRecord) -> xarray.Dataset:
    """The terms and reports of a batch over steps, and the complexities of its members at the end."""
    complexities = [member.complexities for member in record.members if member.complexities is not None]
    names = ["relaxed" if each.structure is None else structure_name(dict(each.structure)) for each in batch.members]
    terms: dict[str, object] = {name: (("member", "step"), value.T, NATS) for name, value in batch.terms.items()}
    for name in COMPLEXITIES:
        terms[name] = ("member", numbers([getattr(each, name) for each in complexities]), NATS)
    terms.update({f"outer {name}": (("member", "outer_step"), value.T) for name, value in batch.reports.items()})
    coordinates: dict[str, object] = {
        "step": batch.steps,
        "structure": ("member", np.array(names, dtype=object)),
        "restart": ("member", [each.restart for each in batch.members]),
    }
    if batch.report_steps is not None:
        coordinates["outer_step"] = batch.report_steps
    return xarray.Dataset(terms, coords=coordinates)


def relaxed(entry: RelaxedResult) -> dict[str, xarray.Dataset]:
    """q(Γ) of the best relaxed restart: probabilities of the functions of every edge; its bound."""
    parts = {
        f"edge {key}": xarray.Dataset(
            {"probability": ("basis", numbers(list(chances.values())))},
            coords={"basis": np.array(list(chances), dtype=object)},
        )
        for key, chances in entry.q_probability.items()
    }
    scores = xarray.Dataset(
        {"score": ("restart", numbers(entry.restarts), NATS)},
        attrs={key: entry[key] for key in ("bound", "bound_se", *COMPLEXITIES) if entry[key] is not None},
    )
    return {**parts, "restarts": scores}


def posteriors(context: RunContext, setting: int, found: SettingResults) -> dict[str, xarray.Dataset]:
    """Mean and standard deviation of every weight of the best restart, for the first structures of the ranking.

    `structure_0` is the first of the ranking, and so on: names of structures can be longer than names of files;
    `pruned_0` is the first of the networks with pruned weights.
    """
    places = {
        canonical(entry.structure, is_pruned): f"{name}_{index}"
        for is_pruned, name, entries in ((False, "structure", found.ranking), (True, "pruned", found.pruned))
        for index, entry in enumerate(entries[:MOST_POSTERIORS])
    }
    parts: dict[str, xarray.Dataset] = {}
    for evaluated in load_evaluated(context, setting):
        bound, population = evaluated.trained.bound, evaluated.trained.bound.population
        means, variances = bound.weights.moments(evaluated.trained.parameters)
        kept = masks_of(evaluated.trained, means)
        for number, member in enumerate(population.members):
            key = "" if member.structure is None else canonical(member.structure.as_dict(), member.is_pruned)
            if member.structure is None:
                name = title = "relaxed"
            elif key in places:
                name, title = places[key], structure_name(member.structure.as_dict())
            else:  # too far down, or its evidence is not a number
                continue
            data = {}
            for index, group in enumerate(population.layout.groups):
                position = int(population.groups[index].positions[number])
                if position == len(population.groups[index].slots):
                    continue
                spread = variances[index][position].sqrt() * kept[index][position]
                deviations = group.split(spread.cpu())
                for weight, value in group.split(means[index][position].cpu()).items():
                    mean, deviation = value.numpy(), deviations[weight].numpy()
                    label = f"{group.name}.{weight}".replace("/", ":")
                    dims = tuple(f"{label} axis {axis}" for axis in range(mean.ndim))
                    data[f"{label} mean"] = (dims, mean)
                    data[f"{label} sd"] = (dims, deviation)
            parts[name] = xarray.Dataset(data, attrs={"structure": title, "restart": member.restart})
    return parts


def timing(context: RunContext, setting: int) -> xarray.Dataset:
    """How long every task of the setting took."""
    names = [task.name for task in context.plan.tasks() if task.setting == setting]
    seconds = numbers([context.directory.record(name).seconds for name in names])
    return xarray.Dataset(
        {"seconds": ("task", seconds, {"units": "s", "description": "wall time of the task"})},
        coords={"task": np.array(names, dtype=object)},
    )


def write_tree(tree: xarray.DataTree, directory: RunDirectory) -> None:
    """Write the tree to a temporary neighbour, consolidated, and rename it into place."""
    files, name = directory.files, f".{RESULT}.{uuid.uuid4().hex}"
    unfinished = directory.path / name
    refuse_others(files, RESULT, is_of_zarr)
    try:
        with warnings.catch_warnings():  # zarr warns that other implementations may not know consolidated metadata
            warnings.simplefilter("ignore", ZarrUserWarning)
            tree.to_zarr(unfinished, zarr_format=3, consolidated=False)
            zarr.consolidate_metadata(unfinished, zarr_format=3)  # once: `to_zarr` would do it again for every group
        remove_own(files, RESULT, is_of_zarr)
        files.rename(name, RESULT)
    except OSError as error:
        remove_own(files, name, is_of_zarr)
        raise StorageError(f"can't write {directory.result}: {error.strerror or error}") from error
