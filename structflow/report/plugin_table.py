"""The installed plugins as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..plugins.packages import Package
from ..plugins.registry import Registration, Registry
from .text import terminal

STYLES = {"loaded": "green", "disabled": "yellow", "broken": "red", "missing": "red"}
"""Colour of the status of a package."""


def print_plugins(plugins: Sequence[Registration], known: Registry, interface: str) -> None:
    """Plugins grouped by kind, then the packages they come from, and why some can't be used."""
    console = terminal()
    console.print(plugin_table(plugins, interface) if plugins else "no plugins of this kind")
    console.print()
    console.print(package_table(known.packages))
    disabled = [package for package in known.packages if package.status == "disabled"]
    if disabled:
        console.print(Text("disabled:", STYLES["disabled"]), f"{len(disabled)} of them, {disabled[0].reason}")
    unusable = [("broken", each.origin, each.reason) for each in known.broken]
    unusable += [("missing", each.origin, str(each.reason)) for each in known.packages if each.status == "missing"]
    for status, origin, reason in unusable:
        console.print(Text(f"{status}:", STYLES[status]), f"{origin}: {reason}")


def plugin_table(plugins: Sequence[Registration], interface: str) -> Table:
    """One row a plugin under the name of its kind; the version of its interface only where it isn't this one."""
    table = borderless("plugin", "package", "what it is")
    for kind, registrations in groupby(plugins, key=lambda each: each.kind):
        table.add_row(Text(kind.replace("_", " "), "bold"))
        for each in registrations:
            older = "" if each.interface == interface else f" (interface {each.interface})"
            name, described = Text(f"  {each.type}", "cyan"), Text(each.description + older)
            table.add_row(name, Text(each.origin, "dim"), described)
        table.add_section()
    return table


def package_table(packages: Sequence[Package]) -> Table:
    """One row an entry point: the package, where its hooks are, and how it fared."""
    table = borderless("package", "hooks in", "status")
    for package in packages:
        status = Text(package.status, STYLES[package.status])
        name = Text(package.origin).append(f" {package.version or ''}", "dim")
        table.add_row(name, Text(package.entry_point or ""), status)
    return table


def borderless(*titles: str) -> Table:
    """A table with a line below its titles; what is too long goes on in the next line."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table
