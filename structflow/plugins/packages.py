"""The installed packages that offer plugins, and which of them may be imported.

The environment variable `STRUCTFLOW_PLUGINS` limits them: unset, every package is imported; otherwise a list of
distribution names with commas between them, and only those and structflow's own plugins are. Names are compared as
PEP 503 has it: in lower case, with `-` for any run of `-`, `_` and `.`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from typing import Literal

from .hookspecs import PROJECT
from .sources import source_digest

GROUP = PROJECT
BUILTIN = "structflow.builtin.hooks"
VARIABLE = "STRUCTFLOW_PLUGINS"

Status = Literal["loaded", "disabled", "broken", "missing"]


@dataclass(frozen=True)
class Package:
    """A module that a distribution registered in the entry-point group, and how it fared.

    `loaded`: all of it is usable. `broken`: all of it, or a part, is not, for the reason given. `disabled`: the
    environment variable leaves it out. `missing`: the variable names it but it isn't there, and has no entry point.
    """

    origin: str
    version: str | None
    entry_point: str | None
    status: Status
    reason: str | None = None

    @property
    def words(self) -> str:
        """What is wrong with it, for an error about a plugin that isn't found."""
        reason = self.reason or ""
        return f"package {self.origin} is {self.status} ({reason if len(reason) <= 100 else f'{reason[:97]}…'})"


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def selected_packages() -> frozenset[str] | None:
    """The normalised names in the environment variable; None where it is unset and every package counts."""
    value = os.environ.get(VARIABLE)
    if value is None:
        return None
    return frozenset(normalised(name.strip()) for name in value.split(",") if name.strip())


def is_selected(point: EntryPoint, selected: Collection[str] | None) -> bool:
    """Whether an entry point may be imported: structflow's own always."""
    return selected is None or is_own(point) or normalised(origin_of(point)) in selected


def is_own(point: EntryPoint) -> bool:
    """Whether it is structflow's own entry point."""
    return point.value == BUILTIN and origin_of(point) in (BUILTIN, PROJECT)


def origin_of(point: EntryPoint) -> str:
    """Name of the distribution that an entry point belongs to; the module where there is none."""
    return metadata_of(point, "Name") or point.value


def package_of(point: EntryPoint) -> Package:
    """The package of an entry point, as it is when nothing goes wrong."""
    return Package(origin_of(point), metadata_of(point, "Version"), point.value, "loaded")


def metadata_of(point: EntryPoint, key: str) -> str | None:
    """A line of the metadata of the distribution that an entry point belongs to; None where there is none."""
    if point.dist is None or key not in point.dist.metadata:
        return None
    return point.dist.metadata[key]


def installed_points() -> list[EntryPoint]:
    """All entry points of the group: structflow's own first, then by the name of the distribution."""
    return sorted(
        entry_points(group=GROUP), key=lambda point: (not is_own(point), normalised(origin_of(point)), point.name)
    )


def plugin_versions() -> dict[str, str]:
    """Versions of the installed packages that offer plugins and may be imported, by the names of distributions."""
    selected = selected_packages()
    packages = (package_of(point) for point in installed_points() if is_selected(point, selected))
    return {package.origin: package.version or "unknown" for package in packages}


def plugin_sources() -> dict[str, str]:
    """Digests of the code of structflow and of these packages, under `NAME's code`."""
    selected = selected_packages()
    modules = {
        origin_of(point): point.module.partition(".")[0]
        for point in installed_points()
        if is_selected(point, selected) and not is_own(point)
    }
    return {f"{name}'s code": source_digest(module) for name, module in {PROJECT: PROJECT, **modules}.items()}


def missing_packages(points: Iterable[EntryPoint], selected: Collection[str] | None) -> list[Package]:
    """The packages that the variable names and that offer no plugins here."""
    present = {normalised(origin_of(point)) for point in points} | {PROJECT}
    return [missing_package(name) for name in sorted(set(selected or ()) - present)]


def missing_package(name: str) -> Package:
    """A package that is wanted and isn't installed, or is installed and has no plugins."""
    try:
        version = distribution(name).version
    except PackageNotFoundError:
        reason = f"{VARIABLE} names it, but it isn't installed"
        return Package(name, None, None, "missing", reason)
    reason = f"{VARIABLE} names it, but it has no entry point in the group {GROUP!r}"
    return Package(name, version, None, "missing", reason)
