"""Reading finished runs without loading torch: the summary of one, the list of many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import CallError, StorageError
from ..store.certificate_file import read_certificate
from ..store.names import PLAN, SUMMARY
from ..store.run_directory import RunDirectory
from .marginals import choice_label


def read_summary(path: Path) -> dict[str, Any]:
    """The summary of a run directory, with its certificate if it has one; raises `CallError` where there is none.

    `run` is the name that the directory has now: it may have been copied or renamed.
    """
    refuse_no_run(path)
    directory = RunDirectory(path)
    if not directory.has(SUMMARY):
        raise CallError(f"the run in {path} isn't finished; continue it with: structflow resume {path}")
    summary = {**directory.read_summary(), "run": directory.name}
    certificate = read_certificate(directory)
    return summary if certificate is None else {**summary, "certificate": certificate}


def is_whole(summary: dict[str, Any]) -> bool:
    """Whether a run ended with a ranking and no member of it failed; runs of earlier versions had none that did."""
    return summary["status"] == "finished" and not summary.get("failures")


def refuse_no_run(path: Path) -> None:
    """Raise `CallError` for a path that isn't a run directory, and `StorageError` for a run of an earlier version."""
    if not RunDirectory(path).has(PLAN):
        raise CallError(f"{path} is not a run directory; expected one made by `structflow run`")
    RunDirectory(path).refuse_earlier_version()


def list_runs(folder: Path) -> list[dict[str, Any]]:
    """A row for every run directory in a folder, by name; a damaged run has the status `damaged` and its `problem`."""
    if not folder.is_dir():
        raise CallError(f"{folder} is not a folder; expected one with run directories")
    rows = []
    for path in sorted(folder.iterdir()):
        directory = RunDirectory(path)
        try:
            if not path.is_dir() or not directory.has(PLAN):
                continue
            plan = directory.read_start_file(PLAN)
            summary = directory.read_summary() if directory.has(SUMMARY) else None
        except StorageError as error:
            nothing = {"n_structures": None, "best": None, "log_evidence": None}
            rows.append({"run": path.name, "status": "damaged", **nothing, "problem": str(error)})
            continue
        best = summary["ranking"][0] if summary is not None and summary["ranking"] else None
        rows.append(
            {
                "run": path.name,
                "status": "unfinished" if summary is None else summary["status"],
                "n_structures": plan["n_structures"],
                "best": None if best is None else structure_name(best["structure"]),
                "log_evidence": None if best is None else best["score"],
                "problem": None,
            }
        )
    return rows


def structure_name(structure: dict[str, Any]) -> str:
    """One line that names a structure: `x->h dense:tanh; h 20`."""
    return "; ".join(f"{key} {choice_label(key, chosen)}" for key, chosen in structure.items())
