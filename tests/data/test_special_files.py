"""Devices, pipes and sockets in place of a file are refused at once, in words: none of them can be read to an end."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import studies
import zarr

from structflow.errors import CallError, SpecError
from structflow.runner.cluster_options import read_cluster_file
from structflow.spec.load import load_study
from structflow.store.regular_files import special_file

KINDS = {"pipe": "a pipe", "link": "a pipe", "socket": "a socket", "device": "a device"}


@pytest.fixture(params=KINDS, ids=str)
def special(request, tmp_path, monkeypatch):
    """A path and what it is; a link to a pipe is one."""
    monkeypatch.chdir(tmp_path)  # the name of a socket can't be long
    path = Path("special")
    if request.param == "device":
        path = Path(os.devnull).with_name("zero")
    elif request.param == "socket":
        with closing(socket.socket(socket.AF_UNIX)) as bound:
            bound.bind(str(path))
    else:
        os.mkfifo("pipe")
        path = Path("pipe") if request.param == "pipe" else path
        if request.param == "link":
            path.symlink_to("pipe")
    return path.absolute(), KINDS[request.param]


def study_on(source: str, path: Path, folder: Path) -> Path:
    columns = {"inputs": ["x"], "target": ["y"]}
    return studies.write(studies.spec(data={"source": source, "path": str(path), **columns}), folder)


def test_specs(special):
    path, word = special
    begun = time.monotonic()
    with pytest.raises(SpecError, match=f"this is {word}; expected a spec file"):
        load_study(path)
    assert time.monotonic() - begun < 1


def test_cluster_files(special):
    path, word = special
    with pytest.raises(CallError, match=f"can't read the cluster file .*: it is {word}"):
        read_cluster_file(path)


@pytest.mark.parametrize("source", ["csv", "npz", "parquet", "zarr"])
def test_data(special, source, tmp_path):
    path, word = special
    with pytest.raises(SpecError, match=f"is {word}; expected a file"):
        load_study(study_on(source, path, tmp_path))


def test_a_pipe_among_the_files_of_a_table(tmp_path):
    folder = tmp_path / "table"
    folder.mkdir()
    pd.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0]}).to_parquet(folder / "part.0.parquet")
    os.mkfifo(folder / "part.1.parquet")
    with pytest.raises(SpecError, match=r"part\.1\.parquet', which is a pipe"):
        load_study(study_on("parquet", folder, tmp_path))


def test_files_and_folders_and_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    assert [special_file(tmp_path / name) for name in ("file", "", "none", "a\0b")] == [None] * 4


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "sizes"), [("x", [0, 2]), ("x", [0, 0]), ("y", [0, 1])])
def test_chunks_without_rows(tmp_path, name, sizes, stream):
    """Metadata of a damaged Zarr array: it was a ZeroDivisionError."""
    group = zarr.open_group(tmp_path / "table.zarr", mode="w", zarr_format=3)
    for array, values in (("x", np.ones((20, 2))), ("y", np.ones((20, 1)))):
        group.create_array(array, data=values, chunks=(5, values.shape[1]))
    file = tmp_path / "table.zarr" / name / "zarr.json"
    metadata = json.loads(file.read_text())
    metadata["chunk_grid"]["configuration"]["chunk_shape"] = sizes
    file.write_text(json.dumps(metadata))
    data = {"source": "zarr", "path": "table.zarr", "inputs": ["x"], "target": ["y"], "stream": stream}
    with pytest.raises(SpecError, match=r"chunk"):
        load_study(studies.write(studies.spec(data=data), tmp_path))
