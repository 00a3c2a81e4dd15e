"""One pass over a table finds what a table in memory is prepared with; sources by chunks; addresses."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec
import numpy as np
import pandas
import pytest
import zarr

from structflow.data import Dataset, load_dataset
from structflow.data.addresses import with_variables
from structflow.data.opening import is_streamed
from structflow.data.row_hash import row_hashes
from structflow.data.row_sample import RowSample
from structflow.data.running_moments import RunningMoments
from structflow.data.split import StreamSplit, split_rows
from structflow.data.training_rows import TrainingRows
from structflow.errors import SpecError, StorageError
from structflow.plugins import SplitOptions
from structflow.plugins.registry import registry

GENERATOR = np.random.default_rng(5)
X = GENERATOR.normal(3.0, 2.0, size=(1000, 3)).astype(np.float32)
Y = X[:, 0] * 0.5 + GENERATOR.normal(size=1000)
LABELS = np.array(["low", "high"])[(Y > 1.5).astype(int)]


def store_zarr(folder: Any, x: np.ndarray = X, y: np.ndarray = Y, chunk: int = 64) -> None:
    group = zarr.open_group(folder, mode="w")
    for name, values in (("x", x), ("y", y)):
        chunks = (chunk, *values.shape[1:])
        group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=chunks)[...] = values


def store_parquet(path: Any, y: np.ndarray = Y, rows: slice = slice(None), group: int = 100) -> None:
    frame = pandas.DataFrame({**{f"x{index}": X[rows, index] for index in range(3)}, "y": y[rows]})
    frame.to_parquet(path, row_group_size=group)


def load(base: Path, source: str, path: str, kind: Any = "continuous", **options: Any) -> Dataset:
    plugin, model = registry().get("data_sources", source), registry().of_kind("data_sources")[source].options
    given = model.model_validate({"path": path, **({"target": "y"} if source == "parquet" else {}), **options})
    return load_dataset(plugin, given, base, kind)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the table in both formats, whose small chunks are read one by one."""
    monkeypatch.setattr("structflow.builtin.data_sources.zarr.LEAST_CHUNK", 1)
    store_zarr(tmp_path / "t.zarr")
    store_parquet(tmp_path / "t.parquet")
    return tmp_path


@pytest.mark.parametrize(("source", "path"), [("zarr", "t.zarr"), ("parquet", "t.parquet")])
@pytest.mark.parametrize("inputs", [True, "together", False])
def test_a_streamed_table_is_prepared_as_one_in_memory(base, source, path, inputs):
    """With a sample of all rows: the same split and rows, and moments that differ by rounding alone."""
    options = {"split": {"test": 0.2}, "standardize": {"inputs": inputs}}
    memory = load(base, source, path, stream=False, **options)
    streamed = load(base, source, path, stream=True, **options)
    assert streamed.stream is not None
    assert (streamed.n_train, streamed.n_test, streamed.row_weight) == (800, 200, 1.0)
    for name in ("input_shift", "input_scale", "target_shift", "target_scale"):
        np.testing.assert_allclose(getattr(streamed, name), getattr(memory, name), rtol=1e-13)
    for one, other in zip((*streamed.train(), *streamed.test()), (*memory.train(), *memory.test()), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)
    assert (streamed.input_names, streamed.target_names) == (memory.input_names, memory.target_names)


@pytest.mark.parametrize("kind", ["classes", "binary"])
def test_labels_have_the_codes_of_a_table_in_memory(base, kind):
    """high is 0, low is 1, also for rows that are read again; numbers as labels are in order of their values."""
    for path, y in (("text.zarr", LABELS.astype("S4")), ("whole.zarr", (Y > 1.5).astype(int) * 10 + 2)):
        store_zarr(base / path, y=y)
        memory, streamed = (load(base, "zarr", path, kind, stream=stream) for stream in (False, True))
        assert streamed.classes == memory.classes
        np.testing.assert_array_equal(streamed.targets, memory.targets)
        rows = TrainingRows(streamed)
        again = np.concatenate([rows.read(chunk)[1] for chunk in range(len(rows.chunk_rows))])
        np.testing.assert_array_equal(again, memory.targets)


def test_chunks_hold_all_training_rows_and_a_sample_is_of_them(base):
    """1,000 rows less 200 held out; the 150 of the sample are among the 800, in the order of the table."""
    dataset = load(base, "zarr", "t.zarr", stream=True, sample_rows=150, split={"test": 0.2, "seed": 3})
    rows = TrainingRows(dataset)
    x, y = (np.concatenate(parts) for parts in zip(*map(rows.read, range(len(rows.chunk_rows))), strict=True))
    train, _ = split_rows(1000, SplitOptions(test=0.2, seed=3))
    np.testing.assert_allclose(x * dataset.input_scale + dataset.input_shift, X[train], rtol=1e-6)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(0), 1, rtol=1e-12)
    sampled = dataset.train()[0]
    assert (len(sampled), dataset.n_train, dataset.row_weight) == (150, 800, 800 / 150)
    places = [int(np.flatnonzero((x == row).all(1))[0]) for row in sampled]
    assert places == sorted(set(places))


