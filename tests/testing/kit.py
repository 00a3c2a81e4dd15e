"""Runs the kit on classes that aren't installed, as if a package named `odd` had registered them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from structflow.plugins.registry import Registry, registry
from structflow.testing import Example
from structflow.testing.suite import package_checks

SLOW = ("trains", "likelihood_trains", "compiled_equals_eager", "compiled_alone_equals_eager", "imports_no_torch")
"""Rules that take seconds; the tests call those that they mean by name."""


def messages(
    monkeypatch: pytest.MonkeyPatch, kind: str, plugin: type[Any], examples: Sequence[Example] | None, *also: str
) -> dict[str, str]:
    """What the kit says of a class: messages by the name of the rule, of the quick rules and those named."""
    known = Registry()
    known.add(kind, plugin, "odd")
    monkeypatch.setitem(registry().kinds[kind], plugin.type, known.kinds[kind][plugin.type])  # pickle asks this one
    found = {}
    for check in package_checks(known, "odd", {} if examples is None else {plugin.type: examples}):
        rule = check.name.rpartition("-")[2]
        if rule in SLOW and rule not in also:
            continue
        try:
            check()
        except AssertionError as error:
            found[rule] = str(error)
        except pytest.skip.Exception:  # there is no CUDA device
            continue
    return found
