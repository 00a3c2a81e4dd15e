"""The installed plugins as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from .text import terminal

STYLES = {"loaded": "green", "disabled": "yellow", "broken": "red", "missing": "red"}
"""Colour of the status of a package."""


def print_plugins(
    plugins: Sequence[dict[str, Any]],
    packages: Sequence[dict[str, Any]],
    broken: Sequence[dict[str, Any]],
    interface: str,
) -> None:
    """Plugins grouped by kind, then the packages they come from, and why some can't be used."""
    console = terminal()
    console.print(plugin_table(plugins, interface) if plugins else "no plugins of this kind")
    console.print()
    console.print(package_table(packages))
    disabled = [package for package in packages if package["status"] == "disabled"]
    if disabled:
        console.print(Text("disabled:", STYLES["disabled"]), f"{len(disabled)} of them, {disabled[0]['reason']}")
    missing = [package for package in packages if package["status"] == "missing"]
    for each in (*broken, *missing):
        console.print(Text(f"{each['status']}:", STYLES[each["status"]]), f"{each['origin']}: {each['reason']}")


def plugin_table(plugins: Sequence[dict[str, Any]], interface: str) -> Table:
    """One row a plugin under the name of its kind; the version of its interface only where it isn't this one."""
    table = borderless("plugin", "package", "what it is")
    for kind, rows in groupby(plugins, key=lambda row: row["kind"]):
        table.add_row(Text(kind.replace("_", " "), "bold"))
        for row in rows:
            older = "" if row["interface"] == interface else f" (interface {row['interface']})"
            name, described = Text(f"  {row['type']}", "cyan"), Text(row["description"] + older)
            table.add_row(name, Text(row["origin"], "dim"), described)
        table.add_section()
    return table


def package_table(packages: Sequence[dict[str, Any]]) -> Table:
    """One row an entry point: the package, where its hooks are, and how it fared."""
    table = borderless("package", "hooks in", "status")
    for package in packages:
        status = Text(package["status"], STYLES[package["status"]])
        name = Text(package["origin"]).append(f" {package['version'] or ''}", "dim")
        table.add_row(name, Text(package["entry_point"] or ""), status)
    return table


def borderless(*titles: str) -> Table:
    """A table with a line below its titles; what is too long goes on in the next line."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table