def test_the_sample_and_the_content_do_not_depend_on_the_chunks(base):
    store_zarr(base / "other.zarr", chunk=301)
    one, other = (
        load(base, "zarr", path, stream=True, sample_rows=100, split={"test": 0.3}) for path in ("t.zarr", "other.zarr")
    )
    np.testing.assert_allclose(one.inputs, other.inputs, rtol=1e-12)
    assert one.stream is not None
    assert other.stream is not None
    assert one.stream.content == other.stream.content


def test_saved_and_loaded_again(base):
    dataset = load(base, "zarr", "t.zarr", stream=True, sample_rows=150)
    assert dataset.stream is not None
    dataset.save(base / "data")
    loaded = Dataset.load(base / "data", dataset.stream.location)
    assert loaded.digest == dataset.digest
    np.testing.assert_array_equal(TrainingRows(loaded).read(3)[0], TrainingRows(dataset).read(3)[0])
    assert len(loaded.inputs) == 150


def test_a_source_that_changed_is_refused(base):
    """Another value, of the same size: the times of the files differ."""
    dataset = load(base, "zarr", "t.zarr", stream=True)
    changed = X.copy()
    changed[700, 1] += 1
    store_zarr(base / "t.zarr", changed)
    with pytest.raises(StorageError, match=r"t\.zarr has changed since the run began"):
        TrainingRows(dataset)
    assert load(base, "zarr", "t.zarr", stream=True).digest != dataset.digest


def test_a_lost_chunk_is_refused_and_not_read_as_zeros(base):
    dataset = load(base, "zarr", "t.zarr", stream=True)
    (base / "t.zarr" / "x" / "c" / "3" / "0").unlink()
    with pytest.raises(StorageError, match="has changed"):
        TrainingRows(dataset)


def test_bad_values_are_named_by_their_row_in_the_table(base):
    x = X.copy()
    x[777, 2] = np.nan
    store_zarr(base / "nan.zarr", x)
    with pytest.raises(SpecError, match="input column 'x2' is nan in row 778; expected finite numbers"):
        load(base, "zarr", "nan.zarr", stream=True)
    store_zarr(base / "half.zarr", y=Y.round() + 0.5)
    with pytest.raises(SpecError, match="expected counts: whole numbers from 0 on"):
        load(base, "zarr", "half.zarr", "counts", stream=True)
    x[:, 2] = 4
    store_zarr(base / "flat.zarr", x)
    with pytest.raises(SpecError, match="one and the same value in all training rows"):
        load(base, "zarr", "flat.zarr", stream=True)


def test_a_chunk_larger_than_a_buffer_is_refused(base):
    """200,000 rows of one chunk and 4 numbers take 200,000 · 4 · 8 bytes = 6.1 MiB."""
    x = np.zeros((200_000, 3), dtype=np.float32)
    store_zarr(base / "big.zarr", x, x[:, 0], chunk=200_000)
    with pytest.raises(SpecError, match="a chunk of 200,000 rows takes 7 MiB; expected at most 1"):
        load(base, "zarr", "big.zarr", stream=True, buffer_mib=1)


def test_auto_streams_what_takes_more_than_a_quarter_of_memory(base, monkeypatch):
    """1,000 rows of 4 numbers take 32,000 bytes in double precision."""
    plugin, model = registry().get("data_sources", "zarr"), registry().of_kind("data_sources")["zarr"].options
    options = model.model_validate({"path": "t.zarr"})
    table = plugin.chunks(options, base)
    for limit, expected in ((128_000, False), (127_996, True)):
        monkeypatch.setattr("structflow.data.opening.memory_limit", lambda limit=limit: limit)
        assert is_streamed(options, table) is expected


@pytest.mark.parametrize("stream", [False, True])
def test_any_address_of_fsspec(base, stream):
    store_zarr("memory://tables/t.zarr")
    with fsspec.open("memory://tables/t.parquet", "wb") as file:
        store_parquet(file)
    for source in ("zarr", "parquet"):
        local = load(base, source, f"t.{source}", stream=stream)
        remote = load(base, source, f"memory://tables/t.{source}", stream=stream)
        np.testing.assert_array_equal(remote.inputs, local.inputs)
        assert load(base, source, (base / f"t.{source}").as_uri(), stream=stream).n_train == 1000


class Ranges(SimpleHTTPRequestHandler):
    """Serves a folder, and parts of its files, as web servers and object stores do."""

    def log_message(self, *arguments: Any) -> None:
        pass

    def send_head(self) -> Any:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None:
            return super().send_head()
        content = Path(self.translate_path(self.path)).read_bytes()
        begin, end = int(asked[1]), min(int(asked[2]) + 1, len(content))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(content)}")
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        return io.BytesIO(content[begin:end])

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()


