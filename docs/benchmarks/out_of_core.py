"""Train on a table larger than memory: a Zarr table of 20 GB, 500 minibatches, and the most memory that took.

    python docs/benchmarks/out_of_core.py [--gigabytes 20] [--folder /tmp] [--keep]

The table has 99 inputs and a target in float32, of few different values, so that it is small on disk. The study runs in
a process of its own, whose peak of resident memory is that of `VmHWM` in /proc, which counts no other process.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr

INPUTS = 99
CHUNK_ROWS = 50_000
"""Rows of a chunk: 40 MB in double precision."""

DIFFERENT_CHUNKS = 40
"""Chunks that are computed; the others repeat them."""

PROGRAM = """
import json, sys, time
import structflow
from structflow.data.opening import watching

passed = []
started = time.perf_counter()
with watching(lambda done, rows: passed.append((time.perf_counter(), time.process_time()))):
    run = structflow.run(json.loads(sys.argv[1]), sys.argv[2])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
seconds = {task.stem: json.loads(task.read_text())["seconds"] for task in (run.path / "records").glob("*.json")}
print(json.dumps({
    "peak_mib": int(status["VmHWM"].split()[0]) / 1024,
    "pass_seconds": passed[-1][0] - started,
    "pass_processor_seconds": passed[-1][1],
    "processor_seconds": time.process_time(),
    "seconds": time.perf_counter() - started,
    "training_seconds": sum(value for name, value in seconds.items() if "train" in name),
    "rows": run.summary.rows.model_dump(),
    "ranking": [[entry["structure"]["x->h"], entry["log_evidence"], entry["log_evidence_se"], entry["tied_with_best"]]
                for entry in run.ranking],
}))
"""


def make_table(path: Path, rows: int) -> None:
    """y = tanh(x0 + x1) + 0.3 ε with inputs of 16 different values, in whole chunks.

    The first chunks are computed, the others are copies of their files: it saves most of the time that it takes to
    make the table, and none of the time that it takes to read it.
    """
    group = zarr.open_group(path, mode="w")
    chunks = -(-rows // CHUNK_ROWS)
    shapes = {"x": (chunks * CHUNK_ROWS, INPUTS), "y": (chunks * CHUNK_ROWS,)}
    arrays = {
        name: group.create_array(name, shape=shape, dtype="float32", chunks=(CHUNK_ROWS, *shape[1:]))
        for name, shape in shapes.items()
    }
    generator = np.random.default_rng(0)
    for chunk in range(min(DIFFERENT_CHUNKS, chunks)):
        x = np.zeros((CHUNK_ROWS, INPUTS), dtype=np.float32)
        x[:, :2] = generator.integers(-8, 8, size=(CHUNK_ROWS, 2)) / 8
        others = generator.integers(-8, 8, size=(CHUNK_ROWS, 1)) / 8
        x[:, 2:] = others * np.where(np.arange(INPUTS - 2) % 2, 1, -1)
        here = slice(chunk * CHUNK_ROWS, (chunk + 1) * CHUNK_ROWS)
        arrays["x"][here] = x
        arrays["y"][here] = np.tanh(x[:, 0] + x[:, 1]) + 0.3 * generator.integers(-2, 3, size=CHUNK_ROWS)
    for chunk in range(DIFFERENT_CHUNKS, chunks):
        for name, file in (("x", "0"), ("y", "")):
            source, target = (path / name / "c" / str(number) / file for number in (chunk % DIFFERENT_CHUNKS, chunk))
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)


def study(path: Path, steps: int) -> dict[str, Any]:
    """Two activations of ten units, two starts each, all in one batch."""
    hidden = [{"type": "dense", "activation": name} for name in ("tanh", "relu")]
    return {
        "structflow": 1,
        "name": "out-of-core",
        "data": {"source": "zarr", "path": str(path), "stream": True, "split": {"test": 0.1}},
        "model": {
            "nodes": {"x": {}, "h": {"shape": [10]}, "y": {}},
            "edges": [
                {"from": "x", "to": "h", "choose": "one", "basis": hidden},
                {"from": "h", "to": "y", "basis": ["linear"]},
            ],
        },
        "optimizer": {"inner": {"steps": steps, "batch_size": 512}, "restarts": 2},
        "evidence": {"samples": 64},
        "compute": {"compile": False},
    }


def measured(path: Path, directory: Path, steps: int = 500) -> dict[str, Any]:
    """What a process that carries the study out tells of itself."""
    arguments = [sys.executable, "-c", PROGRAM, json.dumps(study(path, steps)), str(directory)]
    called = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(called.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Make the table, run the study and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--keep", action="store_true", help="leave the table and the run where they are")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    rows = round(options.gigabytes * 1e9 / (4 * (INPUTS + 1)))
    try:
        started = time.perf_counter()
        make_table(folder / "table.zarr", rows)
        rows = zarr.open_array(folder / "table.zarr" / "y", mode="r").shape[0]
        stored = sum(file.stat().st_size for file in (folder / "table.zarr").rglob("*") if file.is_file())
        print(f"{rows:,} rows, {rows * 4 * (INPUTS + 1) / 1e9:.1f} GB, {stored / 1e9:.2f} GB on disk", end="")
        print(f", made in {time.perf_counter() - started:.0f} s", flush=True)
        found = measured(folder / "table.zarr", folder / "run")
        print(f"the pass over the table: {found['pass_seconds']:.0f} s", end="")
        print(f", {found['pass_processor_seconds']:.0f} s of a processor; training: {found['training_seconds']:.0f} s")
        print(f"all of it: {found['seconds']:.0f} s, {found['processor_seconds']:.0f} s of processors", end="")
        print(f"; most memory: {found['peak_mib']:,.0f} MiB")
        print(f"rows: {found['rows']}")
        for structure, evidence, error, tied in found["ranking"]:
            print(f"  {structure[0]}: {evidence:,.0f} ± {error:,.0f}{', tied' if tied else ''}")
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
