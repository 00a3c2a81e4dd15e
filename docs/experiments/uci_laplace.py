"""Four tanh networks on UCI tables under the posterior `laplace`: evidence, and test log likelihood and RMSE of each.

    python docs/experiments/uci_laplace.py FOLDER [--tables yacht energy] [--splits 0] [--steps 2000] [--restarts 2]

FOLDER holds NAME.csv, with the target in the last column, and NAME.json, with the row numbers of the test rows of every
split in `test_rows`: the tables and splits of Hernández-Lobato and Adams, "Probabilistic backpropagation for scalable
learning of Bayesian neural networks" (2015), whose code has them. No training row is held out: structures and
hyperparameters follow from the evidence.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import structflow

NETWORKS = {"10": [10], "50": [50], "25, 25": [25, 25]}


def ordered_rows(folder: Path, name: str, split: int) -> tuple[np.ndarray, int]:
    """A table with the test rows of a split behind the others, and how many these are."""
    table = np.loadtxt(folder / f"{name}.csv", delimiter=",", skiprows=1)
    test = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["test_rows"][split]
    train = np.setdiff1d(np.arange(len(table)), test)
    return table[np.concatenate([train, test])], len(test)


def spec_of(path: Path, share: float, widths: list[int], steps: int, restarts: int) -> dict[str, Any]:
    """One network with a precision for each function, and learned noise."""
    names = ["x", *(f"h{number}" for number in range(len(widths))), "y"]
    nodes = dict(zip(names[1:-1], ({"shape": [width]} for width in widths), strict=True))
    edges = [
        {
            "from": source,
            "to": target,
            "basis": ["linear" if target == "y" else {"type": "dense", "activation": "tanh"}],
        }
        for source, target in itertools.pairwise(names)
    ]
    return {
        "structflow": 1,
        "name": "uci-laplace",
        "data": {"source": "npz", "path": str(path), "split": {"test": share, "rows": "last"}},
        "model": {"nodes": {"x": {}, **nodes, "y": {}}, "edges": edges},
        "prior": {"weights": {"precision": "per_function"}},
        "posterior": {"weights": "laplace"},
        "optimizer": {"inner": {"steps": steps}, "restarts": restarts},
        "compute": {"device": "cpu"},
    }


def main() -> None:
    """Print a line for every network, table and split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", nargs="+", default=["yacht", "energy"])
    parser.add_argument("--splits", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--restarts", type=int, default=2)
    called = parser.parse_args()
    for name in called.tables:
        for split in called.splits:
            table, n_test = ordered_rows(called.folder, name, split)
            for label, widths in NETWORKS.items():
                begun = time.perf_counter()
                with tempfile.TemporaryDirectory(prefix="uci-laplace-") as folder:
                    path = Path(folder) / "table.npz"
                    np.savez(path, x=table[:, :-1], y=table[:, -1:])
                    document = spec_of(path, n_test / len(table), widths, called.steps, called.restarts)
                    (entry,) = structflow.run(document, Path(folder) / "run").ranking
                test = entry["metrics"]["test"]
                print(
                    f"{name} {split}, tanh {label}: log evidence {entry['log_evidence']:.1f}, test log likelihood "
                    f"{test['log_likelihood']:.2f}, RMSE {test['rmse']:.3f} ({time.perf_counter() - begun:.0f} s)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
