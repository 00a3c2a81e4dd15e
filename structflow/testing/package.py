"""What is promised by a package as a whole: it is installed, all of it is usable, and it is light to import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import entry_points

from ..plugins.packages import GROUP, normalised
from ..plugins.registry import Registration, Registry
from .check import Rule, expect, rule
from .examples import EXAMPLE_OF_KIND, Example

IMPORT_SECONDS = 300


@dataclass(frozen=True)
class PackageSubject:
    """A distribution, the registry that knows its plugins, and the types that examples were given for."""

    name: str
    registry: Registry
    given: Collection[str]

    @property
    def registrations(self) -> list[Registration]:
        """What it registered, kind by kind."""
        return [
            registration
            for plugins in self.registry.kinds.values()
            for registration in plugins.values()
            if normalised(registration.origin) == normalised(self.name)
        ]


@rule(
    "install the package (pip install --editable .), give its pyproject.toml an entry point in the group "
    "[project.entry-points.structflow] that names the module with its hooks, and pass the distribution's name"
)
def registers_plugins(subject: PackageSubject) -> None:
    """The package registered at least one plugin, and nothing of it is broken (see `structflow plugins`)."""
    name = normalised(subject.name)
    broken = [
        f"{each.origin}: {each.reason}"
        for each in subject.registry.broken
        if normalised(each.origin.partition(" ")[0]) == name
    ]
    unusable = [
        f"{each.origin} is {each.status}: {each.reason}"
        for each in subject.registry.packages
        if normalised(each.origin) == name and each.status != "loaded"
    ]
    found = list(dict.fromkeys(broken + unusable))
    expect(not found, "; ".join(found))
    origins = {registration.origin for kind in subject.registry.kinds.values() for registration in kind.values()}
    others = ", ".join(sorted(origins)) or "none"
    expect(bool(subject.registrations), f"no plugin of {subject.name!r}; packages with plugins: {others}")


@rule("name examples by the `type` of the plugin")
def examples_name_plugins(subject: PackageSubject) -> None:
    """Every entry of `examples` is named by the type of a plugin of the package."""
    types = sorted(registration.type for registration in subject.registrations)
    unknown = sorted(set(subject.given) - set(types))
    expect(not unknown, f"examples for {', '.join(unknown)}; the plugins are {', '.join(types)}")


@rule("import torch inside the methods that compute with it, or under TYPE_CHECKING: validating a spec needs none")
def imports_no_torch(subject: PackageSubject) -> None:
    """Importing the modules of its entry points and asking their hooks doesn't import torch."""
    points = [
        point.value
        for point in entry_points(group=GROUP)
        if point.dist is not None and normalised(point.dist.name) == normalised(subject.name)
    ]
    program = (
        "import importlib, sys\n"
        "from structflow.plugins import KINDS\n"
        f"for name in {points!r}:\n"
        "    module = importlib.import_module(name.partition(':')[0])\n"
        "    for kind in KINDS:\n"
        "        hook = getattr(module, kind, None)\n"
        "        classes = list(hook()) if callable(hook) else []\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False
    )
    expect(done.returncode == 0, f"an error in a fresh process: {done.stderr.strip()[-1000:]}")
    expect(done.stdout.strip().endswith("False"), f"torch is loaded after importing {', '.join(points)}")


RULES: tuple[Rule[PackageSubject], ...] = (registers_plugins, examples_name_plugins, imports_no_torch)


def wrong_examples(registration: Registration, given: object) -> str | None:
    """What is wrong with the examples given for a plugin, if anything."""
    wanted = EXAMPLE_OF_KIND.get(registration.kind, Example)
    if not isinstance(given, list | tuple):
        return f"examples[{registration.type!r}] is {given!r}, not a list"
    wrong = [each for each in given if not isinstance(each, wanted)]
    return f"examples[{registration.type!r}] holds {wrong[0]!r}, not {wanted.__name__}" if wrong else None
