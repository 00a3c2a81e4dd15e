"""The evidence's search: one run of specs/e7-real-table.yaml on the training rows of one split of one table."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

import structflow
from structflow.data.dataset import Dataset

from .records import Candidate, Scored, Settings
from .tables import RealTable

SPEC = Path(__file__).parents[3] / "specs" / "e7-real-table.yaml"


def read_spec() -> dict[str, Any]:
    """The committed spec."""
    spec: dict[str, Any] = yaml.safe_load(SPEC.read_text(encoding="utf-8"))
    return spec


def spec_of(table: RealTable, path: Path, split: int, settings: Settings) -> dict[str, Any]:
    """The committed spec with this table, saved at `path`, in place of its own, and the sizes of `settings`."""
    spec = read_spec()
    spec["seed"] = split
    spec["data"] = {"source": "npz", "path": str(path), "split": {"test": table.test_share, "seed": split}}
    spec["model"]["likelihood"] = {"type": "gaussian" if table.is_regression else "categorical"}
    spec["optimizer"]["inner"]["steps"] = settings.steps
    spec["optimizer"]["restarts"] = settings.restarts
    spec["evidence"] = {"samples": settings.samples}
    spec["compute"] = {"device": "cpu", "compile": settings.compiled}
    return spec


def candidates(spec: dict[str, Any]) -> list[Candidate]:
    """Every structure of the spec."""
    first = spec["model"]["edges"][0]["basis"]
    widths = spec["model"]["nodes"]["h"]["shape"]["choose"]
    return [
        Candidate(function["activation"], width[0], deeper, straight)
        for function in first
        for width in widths
        for deeper in (False, True)
        for straight in (False, True)
    ]


def scored_structures(table: RealTable, split: int, settings: Settings) -> tuple[dict[str, Scored], Dataset]:
    """Log evidence and test metrics of every structure by name, and the data as the run split and scaled them."""
    with TemporaryDirectory(prefix="real-tables-") as folder:
        path = Path(folder) / "table.npz"
        table.save(path)
        run = structflow.run(spec_of(table, path, split, settings), Path(folder) / "run")
        scored = {
            Candidate.of_structure(entry["structure"]).name: Scored(
                entry["log_evidence"], entry["log_evidence_se"], entry["metrics"]["test"]
            )
            for entry in run.ranking
        }
        return scored, run.context.study.dataset
