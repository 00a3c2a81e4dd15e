"""What a data source promises: one table, the same at every read, and errors that name the key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..data.prepare import check_contract
from ..data.read import load_dataset
from ..errors import SpecError
from ..plugins import Table
from .check import Check, Rule, checks_of, expect, rule
from .common import RULES_OF_OPTIONS
from .subject import Subject

MISSING = "no-such-folder/no-such-file"


def read(subject: Subject) -> Table:
    """The table of the example."""
    table: Table = subject.plugin.read(subject.options, Path(subject.example.base))
    return table


@rule(
    "return inputs (rows, *input_shape) in float64 and targets (rows, targets) with a name for each column of both; "
    "inputs with several axes have one name"
)
def gives_a_table(subject: Subject) -> None:
    """`read` gives a `Table` whose shapes and names fit together, with float64 inputs and at least one row."""
    table = read(subject)
    expect(isinstance(table, Table), f"{type(table).__name__}")
    check_contract(table)
    expect(len(table.inputs) > 0, "a table without rows")
    expect(table.inputs.dtype == np.float64, f"inputs in {table.inputs.dtype}")
    names = (*table.input_names, *table.target_names)
    expect(all(isinstance(name, str) for name in names), f"names {names!r}")
    expect(isinstance(table.input_names, tuple) and isinstance(table.target_names, tuple), "names that are no tuples")


@rule("fix the order of rows, and take seeds from the options: a continued run reads the data again and compares")
def reads_the_same_twice(subject: Subject) -> None:
    """Two reads give equal tables."""
    first, second = read(subject), read(subject)
    for name in ("inputs", "targets"):
        one, other = getattr(first, name), getattr(second, name)
        same = one.shape == other.shape and one.dtype == other.dtype
        same = same and bool(np.all((one == other) | ((one != one) & (other != other))))
        expect(same, f"other {name} at the second read")
    names = [(table.input_names, table.target_names) for table in (first, second)]
    expect(names[0] == names[1], f"names {names[0]}, then {names[1]}")


@rule("raise SpecError.single('data.path', what was got, what to do), or let the OSError of the missing file through")
def a_missing_file_is_reported(subject: Subject) -> None:
    """Where the options have a `path`, a file that isn't there is a `SpecError` at a key of `data`."""
    if "path" not in type(subject.options).model_fields:
        return
    options = {**subject.example.options, "path": MISSING}
    elsewhere = Subject(subject.registration, replace(subject.example, options=options))
    try:
        load_dataset(subject.plugin, elsewhere.options, Path(subject.example.base), "continuous")
    except SpecError as error:
        paths = [problem.path for problem in error.problems]
        expect(all(path.split(".")[0] == "data" for path in paths), f"a SpecError at {paths}")
        return
    expect(False, f"no error for the path {MISSING!r}")


RULES: tuple[Rule[Subject], ...] = (gives_a_table, reads_the_same_twice, a_missing_file_is_reported)


def checks(subject: Subject) -> list[Check]:
    """The checks of one example."""
    return checks_of(subject.prefix, subject.about, subject, (*RULES_OF_OPTIONS, *RULES))
