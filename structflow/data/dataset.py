"""The prepared data: what every later layer trains on, and how it travels to worker processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StorageError
from ..plugins import Shape, TargetKind
from ..store.array_file import load_arrays, save_arrays
from ..store.manifest import manifest_text, problem_with, read_manifest
from ..store.own_folder import OwnFolder
from .checks import Columns, finite_values
from .labels import codes_of
from .new_inputs import new_inputs, refuse
from .stream import Location, Stream

ARRAYS = (
    "inputs",
    "targets",
    "train_rows",
    "test_rows",
    "input_shift",
    "input_scale",
    "target_shift",
    "target_scale",
)
"""The fields that are arrays, in the order the digest reads them."""

LABELS = ("classes", "input_names", "target_names", "target_kind")
"""The fields that are text."""

CHUNKS = "chunk_train_rows"
"""The array that only a streamed table has."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs and targets in the units of training, with the split and the way back to the original units.

    `inputs` (rows, *input_shape) and `targets` (rows, targets) are float64. Targets are numbers for `continuous`
    (standardised on request), codes 0..C−1 in one column for `classes`, 0 or 1 for `binary`, whole numbers for
    `counts`. `train_rows` and `test_rows` are sorted int64 row numbers. original = prepared · scale + shift, with
    `input_shift`, `input_scale` of shape input_shape and `target_shift`, `target_scale` of shape (targets,); shift 0
    and scale 1 where nothing was standardised. `classes` are the labels in the order of their codes, empty unless
    the targets are `classes` or `binary`. `input_names` has one name a column, or a single one for inputs with
    several axes.

    Of a streamed table `inputs` and `targets` are those of a sample of its rows; `stream` says where the others are.
    """

    inputs: np.ndarray
    targets: np.ndarray
    train_rows: np.ndarray
    test_rows: np.ndarray
    input_shift: np.ndarray
    input_scale: np.ndarray
    target_shift: np.ndarray
    target_scale: np.ndarray
    classes: tuple[str, ...]
    input_names: tuple[str, ...]
    target_names: tuple[str, ...]
    target_kind: TargetKind
    stream: Stream | None = None

    @property
    def input_shape(self) -> Shape:
        """Shape of the input of one row."""
        return tuple(self.inputs.shape[1:])

    @property
    def n_targets(self) -> int:
        """Number of target columns."""
        return int(self.targets.shape[1])

    @property
    def n_classes(self) -> int:
        """Number of labels; 0 where the targets are numbers."""
        return len(self.classes)

    @property
    def n_train(self) -> int:
        """Number of training rows, also those that are not in memory."""
        return len(self.train_rows) if self.stream is None else self.stream.train_rows

    @property
    def n_test(self) -> int:
        """Number of held-out rows, also those that are not in memory."""
        return len(self.test_rows) if self.stream is None else self.stream.test_rows

    @property
    def row_weight(self) -> float:
        """N / n: how many of the N training rows each of the n in memory stands for; 1 where they are all there."""
        return self.n_train / max(1, len(self.train_rows))

    def train(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of the training rows."""
        return self.inputs[self.train_rows], self.targets[self.train_rows]

    def labels(self) -> np.ndarray | None:
        """The codes of the training rows' labels, (rows,); None where the targets are numbers."""
        return self.train()[1][:, 0] if self.target_kind in ("classes", "binary") else None

    def test(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of the held-out rows; no rows where nothing is held out."""
        return self.inputs[self.test_rows], self.targets[self.test_rows]

    def transform_inputs(self, raw: Any) -> np.ndarray:
        """New inputs (rows, *input_shape) in their original units, standardised as the training inputs were.

        Columns are found by name where `raw` names them, as a data frame does; see `new_inputs`. Raises `CallError` for
        columns or a shape that don't fit, and for values that aren't finite numbers, also after standardising.
        """
        with np.errstate(over="ignore"):
            values = (new_inputs(raw, self.input_names, self.input_shape) - self.input_shift) / self.input_scale
        columns = Columns("input", "", self.input_names, self.input_shape, "")
        refuse(finite_values(values.reshape(len(values), int(np.prod(self.input_shape))), columns, skip=set()))
        return np.asarray(values)

    def prepared(self, inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """More rows of the same table, inputs (rows, …) and targets (rows, targets), in the units of training."""
        shaped = np.asarray(inputs, dtype=np.float64).reshape(len(inputs), *self.input_shape)
        values = (shaped - self.input_shift) / self.input_scale
        if self.target_kind in ("classes", "binary"):
            return values, codes_of(targets, self.classes)
        return values, (np.asarray(targets, dtype=np.float64) - self.target_shift) / self.target_scale

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the values, shapes, dtypes and names: equal digests mean the same prepared data."""
        summary = hashlib.sha256(json.dumps([getattr(self, name) for name in LABELS]).encode())
        for name in ARRAYS:
            array = getattr(self, name)
            little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            summary.update(f"{name} {little_endian.dtype.str} {array.shape};".encode())
            summary.update(little_endian.tobytes())
        if self.stream is not None:
            known = {**self.stream.as_json(), "chunk_train_rows": self.stream.chunk_train_rows.tolist()}
            summary.update(json.dumps(known, sort_keys=True).encode())
        return summary.hexdigest()

    def save(self, path: Path) -> None:
        """Write the file `path`, whole or not at all, and beside it a manifest with its hash.

        Does nothing if the same data is already there; raises `StorageError` if something else is, or if the disk
        refuses.
        """
        folder, name = OwnFolder(path.parent), path.name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"can't write {path}: {error.strerror or error}") from error
        if folder.has(name):
            _, labels = load_arrays(folder, name, lambda array: False)
            if labels.get("digest") != self.digest:
                raise StorageError(f"{path} already holds other data; expected a new file: remove it or choose another")
        else:
            labels = {label: getattr(self, label) for label in LABELS}
            arrays = {array: getattr(self, array) for array in ARRAYS}
            if self.stream is not None:
                labels["stream"] = self.stream.as_json()
                arrays[CHUNKS] = self.stream.chunk_train_rows
            save_arrays(folder, name, arrays, {**labels, "digest": self.digest})
        with folder.written(manifest_of(path)) as file:
            file.write(manifest_text(folder, [name]).encode())

    @classmethod
    def load(cls, path: Path, location: Location | None = None) -> Dataset:
        """Read what `save` wrote; raises `StorageError` if it is missing or no longer what was written.

        `location` says where the rows of a streamed table are found.
        """
        folder, name = OwnFolder(path.parent), path.name
        expected = read_manifest(folder, manifest_of(path)).get(name)
        problem = f"{path} isn't in its manifest" if expected is None else problem_with(folder, name, expected)
        if problem is not None:
            raise StorageError(problem)
        arrays, labels = load_arrays(folder, name)
        try:
            dataset = cls.from_parts(arrays, labels, location)
        except (KeyError, TypeError) as error:
            raise StorageError(f"{path} doesn't hold prepared data: {error!r}") from error
        if dataset.digest != labels["digest"]:
            raise StorageError(f"{path} is damaged: it no longer holds what was written")
        return dataset

    @classmethod
    def from_parts(
        cls, arrays: dict[str, np.ndarray], labels: Mapping[str, Any], location: Location | None = None
    ) -> Dataset:
        """A dataset from its arrays and its text fields, whose tuples JSON has turned into lists."""
        texts = {name: tuple(labels[name]) for name in LABELS if name != "target_kind"}
        fields: dict[str, Any] = {**arrays, **texts, "target_kind": labels["target_kind"]}
        if "stream" in labels:
            found = location or Location(base="", fingerprint="", options={})
            fields["stream"] = Stream(**labels["stream"], chunk_train_rows=fields.pop(CHUNKS), location=found)
        return cls(**fields)


def manifest_of(path: Path) -> str:
    """The name of the manifest of a file of prepared data."""
    return f"{path.stem}.manifest.json"
