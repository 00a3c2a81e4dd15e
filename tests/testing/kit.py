"""Runs the kit on classes that aren't installed, as if a package named `odd` had registered them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import pytest

from structflow.plugins.registry import Registry, registry
from structflow.testing import TESTS_OF_KIND, Example, PackageTests, PluginTests

SLOW = ("trains", "likelihood_trains", "compiled_alone_equals_eager")
"""Tests that take seconds; the tests call those that they mean by name."""


def messages(
    monkeypatch: pytest.MonkeyPatch, kind: str, plugin: type[Any], examples: Sequence[Example] | None, *also: str
) -> dict[str, str]:
    """What the kit says of a class: messages by the name of the test, of the quick ones and those named."""
    tests, found = odd_tests(monkeypatch, kind, plugin, examples), {}
    for name, test in inspect.getmembers(tests, inspect.isfunction):
        rule = name.removeprefix("test_")
        if rule == name or (rule in SLOW and rule not in also):
            continue
        arguments = [each for each in inspect.signature(test).parameters if each != "self"]
        given = [{each: subject} for each in arguments for subject in tests.arguments(each)] if arguments else [{}]
        for subjects in given:
            try:
                test(tests(), **subjects)
            except AssertionError as error:
                found[rule] = str(error)
            except pytest.skip.Exception:  # there is no CUDA device
                continue
    return found


def odd_tests(
    monkeypatch: pytest.MonkeyPatch, kind: str, plugin: type[Any], examples: Sequence[Example] | None
) -> type[PluginTests]:
    """A test class of a plugin, which the registry knows from now on."""
    known = Registry()
    known.add(kind, plugin, "odd")
    monkeypatch.setitem(registry().kinds[kind], plugin.type, known.kinds[kind][plugin.type])
    return type("TestOdd", (TESTS_OF_KIND[kind],), {"plugin": plugin, "examples": examples})


def package_tests(package: str, *tests: type[PluginTests]) -> PackageTests:
    """The test of a package that tests its plugins by these classes."""
    made: PackageTests = type(
        "TestPackage", (PackageTests,), {"package": package, "plugin_tests": lambda self: tests}
    )()
    return made
