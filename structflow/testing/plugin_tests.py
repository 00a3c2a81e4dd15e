"""What is promised by plugins of every kind: documentation, options, pickling, interface."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from ..plugins import INTERFACE_VERSION, KINDS
from ..plugins.contract import check_contract
from ..plugins.registry import Registration, registry
from .check import Complaint, expect, expect_refusal, remedy
from .examples import Example
from .subject import Subject, named

NO_SUCH_KEY = "no_such_key"


class PluginTests:
    """Tests of one plugin, of the kind that a class derived from this is for; `remedy` explains a failure.

    A package inherits from the class of the kind and names its plugin. `examples` are what it is tried with: without
    any, default options and usual shapes; an empty list leaves out all that needs the plugin to be used. Tests with an
    argument `subject` run for every example, those with `configured` also where there is none.
    """

    kind: ClassVar[str]
    plugin: ClassVar[type[Any]]
    examples: ClassVar[Sequence[Example] | None] = None
    example_class: ClassVar[type[Example]] = Example
    subject_class: ClassVar[type[Subject]] = Subject

    @classmethod
    def registration(cls) -> Registration:
        """What the registry knows of the plugin; complains where it knows nothing, or another of its name."""
        known = registry().of_kind(cls.kind).get(cls.plugin.type)
        if known is None or known.plugin is not cls.plugin:
            raise Complaint(f"{cls.plugin!r} isn't what is registered as {cls.plugin.type!r}: {known}")
        return known

    @classmethod
    def usual_examples(cls) -> Sequence[Example]:
        """What the plugin is tried with by default."""
        return [cls.example_class()]

    @classmethod
    def subjects(cls) -> list[Subject]:
        """The plugin with each of its examples; complains about examples that don't fit the kind."""
        given = cls.usual_examples() if cls.examples is None else cls.examples
        if not isinstance(given, list | tuple):
            raise Complaint(f"examples {given!r}, not a list")
        wrong = [each for each in given if not isinstance(each, cls.example_class)]
        expect(not wrong, f"an example {wrong[:1]!r}, not {cls.example_class.__name__}")
        found = [cls.subject_class(cls.registration(), example) for example in given]
        expect(bool(found) or cls.examples is not None, "none of the usual shapes fits")
        if cls.examples is None:
            _ = [subject.options for subject in found]  # raises where an option is needed
        return found

    @classmethod
    def arguments(cls, name: str) -> list[Subject]:
        """What tests with an argument `subject` or `configured` run for; nothing where `test_examples_fit` fails."""
        with suppress(Exception):
            found = cls.subjects()
            return found or ([Subject(cls.registration(), Example())] if name == "configured" else [])
        return []

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Run tests for every example."""
        for name in {"subject", "configured"} & set(metafunc.fixturenames):
            found = cls.arguments(name)
            metafunc.parametrize(name, found, ids=[subject.example.short or "default" for subject in found])

    @property
    def about(self) -> str:
        """The plugin, in messages."""
        return named(self.kind, self.plugin)

    @remedy("name examples of the class of the kind in `examples` of the test class, and install the package")
    def test_examples_fit(self) -> None:
        """The plugin is registered, and has examples; without any, default options and usual shapes can be tried."""
        self.subjects()

    @remedy("write a docstring in the class itself: formula, shapes, where it comes from; users read it in the schema")
    def test_documented(self) -> None:
        """The class has a docstring of its own."""
        own = vars(self.plugin).get("__doc__")
        expect(bool(own and own.strip()), f"{self.plugin.__name__}.__doc__ is {own!r}")

    @remedy("raise the `interface` of the class, or leave it out to inherit that of the installed structflow")
    def test_interface_accepted(self) -> None:
        """`interface` is a version (major, minor) that this structflow accepts, and the class keeps its contract."""
        interface = self.plugin.interface
        is_version = (
            isinstance(interface, tuple) and len(interface) == 2 and all(type(part) is int for part in interface)
        )
        expect(is_version, f"interface {interface!r}; this structflow has {INTERFACE_VERSION}")
        check_contract(self.kind, self.plugin)

    @remedy("give types that JSON can hold to the fields of `Options`, and keep its `model_config`")
    def test_options_have_a_schema(self) -> None:
        """The options have a JSON schema that allows no other keys and names the plugin in its discriminating key."""
        schema = self.registration().options.model_json_schema()
        expect(json.loads(json.dumps(schema)) == schema, f"a schema that changes when written as JSON: {schema}")
        expect(
            schema.get("additionalProperties") is False, f"additionalProperties {schema.get('additionalProperties')!r}"
        )
        constant = schema["properties"][self.plugin.key].get("const")
        expect(constant == self.registration().type, f"{self.plugin.key} is {constant!r} in the schema")
        expect(bool(schema.get("description")), "a schema without a description")

    @remedy(
        "write `key: type = Field(default, description=...)`: it is what a user reads in the schema and in an editor"
    )
    def test_options_described(self) -> None:
        """Every option of its own has a description."""
        inherited = KINDS[self.kind].Options.model_fields
        fields = self.plugin.Options.model_fields
        bare = [name for name, field in fields.items() if name not in inherited and not field.description]
        expect(not bare, f"options without a description: {', '.join(bare)}")

    @remedy("give the kit an example whose options are valid, in the `examples` of the test class")
    def test_example_is_valid(self, configured: Subject) -> None:
        """The example's options are valid (without an example: the plugin needs none)."""
        try:
            configured.registration.options.model_validate(configured.document)
        except ValidationError as error:
            expect(False, str(error))

    @remedy("derive `Options` from that of the kind, and add no `extra`")
    def test_unknown_keys_refused(self, configured: Subject) -> None:
        """Unknown keys and another plugin's name are refused."""
        model = configured.registration.options
        model.model_validate(configured.document)
        for wrong in ({NO_SUCH_KEY: 1}, {configured.plugin.key: "another"}):
            expect_refusal(
                ValidationError, partial(model.model_validate, {**configured.document, **wrong}), f"{wrong} taken"
            )

    @remedy("derive `Options` from that of the kind, and keep `frozen`")
    def test_options_immutable(self, configured: Subject) -> None:
        """Options can't be changed once they are made, so that plans and keys made of them stay true."""
        for name in type(configured.options).model_fields:
            change = partial(setattr, configured.options, name, getattr(configured.options, name))
            expect_refusal(ValidationError, change, f"{name} could be set")

    @remedy(
        "use types that pydantic writes to JSON and reads back the same (tuples, not arrays); the store keeps them so"
    )
    def test_options_survive_json(self, configured: Subject) -> None:
        """Options that were written as JSON and read again are equal."""
        text = configured.options.model_dump_json(by_alias=True)
        again = configured.registration.options.model_validate_json(text)
        expect(again == configured.options, f"{again!r} after {configured.options!r}")

    @remedy("define the class and its options at the top of a module; workers get both by pickle")
    def test_survives_pickle(self, configured: Subject) -> None:
        """The class and its options can be pickled."""
        for value in (configured.plugin, configured.options):
            again = pickle.loads(pickle.dumps(value))
            expect(again == value, f"{again!r} after {value!r}")
