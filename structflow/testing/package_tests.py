"""What is promised by a package as a whole: it is installed, usable, tested, and light to import."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import ClassVar

import pytest

from ..plugins.packages import GROUP, normalised
from ..plugins.registry import Registration, registry
from .check import expect, remedy
from .compiled import REMEDY, CompiledSubject, expect_compiled_equals_eager
from .plugin_tests import PluginTests

IMPORT_SECONDS = 300


class PackageTests:
    """Tests of one distribution; those of its plugins stand in the same module, or are imported there.

    class TestPackage(PackageTests):
        package = "structflow-waves"
    """

    package: ClassVar[str]

    @property
    def about(self) -> str:
        """The package, in messages."""
        return f"package {self.package!r}"

    def is_this(self, name: str) -> bool:
        """Whether a distribution is the package."""
        return normalised(name) == normalised(self.package)

    def registrations(self) -> list[Registration]:
        """What it registered, kind by kind."""
        plugins = (each for of_kind in registry().kinds.values() for each in of_kind.values())
        return [each for each in plugins if self.is_this(each.origin)]

    def plugin_tests(self) -> list[type[PluginTests]]:
        """The test classes of plugins in the module of this one."""
        found = vars(sys.modules[type(self).__module__]).values()
        return [
            each
            for each in found
            if isinstance(each, type) and issubclass(each, PluginTests) and hasattr(each, "plugin")
        ]

    @remedy(
        "install the package (pip install --editable .), give its pyproject.toml an entry point in the group "
        "[project.entry-points.structflow] that names the module with its hooks, and pass the distribution's name"
    )
    def test_registers_plugins(self) -> None:
        """The package registered at least one plugin, and nothing of it is broken (see `structflow plugins`)."""
        broken = [
            f"{each.origin}: {each.reason}" for each in registry().broken if self.is_this(each.origin.partition(" ")[0])
        ]
        unusable = [
            f"{each.origin} is {each.status}: {each.reason}"
            for each in registry().packages
            if self.is_this(each.origin) and each.status != "loaded"
        ]
        found = list(dict.fromkeys(broken + unusable))
        expect(not found, "; ".join(found))
        origins = {registration.origin for kind in registry().kinds.values() for registration in kind.values()}
        others = ", ".join(sorted(origins)) or "none"
        expect(bool(self.registrations()), f"no plugin of {self.package!r}; packages with plugins: {others}")

    @remedy("write a class with its `plugin` for each, or import the classes into the module that tests the package")
    def test_every_plugin_is_tested(self) -> None:
        """Every plugin of the package has a test class of its kind."""
        tested = {(tests.kind, tests.plugin) for tests in self.plugin_tests()}
        missing = [each.type for each in self.registrations() if (each.kind, each.plugin) not in tested]
        expect(not missing, f"no tests of {', '.join(missing)}")

    @remedy(
        "import torch inside the methods that compute with it, or under TYPE_CHECKING: validating a spec needs none"
    )
    def test_imports_no_torch(self) -> None:
        """Importing the modules of its entry points and asking their hooks doesn't import torch."""
        points = [
            point.value
            for point in entry_points(group=GROUP)
            if point.dist is not None and self.is_this(point.dist.name)
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

    @pytest.mark.compile_together
    @remedy(REMEDY)
    def test_compiled_equals_eager(self) -> None:
        """All functions of the package compile, in one program, and give the values and gradients of eager mode."""
        subjects = [
            subject
            for tests in self.plugin_tests()
            for subject in tests.arguments("subject")
            if isinstance(subject, CompiledSubject)
        ]
        if not subjects:
            pytest.skip("no function of the package becomes part of compiled programs")
        expect_compiled_equals_eager(subjects)
