"""Registers the built-in plugins: every plugin class found in this package's folders, one folder a kind."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from typing import Any

from ..plugins import KINDS, hookimpl


def classes_in(kind: str) -> list[type[Any]]:
    """The finished plugin classes that the modules of `builtin/<kind>/` define, by module name."""
    package = importlib.import_module(f"structflow.builtin.{kind}")
    found = []
    for module_info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        found += [
            value
            for value in vars(module).values()
            if inspect.isclass(value)
            and value.__module__ == module.__name__
            and issubclass(value, KINDS[kind])
            and not inspect.isabstract(value)
        ]
    return found


@hookimpl
def basis_functions() -> Iterable[type[Any]]:
    return classes_in("basis_functions")


@hookimpl
def likelihoods() -> Iterable[type[Any]]:
    return classes_in("likelihoods")


@hookimpl
def data_sources() -> Iterable[type[Any]]:
    return classes_in("data_sources")


@hookimpl
def weight_priors() -> Iterable[type[Any]]:
    return classes_in("weight_priors")


@hookimpl
def weight_posteriors() -> Iterable[type[Any]]:
    return classes_in("weight_posteriors")


@hookimpl
def structure_distributions() -> Iterable[type[Any]]:
    return classes_in("structure_distributions")


@hookimpl
def criteria() -> Iterable[type[Any]]:
    return classes_in("criteria")


@hookimpl
def inner_optimizers() -> Iterable[type[Any]]:
    return classes_in("inner_optimizers")


@hookimpl
def hypergradients() -> Iterable[type[Any]]:
    return classes_in("hypergradients")


@hookimpl
def evidence_estimators() -> Iterable[type[Any]]:
    return classes_in("evidence_estimators")


@hookimpl
def metrics() -> Iterable[type[Any]]:
    return classes_in("metrics")


@hookimpl
def regimes() -> Iterable[type[Any]]:
    return classes_in("regimes")


@hookimpl
def relevances() -> Iterable[type[Any]]:
    return classes_in("relevances")


@hookimpl
def trackers() -> Iterable[type[Any]]:
    return classes_in("trackers")
