"""How far the forecasts of time that `structflow plan` prints are from what runs take, on the specs of this repository.

    python docs/benchmarks/forecasts.py [--most SECONDS] [SPEC …]

Each spec is run in a process of its own with one thread and an empty compiler's cache. What is compared is the time of
the processor, so that other work on the machine counts little. Specs whose forecast is above `--most` are named and
left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPECS = Path(__file__).parents[2] / "specs"

RUN = """
import json, os, sys, tempfile
import structflow
times = lambda: sum(os.times()[:4])
started = times()
with tempfile.TemporaryDirectory() as folder:
    run = structflow.run(sys.argv[1], folder + "/run")
    estimate = run.context.plan.seconds
    print(json.dumps({"forecast": estimate, "measured": times() - started}))
"""


def forecast_of(spec: Path) -> float:
    """Seconds that the plan of a spec names, for one thread."""
    from structflow.runner.driver import plan_study
    from structflow.spec.load import load_study

    return plan_study(load_study(spec), threads=1).seconds


def measured(spec: Path) -> dict[str, float]:
    """Forecast and processor seconds of a run of a spec."""
    with tempfile.TemporaryDirectory(prefix="structflow-forecasts-") as cache:
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": cache
        }  # fmt: skip
        called = subprocess.run(
            [sys.executable, "-c", RUN, str(spec)], env=environment, capture_output=True, text=True, check=False
        )
    if called.returncode:
        raise RuntimeError(f"{spec} failed:\n{called.stderr}")
    found: dict[str, float] = json.loads(called.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run the specs and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="*", type=Path)
    parser.add_argument("--most", type=float, default=300.0, metavar="SECONDS")
    options = parser.parse_args()
    print(f"{'spec':40} {'forecast':>10} {'measured':>10}  ratio", flush=True)
    for spec in options.specs or sorted(SPECS.rglob("*.yaml")):
        name = str(spec.resolve().relative_to(SPECS))
        if (forecast := forecast_of(spec)) > options.most:
            print(f"{name:40} {forecast:8.0f} s  left out", flush=True)
            continue
        started = time.monotonic()
        found = measured(spec)
        ratio, clock = found["forecast"] / found["measured"], time.monotonic() - started
        took = f"{found['forecast']:8.0f} s {found['measured']:8.0f} s"
        print(f"{name:40} {took}  {ratio:.2f}   ({clock:.0f} s by the clock)", flush=True)


if __name__ == "__main__":
    main()
