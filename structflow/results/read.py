"""Reading finished runs without loading torch: the summary of one, the list of many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from ..errors import CallError, StorageError
from ..store.certificate_file import read_certificate
from ..store.names import PLAN, SUMMARY
from ..store.records import StructureJson
from ..store.run_directory import RunDirectory
from .marginals import choice_label
from .models import Summary


def read_summary(path: Path) -> Summary:
    """The summary of a run directory, with its certificate if it has one; raises `CallError` where there is none.

    `run` is the name that the directory has now: it may have been copied or renamed.
    """
    refuse_no_run(path)
    directory = RunDirectory(path)
    if not directory.has(SUMMARY):
        raise CallError(f"the run in {path} isn't finished; continue it with: structflow resume {path}")
    summary = stored_summary(directory)
    return summary.model_copy(update={"run": directory.name, "certificate": read_certificate(directory)})


def stored_summary(directory: RunDirectory) -> Summary:
    """The summary as it was written; raises `StorageError` where it has other keys than this version of structflow."""
    try:
        return Summary.model_validate(directory.read_summary())
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise StorageError(
            f"{directory.path / SUMMARY} isn't what this version of structflow writes: {key}: {first['msg']}; "
            f"remove it, and build it from the records with: structflow resume {directory.path}"
        ) from error


def refuse_no_run(path: Path) -> None:
    """Raise `CallError` for a path that isn't a run directory, and `StorageError` for a run of an earlier version."""
    if not RunDirectory(path).has(PLAN):
        raise CallError(f"{path} is not a run directory; expected one made by `structflow run`")
    RunDirectory(path).refuse_earlier_version()


@dataclass(frozen=True)
class RunRow:
    """A run directory of a folder; `best` is the first structure of its ranking and `log_evidence` its score."""

    run: str
    status: str
    n_structures: int | None = None
    best: str | None = None
    log_evidence: float | None = None
    problem: str | None = None


def list_runs(folder: Path) -> list[RunRow]:
    """A row for every run directory in a folder, by name; a damaged run has the status `damaged` and its `problem`."""
    if not folder.is_dir():
        raise CallError(f"{folder} is not a folder; expected one with run directories")
    rows = []
    for path in sorted(folder.iterdir()):
        directory = RunDirectory(path)
        try:
            if not path.is_dir() or not directory.has(PLAN):
                continue
            n_structures = directory.read_start_file(PLAN)["n_structures"]
            summary = stored_summary(directory) if directory.has(SUMMARY) else None
        except StorageError as error:
            rows.append(RunRow(path.name, "damaged", problem=str(error)))
            continue
        row = RunRow(path.name, "unfinished" if summary is None else summary.status, n_structures)
        if summary is not None and summary.ranking:
            best = summary.ranking[0]
            row = replace(row, best=structure_name(best.structure), log_evidence=best.score)
        rows.append(row)
    return rows


def structure_name(structure: StructureJson, keys: Iterable[str] | None = None, separator: str = "; ") -> str:
    """A structure, or what it chose of some keys, by default in one line.

    >>> structure_name({"x->h": ["dense:tanh"], "h->y": ["linear", "zero"], "h": [20]})
    'x->h dense:tanh; h->y linear + zero; h 20'
    """
    return separator.join(f"{key} {choice_label(key, structure[key])}" for key in (structure if keys is None else keys))
