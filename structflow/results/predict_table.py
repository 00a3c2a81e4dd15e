"""Predictions for the rows of a table, written as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import CallError
from ..store.own_output import refuse_own_file
from .new_table import read_new_table
from .read import read_summary
from .run import Run


def predict_table(
    run: Path,
    table: str,
    output: Path,
    best_only: bool,
    samples: int,
    source: str | None = None,
    overrides: Sequence[str] = (),
) -> int:
    """Write mean and standard deviation of every target, or the probability of every class; returns the rows.

    The table is read as `read_new_table` says. Raises `CallError` for a missing file or columns, for inputs that
    aren't finite numbers, and where `output` is the table itself, or a file of it.
    """
    import pandas

    refuse_own_file(run, output)
    refuse_input(table, output)
    if not read_summary(run)["ranking"]:
        raise CallError(f"the run in {run} has no ranking to predict with: no structure has a rank; see its warnings")
    opened = Run(run)
    study = opened.context.study
    dataset = study.dataset
    given = [part for text in overrides for part in ("--set", text)]
    given += (["--best"] if best_only else []) + (["--source", source] if source is not None else [])
    command = ["structflow", "predict", str(run), table, "-o", str(output), *given]
    inputs = read_new_table(dataset, study.spec.data_options, table, source, overrides, command)
    predict = opened.best.predict if best_only else opened.predict
    try:
        prediction = predict(inputs, samples)
    except CallError as error:
        raise CallError(str(error).replace("new inputs", table)) from None
    columns: dict[str, np.ndarray] = {}
    if dataset.target_kind == "classes":
        for index, label in enumerate(dataset.classes):
            columns[f"probability {label}"] = prediction.mean[:, index]
    else:
        for index, name in enumerate(dataset.target_names):
            columns[name] = prediction.mean[:, index]
            columns[f"{name} standard deviation"] = prediction.standard_deviation[:, index]
    pandas.DataFrame(columns).to_csv(output, index=False)
    return len(inputs)


def refuse_input(table: str, output: Path) -> None:
    """Raise `CallError` where writing `output` would overwrite the table, under whatever name, or a part of it."""
    try:
        read = Path(table).expanduser().resolve()
    except RuntimeError:  # a home directory that isn't known: reading the table says so
        return
    written = output.resolve()
    is_same = read == written or (read.exists() and output.exists() and read.samefile(output))  # or a hard link
    is_part = read in written.parents and output.exists()  # of a table that is a folder
    if is_same or is_part:
        raise CallError(
            f"{output} would overwrite the table {table}, which holds the inputs; choose another name for the "
            "predictions (-o)"
        )
