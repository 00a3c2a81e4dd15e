"""E6 (d): evidence against the degree of a polynomial. Prints the table of the docs and draws polynomials.png.

python docs/figures/polynomials.py
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.polynomial import hermite_e, legendre

import structflow

HERE = Path(__file__).parent
SPEC = HERE.parents[1] / "specs" / "e6d-polynomials.yaml"
DEGREES = range(9)


def features(x: np.ndarray, degree: int, family: str) -> np.ndarray:
    """p_0(x) … p_degree(x) of one input, (rows, degree + 1); Hermite divided by √k!."""
    if family == "power":
        return np.vander(x, degree + 1, increasing=True)
    if family == "legendre":
        return legendre.legvander(x, degree)
    norms = np.array([math.sqrt(math.factorial(k)) for k in range(degree + 1)])
    return hermite_e.hermevander(x, degree) / norms


@dataclass(frozen=True)
class ClosedForm:
    """log p(y | X, h) of a model that is linear in its weights, and the best bound that a diagonal q reaches."""

    evidence: float
    mean_field: float


def closed_form(phi: np.ndarray, y: np.ndarray, noise: float, precision: float) -> ClosedForm:
    """For y = Φw + σε and w ~ N(0, I/a): y ~ N(0, ΦΦᵀ/a + σ²I), and the posterior precision is Λ = ΦᵀΦ/σ² + aI.

    The best diagonal q has the posterior's mean and the precisions diag(Λ), so its bound is short of the evidence by
    its divergence from the posterior, ½ (Σ log Λ_ii − log det Λ) (Bishop 2006, section 10.1.2).
    """
    covariance = phi @ phi.T / precision + noise**2 * np.eye(len(y))
    fit = float(y @ np.linalg.solve(covariance, y))
    evidence = -0.5 * (fit + np.linalg.slogdet(covariance)[1] + len(y) * math.log(2 * math.pi))
    posterior = phi.T @ phi / noise**2 + precision * np.eye(phi.shape[1])
    gap = 0.5 * (np.log(np.diag(posterior)).sum() - np.linalg.slogdet(posterior)[1])
    return ClosedForm(float(evidence), float(evidence - gap))


def polynomial_spec(family: str = "legendre", covariance: str = "full", **data: Any) -> dict[str, Any]:
    """The committed spec with another family, covariance or data."""
    spec: dict[str, Any] = yaml.safe_load(SPEC.read_text(encoding="utf-8"))
    spec["data"].update(data)
    spec["posterior"] = {"weights": {"covariance": covariance}}
    for function in spec["model"]["edges"][0]["basis"]:
        function["family"] = family
    return spec


@dataclass(frozen=True)
class Degree:
    """What was found for one degree, beside the closed forms."""

    bound: float
    standard_error: float
    exact: ClosedForm


def evidence_by_degree(spec: Mapping[str, Any], folder: Path) -> dict[int, Degree]:
    """Run the spec; every degree's bound and closed forms."""
    run = structflow.run(spec, folder)
    x, y = run.context.study.dataset.train()
    noise, precision = spec["model"]["likelihood"]["noise"], spec["prior"]["weights"]["precision"]
    families = {function["family"] for function in spec["model"]["edges"][0]["basis"]}
    found = {}
    for entry in run.ranking:
        degree = int(entry["structure"]["x->y"][0].removeprefix("polynomial:"))
        phi = features(x[:, 0], degree, *families)
        exact = closed_form(phi, y[:, 0], noise, precision)
        found[degree] = Degree(entry["log_evidence"], entry["log_evidence_se"], exact)
    return dict(sorted(found.items()))


def main() -> None:
    """Run the spec with both covariances, print the table, draw the figure."""
    from matplotlib.figure import Figure

    with tempfile.TemporaryDirectory() as folder:
        runs = {
            kind: evidence_by_degree(polynomial_spec(covariance=kind), Path(folder) / kind)
            for kind in ("full", "diagonal")
        }
    full, diagonal = runs["full"], runs["diagonal"]
    print("degree  exact evidence  bound, full  exact mean field  bound, diagonal")
    for degree, value in full.items():
        print(
            f"{degree:6d}  {value.exact.evidence:14.4f}  {value.bound:11.4f}  {value.exact.mean_field:16.4f}"
            f"  {diagonal[degree].bound:15.4f}"
        )
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    degrees = list(full)
    axes.plot(degrees, [full[d].exact.evidence for d in degrees], color="0.2", label="exact evidence")
    axes.plot(degrees, [full[d].bound for d in degrees], "o", color="#4477aa", label="bound, full covariance")
    axes.plot(degrees, [full[d].exact.mean_field for d in degrees], "--", color="#ee6677", label="exact mean field")
    axes.plot(degrees, [diagonal[d].bound for d in degrees], "x", color="#ee6677", label="bound, diagonal covariance")
    axes.set_xlabel("degree")
    axes.set_ylabel("log evidence, nats")
    axes.set_title("40 rows of a cubic with noise", loc="left")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(HERE / "polynomials.png", dpi=120)


if __name__ == "__main__":
    main()
