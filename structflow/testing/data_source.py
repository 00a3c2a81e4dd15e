"""What a data source promises: one table, the same at every read, and errors that name the key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..data.prepare import check_contract
from ..data.read import load_dataset
from ..errors import SpecError
from ..plugins import InputTable, Table
from .check import expect, remedy
from .examples import DataSourceExample
from .plugin_tests import PluginTests
from .subject import Subject

MISSING = "no-such-folder/no-such-file"


def read(subject: Subject) -> Table:
    """The table of the example."""
    table: Table = subject.plugin.read(subject.options, Path(subject.example.base))
    return table


class DataSourceTests(PluginTests):
    """Tests of one data source."""

    kind = "data_sources"
    example_class = DataSourceExample

    @remedy(
        "return inputs (rows, *input_shape) in float64 and targets (rows, targets) with a name for each column of "
        "both; inputs with several axes have one name"
    )
    def test_gives_a_table(self, subject: Subject) -> None:
        """`read` gives a `Table` whose shapes and names fit together, with float64 inputs and at least one row."""
        table = read(subject)
        expect(isinstance(table, Table), f"{type(table).__name__}")
        check_contract(table)
        expect(len(table.inputs) > 0, "a table without rows")
        expect(table.inputs.dtype == np.float64, f"inputs in {table.inputs.dtype}")
        names = (*table.input_names, *table.target_names)
        expect(all(isinstance(name, str) for name in names), f"names {names!r}")
        expect(
            isinstance(table.input_names, tuple) and isinstance(table.target_names, tuple), "names that are no tuples"
        )

    @remedy("fix the order of rows, and take seeds from the options: a continued run reads the data again and compares")
    def test_reads_the_same_twice(self, subject: Subject) -> None:
        """Two reads give equal tables."""
        first, second = read(subject), read(subject)
        for name in ("inputs", "targets"):
            one, other = getattr(first, name), getattr(second, name)
            same = one.shape == other.shape and one.dtype == other.dtype
            same = same and bool(np.all((one == other) | ((one != one) & (other != other))))
            expect(same, f"other {name} at the second read")
        names = [(table.input_names, table.target_names) for table in (first, second)]
        expect(names[0] == names[1], f"names {names[0]}, then {names[1]}")

    @remedy(
        "raise SpecError.single('data.path', what was got, what to do), or let the OSError of the missing file through"
    )
    def test_a_missing_file_is_reported(self, subject: Subject) -> None:
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

    @remedy("read the inputs of a table to predict for by the same code as those of the training table")
    def test_inputs_are_those_of_the_table(self, subject: Subject) -> None:
        """`read_inputs` of the same table gives the inputs of `read`, by their names."""
        table, base = read(subject), Path(subject.example.base)
        if table.inputs.ndim == 2 and len(table.input_names) != table.inputs.shape[1]:
            return  # which breaks another rule
        found = subject.plugin.read_inputs(subject.options, base, table.input_names)
        expect(isinstance(found, InputTable), f"{type(found).__name__}")
        missing = [name for name in table.input_names if name not in found.input_names]
        expect(not missing, f"no column {', '.join(missing)} among {found.input_names}")
        inputs = found.inputs
        if inputs.ndim == 2:
            inputs = inputs[:, [list(found.input_names).index(name) for name in table.input_names]]
        expect(
            np.array_equal(inputs, table.inputs, equal_nan=table.inputs.dtype.kind == "f"), "other inputs than `read`"
        )

    @remedy(
        "return chunks that in order are the rows of `read`, inputs plus targets of a row as `row_numbers`, and the "
        "same `fingerprint` each time"
    )
    def test_chunks_are_the_table(self, subject: Subject) -> None:
        """Where there are chunks, they are together the table that `read` gives, and their sizes are as announced."""
        base = Path(subject.example.base)
        chunked = subject.plugin.chunks(subject.options, base)
        if chunked is None:
            return
        table, parts = read(subject), [chunked.read(number) for number in range(len(chunked.chunk_rows))]
        rows = [len(part.inputs) for part in parts]
        expect(rows == chunked.chunk_rows.tolist(), f"chunks of {rows} rows; chunk_rows {chunked.chunk_rows.tolist()}")
        for name in ("inputs", "targets"):
            whole = np.concatenate([getattr(part, name) for part in parts])
            wanted = getattr(table, name)
            same = whole.shape == wanted.shape and bool(
                np.all((whole == wanted) | ((whole != whole) & (wanted != wanted)))
            )
            expect(same, f"other {name} in the chunks than in the whole table")
        numbers = table.inputs[:1].size + table.targets[:1].size
        expect(chunked.row_numbers == numbers, f"row_numbers {chunked.row_numbers} for {numbers} numbers a row")
        again = subject.plugin.chunks(subject.options, base).fingerprint
        expect(again == chunked.fingerprint, f"fingerprint {chunked.fingerprint!r}, then {again!r}")
