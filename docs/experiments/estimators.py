"""Estimators of log evidence beside each other. Prints the tables of the docs and draws docs/figures/estimators.png.

    python docs/experiments/estimators.py          # about six minutes on one core

Three studies. Polynomials, which are linear in their weights, so that `exact` is the reference. Networks of one to
three tanh units on 30 rows, where annealed importance sampling with many temperatures is. And the table of bicycle
rides of specs/own-csv, where the mean-field bound puts a smaller structure before the one that made the data.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import structflow

ROOT = Path(__file__).parents[2]
FIGURE = ROOT / "docs" / "figures" / "estimators.png"
RIDES = ROOT / "specs" / "own-csv" / "spec.yaml"

BOUNDS: list[Any] = ["elbo", *({"type": "iwelbo", "k": k} for k in (10, 100, 1000))]
LAPLACE: list[Any] = ["laplace", *({"type": "laplace", "hessian": hessian} for hessian in ("ggn", "diagonal"))]
DESCENTS: list[Any] = ["sgd_entropy", "sgld_entropy"]
SAMPLES = 20_000


def ais(temperatures: int, **options: Any) -> dict[str, Any]:
    """Annealed importance sampling with so many temperatures."""
    return {"type": "ais", "temperatures": temperatures, **options}


def linear_spec(estimators: Sequence[Any], steps: int = 1000, samples: int = SAMPLES) -> dict[str, Any]:
    """Powers of x up to degree 2, 4 or 6 on 40 rows: linear in their weights, which are correlated; q is diagonal."""
    basis = [{"type": "polynomial", "family": "power", "degree": degree} for degree in (2, 4, 6)]
    return {
        "structflow": 1,
        "name": "estimators-linear",
        "data": {
            "source": "synthetic", "rows": 40, "inputs": 1, "distribution": "uniform",
            "formula": "1 - x0 + 2 * x0 ** 3", "noise": 0.3, "standardize": {"inputs": False, "targets": False},
        },
        "model": {
            "likelihood": {"type": "gaussian", "noise": 0.3},
            "edges": [{"from": "x", "to": "y", "choose": "one", "basis": basis}],
        },
        "prior": {"weights": {"precision": 1.0}},
        "optimizer": {"inner": {"steps": steps}, "restarts": 1},
        "evidence": {"estimators": list(estimators), "samples": samples},
    }  # fmt: skip


def tanh_spec(
    estimators: Sequence[Any], units: Sequence[int] = (1, 2, 3), steps: int = 3000, samples: int = SAMPLES
) -> dict[str, Any]:
    """One hidden layer of so many tanh units on 30 rows of tanh(2x) with noise; noise and prior are fixed."""
    return {
        "structflow": 1,
        "name": "estimators-tanh",
        "data": {
            "source": "synthetic", "rows": 30, "inputs": 1, "formula": "tanh(2 * x0)", "noise": 0.2,
            "standardize": {"inputs": False, "targets": False},
        },
        "model": {
            "likelihood": {"type": "gaussian", "noise": 0.2},
            "nodes": {"x": {}, "h": {"shape": {"choose": [[number] for number in units]}}, "y": {}},
            "edges": [
                {"from": "x", "to": "h", "basis": [{"type": "dense", "activation": "tanh"}]},
                {"from": "h", "to": "y", "basis": ["linear"]},
            ],
        },
        "prior": {"weights": {"precision": 1.0}},
        "optimizer": {"inner": {"steps": steps}, "restarts": 4},
        "evidence": {"estimators": list(estimators), "samples": samples},
    }  # fmt: skip


def rides_spec(estimators: Sequence[Any], samples: int = SAMPLES) -> dict[str, Any]:
    """The committed spec with other estimators."""
    spec: dict[str, Any] = yaml.safe_load(RIDES.read_text(encoding="utf-8"))
    spec["data"]["path"] = str(RIDES.parent / spec["data"]["path"])
    spec["evidence"] = {"estimators": list(estimators), "samples": samples}
    return spec


@dataclass(frozen=True)
class Found:
    """Estimates and their standard errors by estimator for one structure; None where there is none."""

    structure: dict[str, list[Any]]
    value: dict[str, float | None]
    error: dict[str, float | None]

    def text(self, estimator: str, reference: float = 0.0) -> str:
        """The estimate less a reference, with its error where it has one."""
        value, error = self.value[estimator], self.error[estimator]
        if value is None:
            return "none"
        return f"{value - reference:.2f}" + (" ± ?" if error is None else f" ± {error:.2f}" if error else "")


def evidence_of(spec: Mapping[str, Any], folder: Path) -> tuple[list[Found], list[str]]:
    """What every estimator says of every structure, best bound first, and the warnings of the run."""
    run = structflow.run(spec, folder)
    found = [Found(entry["structure"], entry["evidence"], entry["evidence_se"]) for entry in run.ranking]
    return found, run.summary["warnings"]


def print_differences(found: Mapping[str, Found], reference: str) -> None:
    """A row for every estimator, a column for every structure: the estimate less the reference, in nats."""
    names = list(next(iter(found.values())).value)
    width = max(map(len, names))
    print(" " * width, *(f"{title:>16}" for title in found))
    print(f"{reference:{width}}", *(f"{each.text(reference):>16}" for each in found.values()))
    for name in names:
        if name != reference:
            cells = (each.text(name, each.value[reference] or 0.0) for each in found.values())
            print(f"{name:{width}}", *(f"{cell:>16}" for cell in cells))


def symmetric_modes(units: int) -> float:
    """log(H! 2^H): that many modes are copies of one another, as odd hidden units can be permuted and negated."""
    return math.lgamma(units + 1) + units * math.log(2)


def draw(panels: Mapping[str, tuple[Mapping[str, Found], str]]) -> None:
    """A panel for each study: estimates less the reference, one line a structure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    for axes, (title, (found, reference)) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for label, each in found.items():
            names = [name for name in each.value if name != reference and each.value[name] is not None]
            values = [(each.value[name] or 0.0) - (each.value[reference] or 0.0) for name in names]
            errors = [each.error[name] or 0.0 for name in names]
            axes.errorbar(names, values, yerr=errors, fmt="o", capsize=3, label=label)
        axes.axhline(0, color="0.4", linewidth=1)
        axes.set_yscale("symlog", linthresh=1)
        axes.tick_params(axis="x", rotation=75)
        axes.set_title(title, loc="left")
        axes.set_ylabel("nats above the reference")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(FIGURE, dpi=120)


