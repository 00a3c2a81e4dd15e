"""Growth and pruning against exhaustive enumeration on a space of 2,980 structures (specs/search/six-edges.yaml).

    python docs/experiments/search.py [FOLDER] [FIRST_SEED] [SEEDS]

For every seed a structure of the space and its weights are drawn, a table of 60 rows is generated from it, and the
three regimes search the same space on the same table. Printed are the log evidence of the best structure that each
found, the gap to the best of the enumeration, and how many structures were trained. Runs are kept in FOLDER, and the
same command goes on with unfinished ones. Ten seeds take an hour on one core.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import structflow
from structflow.data.formula import parse_formula

SPEC = Path("specs/search/six-edges.yaml")
REGIMES: dict[str, dict[str, Any]] = {
    "enumeration": {"regime": {"type": "enumeration"}},
    "growth": {"regime": {"type": "growth", "beam": 3, "max_structures": 400}},
    "pruning": {
        "regime": {"type": "pruning", "finalists": 16},
        "optimizer": {"restarts": 8, "inner": {"steps": 600, "lr": 0.03}},
    },
}
LEAST_SPREAD = 0.7
"""A generating function whose values vary less than this is drawn anew: it could be told from noise by no one."""


@dataclass(frozen=True)
class Generator:
    """A structure, as its function on every edge, and the formula of what it computes."""

    structure: dict[str, str]
    formula: str


def random_generator(spec: dict[str, Any], seed: int) -> Generator:
    """Functions drawn uniformly on every edge, weights from N(0, 1.5²), until the output varies enough."""
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(2_000, 3))
    while True:
        structure: dict[str, str] = {}
        terms: dict[str, list[str]] = {"a": [], "b": [], "y": []}
        for edge in spec["model"]["edges"]:
            basis = edge["basis"][generator.integers(4)]
            name = basis if isinstance(basis, str) else basis["activation"]
            structure[f"{edge['from']}->{edge['to']}"] = name
            sources = ["x0", "x1", "x2"] if edge["from"] == "x" else [total(terms[edge["from"]])]
            if name != "zero":
                terms[edge["to"]].append(function_of(name, sources, generator))
        formula = total(terms["y"])
        if float(np.std(parse_formula(formula, 3)(inputs))) >= LEAST_SPREAD:
            return Generator(structure, formula)


def function_of(name: str, sources: list[str], generator: np.random.Generator) -> str:
    """w·s, or activation(w·s + b), of these sources as text."""
    products = [f"{generator.normal(0, 1.5):.3f} * ({source})" for source in sources]
    if name == "linear":
        return " + ".join(products)
    return f"{name}({' + '.join(products)} + {generator.normal(0, 1.5):.3f})"


def total(terms: list[str]) -> str:
    """The sum of terms as text."""
    return " + ".join(terms) if terms else "0.0 * x0"


def search(spec: dict[str, Any], seed: int, folder: Path) -> dict[str, dict[str, Any]]:
    """What each regime found on the table of one seed."""
    generator = random_generator(spec, seed)
    print(f"seed {seed}: {generator.structure}", flush=True)
    found = {}
    for name, changed in REGIMES.items():
        study = {**spec, **changed, "seed": seed, "data": {**spec["data"], "formula": generator.formula, "seed": seed}}
        begun = time.perf_counter()
        run = structflow.run(study, folder / f"{name}-{seed}")
        best = run.ranking[0]
        found[name] = {
            "log_evidence": best["log_evidence"],
            "se": best["log_evidence_se"],
            "structures": len(run.ranking),
            "structure": {key: (value or ["∅"])[0] for key, value in best["structure"].items()},
            "seconds": time.perf_counter() - begun,
        }
        print(
            f"  {name:12} {best['log_evidence']:9.2f} ± {best['log_evidence_se']:.2f}"
            f"  {len(run.ranking):5} structures  {found[name]['seconds']:5.0f} s  {found[name]['structure']}",
            flush=True,
        )
    return found


def main() -> None:
    """Search for every seed and count how often the bars are met."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/search")
    first, seeds = (int(value) for value in (*sys.argv[2:4], *("0", "10")[len(sys.argv[2:4]) :]))
    spec = yaml.safe_load(SPEC.read_text(encoding="utf-8"))
    results = [search(spec, seed, folder) for seed in range(first, first + seeds)]
    for name, allowed in (("growth", 0.5), ("pruning", 1.0)):
        gaps, met = [], 0
        for found in results:
            best, other = found["enumeration"], found[name]
            gap = best["log_evidence"] - other["log_evidence"]
            error = 2 * math.hypot(best["se"], other["se"]) if name == "growth" else 0.0
            met += gap <= max(allowed, error)
            gaps.append(gap)
        trained = max(found[name]["structures"] for found in results)
        print(
            f"{name}: within {allowed} nats of the best of the enumeration in {met} of {len(results)}; gaps "
            f"{', '.join(f'{gap:.2f}' for gap in gaps)}; at most {trained} of 2,980 structures ({trained / 2980:.1%})"
        )


if __name__ == "__main__":
    main()