@pytest.fixture
def served(base: Path) -> Iterator[str]:
    """The address of a web server that serves the folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(base)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("source", ["zarr", "parquet"])
def test_a_web_server(base, served, source, stream):
    local = load(base, source, f"t.{source}", stream=stream)
    remote = load(base, source, f"{served}/t.{source}", stream=stream)
    np.testing.assert_array_equal(remote.inputs, local.inputs)
    assert remote.digest == local.digest
    if stream:
        for chunk in (0, 3):
            for there, here in zip(TrainingRows(remote).read(chunk), TrainingRows(local).read(chunk), strict=True):
                np.testing.assert_array_equal(there, here)


def test_an_address_that_can_not_be_read(base):
    with pytest.raises(SpecError, match=r"data\.path: there is nothing at 'memory://nowhere\.parquet'"):
        load(base, "parquet", "memory://nowhere.parquet")
    with pytest.raises(SpecError, match=r"data\.path: can't open 'nosuch://a/b'.*install the package"):
        load(base, "parquet", "nosuch://a/b")
    with pytest.raises(SpecError, match=r"data\.path: 'memory://empty\.zarr' can't be read as a Zarr group"):
        load(base, "zarr", "memory://empty.zarr")


def test_a_folder_of_parquet_files_is_one_table_in_the_order_of_numbers(base):
    (base / "parts").mkdir()
    for number, begin in enumerate(range(0, 1000, 80)):
        store_parquet(base / "parts" / f"part.{number}.parquet", rows=slice(begin, begin + 80), group=30)
    for stream in (False, True):
        np.testing.assert_allclose(
            load(base, "parquet", "parts", stream=stream).inputs,
            load(base, "parquet", "t.parquet", stream=stream).inputs,
            rtol=1e-11,
        )


def test_secrets_stay_out_of_specs(monkeypatch):
    """They are named by the variable that holds them; the name is what a spec and a run directory hold."""
    model = registry().of_kind("data_sources")["zarr"].options
    with pytest.raises(ValueError, match=r"client_kwargs\.aws_secret would be written into the run directory"):
        model.model_validate({"path": "s3://b/t", "storage_options": {"client_kwargs": {"aws_secret": "hunter2"}}})
    with pytest.raises(ValueError, match="the address holds a password"):
        model.model_validate({"path": "ftp://me:hunter2@host/t"})
    options = model.model_validate({"path": "s3://b/t", "storage_options": {"secret": "$MINE", "anon": False}})
    monkeypatch.setenv("MINE", "hunter2")
    assert "hunter2" not in options.model_dump_json()
    assert with_variables(options.storage_options) == {"secret": "hunter2", "anon": False}
    monkeypatch.delenv("MINE")
    with pytest.raises(SpecError, match="the environment variable MINE, which isn't set"):
        with_variables(options.storage_options)


def test_moments_of_parts_are_those_of_the_whole():
    """Chan's merge against NumPy in float64 on values whose mean is a million of their deviations away."""
    values = 1e6 + np.random.default_rng(0).normal(size=(10_000, 2))
    merged = RunningMoments.of(values[:1])
    for part in np.array_split(values[1:], 37):
        merged = merged.merged(RunningMoments.of(part))
    np.testing.assert_allclose(merged.mean, values.mean(0), rtol=1e-14)
    np.testing.assert_allclose(merged.deviation, values.std(0), rtol=1e-9)
    np.testing.assert_allclose(merged.together().deviation, np.full(2, values.std()), rtol=1e-9)
    assert RunningMoments.of(np.full((5, 1), 0.1)).merged(RunningMoments.of(np.full((7, 1), 0.1))).deviation == 0.0


def test_row_samples_are_uniform_and_do_not_depend_on_pieces():
    """Each of 50 rows is among 10 drawn in a fifth of 400 keys: standard deviation √(0.2 · 0.8 / 400) = 0.02."""
    counts = np.zeros(50)
    values = np.arange(50.0).reshape(-1, 1)
    for key in range(400):
        sample = RowSample(str(key), 10)
        for begin in range(0, 50, 7):
            part = values[begin : begin + 7]
            sample.offer(begin, np.ones(len(part), dtype=bool), part, part)
        found = sample.rows()
        assert found is not None
        assert len(found[0]) == 10
        np.testing.assert_array_equal(np.sort(row_hashes(str(key), 0, 50).argsort()[:10]), found[0])
        counts[found[0]] += 1
    assert np.abs(counts / 400 - 0.2).max() < 5 * 0.02


def test_the_split_of_a_table_beyond_a_permutation():
    """A share 0.2 of 5 million: standard deviation √(0.16 / 5e6) = 0.00018; the last rows are exact."""
    split = StreamSplit(5_000_000, SplitOptions(test=0.2))
    held_out = split.held_out(0, 5_000_000)
    assert abs(held_out.mean() - 0.2) < 5 * 0.00018
    np.testing.assert_array_equal(split.held_out(1234, 5678), held_out[1234:5678])
    last = StreamSplit(5_000_000, SplitOptions(test=0.2, rows="last")).held_out(3_999_998, 4_000_002)
    np.testing.assert_array_equal(last, [False, False, True, True])
