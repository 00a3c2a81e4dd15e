"""Whether a change of the code changed any number: what every spec finds with small settings, in double precision.

    python tests/specs/same_results.py record [SPEC …]      # write results.json
    python tests/specs/same_results.py compare [SPEC …]     # name what differs by more than 1e-9

Recorded are the ranking, with evidences, probabilities and metrics, and a digest of every array of `result.zarr`. The
numbers are compared; digests of arrays only say which spec to look at. It ends with 1 where a number differs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

import studies
from specs.test_specs_run import small_settings

import structflow

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("results.json")
TOLERANCE = 1e-9
MOST = 40
"""Structures of a ranking that are kept."""

SETTINGS = ["compute.dtype=float64", "optimizer.inner.steps=40", "optimizer.restarts=2"]
KEYS = ("structure", "log_evidence", "log_evidence_se", "evidence", "probability", "c_param", "c_struct", "metrics")


def spec_paths() -> list[Path]:
    """Every spec of the project and of its plugins."""
    return sorted([*(ROOT / "specs").rglob("*.yaml"), *ROOT.glob("plugins/*/specs/**/*.yaml")])


def found_in(path: Path) -> dict[str, Any]:
    """What a spec finds with small settings."""
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        run = structflow.run(path, f"{folder}/run", overrides=[*small_settings(spec), *SETTINGS])
        ranking = [{key: entry[key] for key in KEYS if key in entry} for entry in run.ranking[:MOST]]
        arrays = studies.result_digests(run.path)
    return {"n_structures": run.summary["n_structures"], "ranking": ranking, "arrays": arrays}


def differences(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """What differs between two records, as sentences."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            if key not in before or key not in now:
                yield f"{where}.{key}: only {'now' if key in now else 'before'}"
            else:
                yield from differences(before[key], now[key], f"{where}.{key}")
    elif isinstance(before, list) and isinstance(now, list):
        if len(before) != len(now):
            yield f"{where}: {len(before)} before, {len(now)} now"
        for number, pair in enumerate(zip(before, now, strict=False)):
            yield from differences(*pair, f"{where}[{number}]")
    elif isinstance(before, float) and isinstance(now, float):
        if not (math.isclose(before, now, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (before != before and now != now)):
            yield f"{where}: {before!r} before, {now!r} now"
    elif before != now:
        yield f"{where}: {before!r} before, {now!r} now"


def main() -> int:
    """Record or compare; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["record", "compare"])
    parser.add_argument("specs", nargs="*", type=Path)
    options = parser.parse_args()
    stored = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    different = 0
    for path in [each.resolve() for each in options.specs] or spec_paths():
        name, started = path.relative_to(ROOT).as_posix(), time.monotonic()
        found = json.loads(json.dumps(found_in(path)))
        took = f"({time.monotonic() - started:.0f} s)"
        if options.command == "record":
            stored[name] = found
            FILE.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
            print(f"{name}: {len(found['ranking'])} structures {took}", flush=True)
            continue
        before = stored.get(name, {"ranking": [], "arrays": {}})
        changed = list(differences(before["ranking"], found["ranking"], "ranking"))
        arrays = sum(found["arrays"].get(key) != value for key, value in before["arrays"].items())
        different += bool(changed)
        print(f"{name}: {'different' if changed else 'the same'}; {arrays} arrays in other bits {took}", flush=True)
        for line in changed[:20]:
            print(f"    {line}", flush=True)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
