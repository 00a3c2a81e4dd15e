"""What a plan of thousands of tasks takes: time a task, and the memory of the driver and of the workers.

Two structures, linear and constant on 20 rows, from N restarts, each a batch of its own: 4 N + 2 tasks. Run it with

    python docs/benchmarks/many_tasks.py [--restarts N] [--workers W] [--steps S] [--json]

The default of 5,000 restarts makes 20,002 tasks. The scheduler is part of the driver; with --scheduler it is a process
of its own, started with `dask scheduler`, and so are the workers. What counts as memory is the most that a process had
resident (VmHWM of /proc, so this needs Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

STRUCTURES = 2


def spec(restarts: int, steps: int) -> dict[str, Any]:
    """The study that is carried out."""
    return {
        "name": "many-tasks",
        "data": {"source": "synthetic", "rows": 20, "inputs": 1, "formula": "tanh(x0)", "noise": 0.5},
        "model": {
            "likelihood": {"type": "gaussian", "noise": 0.5},
            "nodes": {"x": {}, "y": {}},
            "edges": [{"from": "x", "to": "y", "choose": "one", "basis": ["linear", "constant"]}],
        },
        "optimizer": {"inner": {"steps": steps}, "restarts": restarts},
        "evidence": {"samples": 16},
        "compute": {"compile": False, "members_per_batch": 1},
    }


def measure(restarts: int, workers: int, steps: int, apart: bool) -> dict[str, Any]:
    """Carry the study out and look at the processes that do."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="structflow-") as name, ExitStack() as stack:
        folder, run = Path(name), Path(name) / "run"
        (folder / "spec.yaml").write_text(yaml.safe_dump(spec(restarts, steps)), encoding="utf-8")
        where = ["--workers", str(workers)]
        watched: dict[str, int] = {}
        if apart:
            where = ["--scheduler", start_cluster(stack, folder, workers, environment, watched)]
        command = [Path(sys.executable).with_name("structflow"), "run", folder / "spec.yaml", "-o", run, "--quiet"]
        begun = time.perf_counter()
        process = subprocess.Popen([*map(str, command), *where], env=environment)
        watched["driver"] = process.pid
        memory: dict[str, float] = {}
        first = None
        while process.poll() is None:
            for role, pid in {**watched, **workers_below(process.pid)}.items():
                memory[role] = max(memory.get(role, 0.0), most_resident(pid))
            if first is None and any((run / "records").glob("*.json")):
                first = time.perf_counter() - begun
            time.sleep(0.5)
        whole = time.perf_counter() - begun
        if process.returncode:
            raise SystemExit(f"the run ended with {process.returncode}")
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
        files = sum(len(names) for _, _, names in os.walk(run))
    tasks = 2 * STRUCTURES * restarts + 2
    return {
        "tasks": tasks,
        "workers": workers,
        "to_first_record": first,
        "seconds": float(summary["seconds"]),
        "whole": whole,
        "milliseconds_a_task": 1000 * float(summary["seconds"]) * workers / tasks,
        "files_a_task": files / tasks,
        "mib": {role: round(size) for role, size in sorted(memory.items())},
    }


def start_cluster(
    stack: ExitStack, folder: Path, workers: int, environment: dict[str, str], watched: dict[str, int]
) -> str:
    """A scheduler and its workers, ended with the stack; returns the scheduler's address."""
    address_file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    arguments = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file"]
    commands = {"scheduler": [*dask, *arguments, str(address_file)]}
    for number in range(workers):
        commands[f"worker {number}"] = [
            *dask, "worker", "--scheduler-file", str(address_file), "--nthreads", "1", "--no-nanny", "--no-dashboard",
            "--preload", "structflow.runner.run_task",
        ]  # fmt: skip
    for role, command in commands.items():
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.kill)
        watched[role] = process.pid
    while not (address_file.exists() and address_file.stat().st_size):
        time.sleep(0.1)
    return str(json.loads(address_file.read_text(encoding="utf-8"))["address"])


def workers_below(driver: int) -> dict[str, int]:
    """The processes of a driver's own workers: those that it started, by the order of their numbers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cmdline").read_text()
            if "spawn_main" in text and parent_of(folder) == driver:
                found.append(int(folder.name))
        except OSError:
            continue
    return {f"worker {number}": pid for number, pid in enumerate(sorted(found))}


def parent_of(folder: Path) -> int:
    """The number of a process's parent."""
    return int((folder / "stat").read_text().rpartition(")")[2].split()[1])


def most_resident(pid: int) -> float:
    """The most memory that a process had resident so far, in MiB; 0 once it has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--restarts", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--scheduler", action="store_true", help="scheduler and workers are processes of their own")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.restarts, arguments.workers, arguments.steps, arguments.scheduler)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{found['tasks']:,} tasks on {found['workers']} workers: {found['seconds']:,.0f} s")
    print(f"first record {found['to_first_record']:.1f} s after the command was given; {found['whole']:,.0f} s in all")
    print(f"{found['milliseconds_a_task']:.1f} ms of a worker and {found['files_a_task']:.1f} files a task")
    print("most memory: " + ", ".join(f"{role} {size:,} MiB" for role, size in found["mib"].items()))


if __name__ == "__main__":
    main()
