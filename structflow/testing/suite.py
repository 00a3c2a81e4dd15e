"""From an installed package to the list of checks that pytest runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from ..plugins.registry import Registration, Registry, registry
from .check import Check, checks_of, failing
from .common import RULES_OF_CLASS, RULES_OF_OPTIONS
from .examples import EXAMPLE_OF_KIND, Example
from .package import RULES, PackageSubject, wrong_examples
from .subject import Subject, by_default, named, prefix_of

try:
    import pytest
except ImportError as error:
    raise ImportError("structflow.testing needs pytest, which isn't installed: pip install pytest") from error

MODULES = {
    "basis_functions": "basis_function",
    "likelihoods": "likelihood",
    "data_sources": "data_source",
    "structure_distributions": "structure_distribution",
    "criteria": "criterion",
    "inner_optimizers": "inner_optimizer",
    "hypergradients": "hypergradient",
    "evidence_estimators": "evidence_estimator",
    "regimes": "regime",
    "relevances": "relevance",
    "trackers": "tracker",
}
"""The module with the checks of a kind; imported when a plugin of the kind is there, because it imports torch."""

SUBJECTS = {"basis_functions": "basis_subject.BasisSubject", "likelihoods": "likelihood_subject.LikelihoodSubject"}
"""The class of the subjects of a kind, where it isn't `Subject`."""

Examples = Mapping[str, Sequence[Example]]


def conformance(package: str, examples: Examples | None = None) -> list[Any]:
    """The checks of every plugin that the distribution `package` registered, as `pytest.param`s of callables.

    `examples` gives for the type of a plugin what it is tried with: `BasisExample`, `LikelihoodExample`,
    `DataSourceExample`, or `Example` for the other kinds. Without an entry default options and usual shapes are taken;
    an empty list leaves out all that needs the plugin to be used. The checks marked `compile_together` and
    `compile_each` take seconds each: name the marks in pytest's `markers`, and leave them out with
    `-m "not compile_together and not compile_each"`. A package that registered nothing, or of which something is
    broken, has a check that fails and says so.
    """
    found = package_checks(registry(), package, examples or {})
    return [
        pytest.param(check, id=check.name, marks=[getattr(pytest.mark, mark) for mark in check.marks])
        for check in found
    ]


def package_checks(known: Registry, package: str, examples: Examples) -> list[Check]:
    """The checks of a package whose plugins are in a registry."""
    whole = PackageSubject(package, known, tuple(examples))
    checks = checks_of(f"package-{package}", f"package {package!r}", whole, RULES)
    compiled: list[Any] = []
    if any(registration.kind in SUBJECTS for registration in whole.registrations):
        # torch fixes the folder of its compiler's cache at the first use of several parts; ours must be named before
        import_module("structflow.train.program").prepare_compiler()
    for registration in whole.registrations:
        found, usable = plugin_checks(registration, examples.get(registration.type))
        checks += found
        if registration.kind in SUBJECTS:
            compiled += usable
    if compiled:
        together = import_module("structflow.testing.compiled").TOGETHER
        checks += checks_of(f"package-{package}", f"package {package!r}", compiled, together)
    return checks


def plugin_checks(registration: Registration, given: Sequence[Example] | None) -> tuple[list[Check], list[Subject]]:
    """The checks of one plugin, and the subjects that were made of its examples."""
    prefix, about = "-".join(prefix_of(registration)), named(registration)
    checks = checks_of(prefix, about, by_default(registration), RULES_OF_CLASS)
    if given is not None and (wrong := wrong_examples(registration, given)):
        remedy = "give a list of examples of the class of the kind, from structflow.testing"
        return [*checks, failing(f"{prefix}-examples", about, wrong, "examples that fit the kind.", remedy)], []
    if given is not None and not given:
        return [*checks, *checks_of(prefix, about, by_default(registration), RULES_OF_OPTIONS)], []
    module = import_module(f"structflow.testing.{MODULES[registration.kind]}")
    if given is None:
        try:
            given = usual_examples(registration, module)
            by_default(registration).options  # noqa: B018 (raises where options are needed)
        except Exception as error:
            given, got = [], f"{type(error).__name__}: {error}"
        else:
            got = "none of the usual shapes fits"
        if not given:
            expected = "default options and usual shapes can be tried, where no examples are given."
            remedy = f"give examples={{{registration.type!r}: [...]}} to conformance"
            return [*checks, failing(f"{prefix}-examples", about, got, expected, remedy)], []
    subjects = [subject_of(registration, example) for example in given]
    return checks + [check for subject in subjects for check in module.checks(subject)], subjects


def usual_examples(registration: Registration, module: Any) -> Sequence[Example]:
    """What a plugin is tried with by default."""
    if hasattr(module, "usual_examples"):
        found: Sequence[Example] = module.usual_examples(registration)
        return found
    return [EXAMPLE_OF_KIND.get(registration.kind, Example)()]


def subject_of(registration: Registration, example: Example) -> Subject:
    """The subject that the checks of a kind take."""
    if registration.kind not in SUBJECTS:
        return Subject(registration, example)
    module, _, name = SUBJECTS[registration.kind].partition(".")
    made: Subject = getattr(import_module(f"structflow.testing.{module}"), name)(registration, example)
    return made
