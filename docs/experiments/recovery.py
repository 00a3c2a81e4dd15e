"""How often is the structure that made the data found? 50 tables from random structures of three edges.

    python docs/experiments/recovery.py [FOLDER] [TABLES]

For every table a structure of specs/search/three-edges.yaml and its weights are drawn. The evidence ranks the twelve
structures after 6 starts of each; 5-fold cross-validation of point estimates has the same number of gradient steps, one
start of each of its 5 folds and of all rows. A structure counts as found if it computes the same class of functions as
the one that made the table: twelve structures make six classes, because behind h→y = zero the unit doesn't matter, and
two linear maps are one. Ten minutes on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import structflow

SPEC = Path("specs/search/three-edges.yaml")
CRITERIA: dict[str, dict[str, Any]] = {
    "evidence": {},
    "cross-validation": {
        "objective": {"preset": "cross_validation", "folds": 5},
        "optimizer": {"restarts": 1, "inner": {"steps": 600, "lr": 0.03}},
    },
}


def function_class(structure: dict[str, str]) -> tuple[str, bool]:
    """What a structure computes: its hidden nonlinearity, or none, and whether it has a linear part."""
    unit = structure["x->h"] if structure["h->y"] != "zero" else "zero"
    linear = structure["x->y"] != "zero" or unit == "linear"
    return ("none" if unit in ("zero", "linear") else unit.removeprefix("dense:"), linear)


def random_table(seed: int) -> tuple[dict[str, str], str]:
    """A structure, drawn uniformly, and the formula of a function of it.

    The unit's weights have a direction drawn uniformly and a length from U(1.5, 3), its bias is from U(−1, 1), the
    coefficients of the output have random signs and sizes from U(1, 2).
    """
    generator = np.random.default_rng(seed)
    structure = {
        "x->h": str(generator.choice(["linear", "tanh", "relu"])),
        "h->y": str(generator.choice(["zero", "linear"])),
        "x->y": str(generator.choice(["zero", "linear"])),
    }

    def size() -> float:
        return float(generator.choice([-1, 1]) * generator.uniform(1, 2))

    angle, length, bias = generator.uniform(0, 2 * np.pi), generator.uniform(1.5, 3), generator.uniform(-1, 1)
    unit = f"{length * np.cos(angle):.3f} * x0 + {length * np.sin(angle):.3f} * x1"
    if structure["x->h"] != "linear":
        unit = f"{structure['x->h']}({unit} + {bias:.3f})"
    terms = ["0 * x0"]
    if structure["h->y"] == "linear":
        terms.append(f"{size():.3f} * {unit}" if "(" in unit else f"{size():.3f} * ({unit})")
    if structure["x->y"] == "linear":
        terms.append(f"{size():.3f} * x0 + {size():.3f} * x1")
    return structure, " + ".join(terms)


def main() -> None:
    """Search every table by both criteria and count."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/recovery")
    tables = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    spec = yaml.safe_load(SPEC.read_text(encoding="utf-8"))
    found = dict.fromkeys(CRITERIA, 0)
    exact = dict.fromkeys(CRITERIA, 0)
    for seed in range(tables):
        structure, formula = random_table(seed)
        truth, words = function_class(structure), []
        for name, changed in CRITERIA.items():
            study = {**spec, **changed, "seed": seed, "data": {**spec["data"], "formula": formula, "seed": seed}}
            ranking = structflow.run(study, folder / f"{name}-{seed}").ranking
            chosen = {key: (value or ["zero"])[0] for key, value in ranking[0]["structure"].items()}
            found[name] += function_class(chosen) == truth
            made = {**structure, "x->h": "zero"} if structure["h->y"] == "zero" else structure  # then h has no use
            exact[name] += all(chosen[key].removeprefix("dense:") == value for key, value in made.items())
            words.append(f"{name}: {function_class(chosen)}{'' if function_class(chosen) == truth else ' WRONG'}")
        print(f"{seed:3} made by {truth}; {'; '.join(words)}", flush=True)
    for name in CRITERIA:
        print(f"{name}: the same function in {found[name]} of {tables}, the same structure in {exact[name]}")


if __name__ == "__main__":
    main()