def main() -> None:
    """All three studies."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        linear, _ = evidence_of(
            linear_spec([*BOUNDS, *LAPLACE, "exact", ais(1000, chains=256), *DESCENTS]), folder / "linear"
        )
        polynomials = {each.structure["x->y"][0]: each for each in linear}
        polynomials = {key: polynomials[key] for key in sorted(polynomials)}
        print("Polynomials, nats above exact")
        print_differences(polynomials, "exact")

        labels = ["ais(temperatures=2000, chains=128)", "ais(from=posterior)"]
        many, from_q = ais(2000, chains=128), {"type": "ais", "from": "posterior"}
        tanh, _ = evidence_of(tanh_spec([*BOUNDS, *LAPLACE, many, from_q, "ais", *DESCENTS]), folder / "tanh")
        networks = {f"{each.structure['h'][0]} tanh": each for each in sorted(tanh, key=lambda e: e.structure["h"])}
        print("\nNetworks, nats above ais with 2,000 temperatures")
        print_differences(networks, labels[0])
        print("log(H! 2^H):", {title: round(symmetric_modes(int(title.split()[0])), 2) for title in networks})

        rides, warnings = evidence_of(
            rides_spec(["elbo", {"type": "iwelbo", "k": 1000}, "laplace", ais(500)]), folder / "rides"
        )
        print("\nBicycle rides, log evidence in the order of the bound")
        for each in rides:
            chosen = each.structure
            title = f"{chosen['x->h'][0]}, h {chosen['h'][0]}{', straight' if chosen['x->y'] else ''}"
            print(f"{title:26}", *(f"{each.text(estimator):>17}" for estimator in each.value))
        for warning in warnings:
            print("warning:", warning)
    draw({"polynomials, above exact": (polynomials, "exact"), "networks, above ais with 2,000": (networks, labels[0])})


if __name__ == "__main__":
    main()
