"""A certificate of hypergradients as a table for the terminal, and as one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from .text import terminal

STYLES = {"exact": "green", "close": "yellow", "biased": "magenta"}
"""Colour of a verdict: a bias is no error."""

COARSE = 1e-5
"""Relative distance of the differences of two widths above which they can't tell what is exact."""


def print_certificate(certificate: Mapping[str, Any], name: str) -> None:
    """What was differentiated, a row a method, and what the numbers can't tell."""
    console = terminal()
    console.print(f"{name}: {what_is_certified(certificate)}", highlight=False)
    counts = sorted(set(certificate["n_hyperparameters"]))
    numbers = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    members, compared = len(certificate["members"]), len(certificate["coordinates"])
    console.print(
        f"{members} member(s) with {numbers} hyperparameter(s) each; {compared} compared with differences",
        highlight=False,
    )
    console.print()
    console.print(certificate_table(certificate))
    differences = certificate["differences"]
    console.print(
        f"an inner step takes {short(1e3 * certificate['inner']['seconds'])} ms, the differences "
        f"{short(differences['seconds'])} s; those of two widths agree to {scientific(differences['uncertainty'])}",
        highlight=False,
    )
    for row in certificate["methods"]:
        if row["report"]:
            most = (f"{name} {max(values):.2g}" for name, values in row["report"].items() if None not in values)
            console.print(f"{row['type']}: {', '.join(most)} at most", highlight=False)
    if differences["uncertainty"] is None or not differences["uncertainty"] <= COARSE:
        console.print(
            Text("warning:", "yellow"),
            f"the differences are coarser than {scientific(COARSE)}, as where an activation has kinks: read the column "
            f"of {certificate['reference']} instead",
        )


def what_is_certified(certificate: Mapping[str, Any]) -> str:
    """Q as a function of h, in words."""
    inner = certificate["inner"]
    if certificate["at"] == "optimum":
        return "dQ/dh at the optimum of L"
    kind = "Adam steps" if inner["type"] == "adam" else "gradient steps"
    rate = f"rate {inner['rate']:.3g}" + (f", momentum {inner['momentum']:g}" if inner["momentum"] else "")
    instead = f" in place of {inner['in_place_of'].capitalize()}" if inner["in_place_of"] else ""
    return f"dQ/dh through {inner['steps']:,} {kind} ({rate}){instead}"


def certificate_table(certificate: Mapping[str, Any]) -> Table:
    """One row a method: errors against differences and the reference, cosine, cost, and the verdict.

    `grows` is the memory of all steps by that of a tenth of them; methods that don't look at steps have none.
    """
    reference = certificate["reference"]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("method", no_wrap=True)
    has_reference = any(row["from_reference"] is not None for row in certificate["methods"])
    titles = ["relative\nerror", *([f"from\n{reference}"] if has_reference else []), "cosine"]
    for title in (*titles, "time\nms", "inner\nsteps", "memory\nMiB", "grows\nby"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in certificate["methods"]:
        errors = [row["relative_error"], *([row["from_reference"]] if has_reference else [])]
        name = row["type"]
        table.add_row(
            Text(name, "cyan" if name == certificate["own_method"] else "dim" if name == reference else ""),
            *map(scientific, errors),
            "" if row["cosine"] is None else f"{row['cosine']:.4f}",
            short(1e3 * row["seconds"]),
            short(row["inner_steps"]),
            short(row["peak_bytes"] / 2**20),
            growth(row),
            Text(row["verdict"], STYLES[row["verdict"]]),
        )
    return table


def growth(row: Mapping[str, Any]) -> str:
    """The memory of all steps as a multiple of that of a tenth."""
    tenth = row["peak_bytes_of_a_tenth"]
    return "" if not tenth else f"{row['peak_bytes'] / tenth:.3g}×"


def short(value: float) -> str:
    """A number with three digits, all of those before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def scientific(value: float | None) -> str:
    """An error with two digits: 1.2e-07."""
    return "" if value is None else f"{value:.1e}"


def certificate_line(certificate: Mapping[str, Any]) -> str:
    """What `show` says: the worst relative error of the run's own method, or of all rows where it has none."""
    own = next((row for row in certificate["methods"] if row["type"] == certificate["own_method"]), None)
    if own is not None:
        error = "nothing finite" if own["relative_error"] is None else scientific(own["relative_error"])
        return (
            f"certificate: {own['type']} is within {error} of finite differences ({own['verdict']}), "
            f"{what_is_certified(certificate)}"
        )
    exact = [row["type"] for row in certificate["methods"] if row["verdict"] == "exact"]
    return f"certificate without {certificate['own_method']}; exact: {', '.join(exact) or 'none'}"
