"""E5: how many single weights can go? Curves of quality against the share of weights removed.

    python docs/experiments/weight_pruning.py wine [FOLDER] [SPLITS]
    python docs/experiments/weight_pruning.py once [FOLDER]

`wine` runs specs/e5-wine.yaml for so many splits of the rows (20), and prints for every criterion the mean accuracy on
the test rows by the share of weights removed, with its standard error, and its fall from the whole network, paired by
split. `once` runs the specs in which weights are removed without training again, specs/e5-*-at-once.yaml, and prints
their curves. The numbers go into `wine.json` and `once.json` in FOLDER, by default runs/e5, from where
docs/figures/weight_pruning.py draws them. A run that is there is left as it is, so that splits can be run apart and put
together. Hours rather than minutes where the cores are shared.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import structflow
from structflow.results.models import SettingSummary

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"
ONCE = ("e5-wine-at-once", "e5-boston-at-once", "e5-correlated-at-once")
Curves = dict[str, dict[float, float]]
"""A number by criterion and share of the weights removed."""


def retrained_curves(settings: Iterable[Mapping[str, Any]], metric: str = "accuracy") -> Curves:
    """A metric on the test rows after every round of `weight_pruning`, by the criterion of each setting of a run."""
    return {
        setting["values"]["regime.criterion"]: {
            round(1 - stage["removal"]["left"] / stage["removal"]["weights"], 3): stage["removal"]["metrics"]["test"][
                metric
            ]
            for stage in setting["stages"]
        }
        for setting in settings
    }


def wine(folder: Path, splits: Iterable[int], overrides: Sequence[str] = ()) -> list[Curves]:
    """The curves of every split of the rows."""
    found = []
    for split in splits:
        changes = [f"data.split.seed={split}", f"seed={split}", *overrides]
        run = structflow.run(SPECS / "e5-wine.yaml", folder / f"wine-{split}", overrides=changes)
        found.append(retrained_curves(run.summary["settings"]))
    return found


def mean_table(splits: Sequence[Curves]) -> list[dict[str, Any]]:
    """For every criterion and share: the mean over splits, its standard error, the mean fall from the whole network."""
    rows = []
    for criterion, curve in splits[0].items():
        for share in curve:
            values = np.array([each[criterion][share] for each in splits])
            falls = np.array([each[criterion][0.0] for each in splits]) - values
            spread = np.sqrt(len(splits))
            rows.append(
                {
                    "criterion": criterion,
                    "share": share,
                    "mean": float(values.mean()),
                    "error": float(values.std(ddof=1) / spread) if len(splits) > 1 else None,
                    "fall": float(falls.mean()),
                    "fall_error": float(falls.std(ddof=1) / spread) if len(splits) > 1 else None,
                }
            )
    return rows


def once(folder: Path, overrides: Sequence[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """What is removed without training again, by spec: for each setting its values and the curves of its structure."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in ONCE:
        summary = structflow.run(SPECS / f"{name}.yaml", folder / name, overrides=overrides).summary
        found[name] = [
            {
                "values": setting.values if isinstance(setting, SettingSummary) else {},
                "log_evidence": setting.ranking[0].log_evidence,
                "criteria": setting.relevance[0].model_dump()["criteria"],
            }
            for setting in summary.each_setting
        ]
    return found


def print_means(rows: Sequence[Mapping[str, Any]]) -> None:
    """A line a criterion, a column a share: mean ± error, and in brackets the fall."""
    shares = list(dict.fromkeys(row["share"] for row in rows))
    print("| criterion | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    print("|---" * (len(shares) + 1) + "|")
    for criterion in dict.fromkeys(row["criterion"] for row in rows):
        cells = [
            f"{row['mean']:.3f}" + ("" if row["error"] is None else f" ± {row['error']:.3f}")
            for row in rows
            if row["criterion"] == criterion
        ]
        print(f"| {criterion} | " + " | ".join(cells) + " |")
    for row in rows:
        if abs(row["share"] - 0.8) < 0.01:
            error = "" if row["fall_error"] is None else f" ± {row['fall_error']:.3f}"
            print(f"{row['criterion']}: {row['fall']:.3f}{error} below the whole network at {row['share']:.0%}")


def print_once(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Every curve: the first metric of the test rows by the share removed."""
    for name, settings in found.items():
        for setting in settings:
            print(f"{name} {setting['values'] or ''}: log evidence {setting['log_evidence']:.1f}")
            for criterion, curve in setting["criteria"].items():
                metric = next(iter(curve["metrics"]["test"]))
                pairs = zip(curve["share"], curve["metrics"]["test"][metric], strict=True)
                print(f"  {criterion} {metric}: " + ", ".join(f"{share:.0%} {value:.3f}" for share, value in pairs))


def main(arguments: Sequence[str]) -> None:
    """Run what was asked for."""
    if not arguments or arguments[0] not in ("wine", "once"):
        raise SystemExit("usage: python docs/experiments/weight_pruning.py wine|once [FOLDER] [SPLITS]")
    folder = Path(arguments[1]) if len(arguments) > 1 else Path("runs/e5")
    if arguments[0] == "wine":
        splits = wine(folder, range(int(arguments[2]) if len(arguments) > 2 else 20))
        rows = mean_table(splits)
        print_means(rows)
        written: Any = {"splits": len(splits), "rows": rows}
    else:
        written = once(folder)
        print_once(written)
    (folder / f"{arguments[0]}.json").write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
