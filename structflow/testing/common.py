"""What is promised by plugins of every kind: documentation, options, pickling, interface."""

from __future__ import annotations

import json
import pickle
from functools import partial

from pydantic import ValidationError

from ..plugins import INTERFACE_VERSION, KINDS
from ..plugins.contract import check_contract
from .check import Rule, expect, expect_refusal, rule
from .subject import Subject

NO_SUCH_KEY = "no_such_key"


@rule("write a docstring in the class itself: formula, shapes, where it comes from; users read it in the schema")
def documented(subject: Subject) -> None:
    """The class has a docstring of its own."""
    own = vars(subject.plugin).get("__doc__")
    expect(bool(own and own.strip()), f"{subject.plugin.__name__}.__doc__ is {own!r}")


@rule("raise the `interface` of the class, or leave it out to inherit that of the installed structflow")
def interface_accepted(subject: Subject) -> None:
    """`interface` is a version (major, minor) that this structflow accepts, and the class keeps its contract."""
    interface = subject.plugin.interface
    is_version = isinstance(interface, tuple) and len(interface) == 2 and all(type(part) is int for part in interface)
    expect(is_version, f"interface {interface!r}; this structflow has {INTERFACE_VERSION}")
    check_contract(subject.registration.kind, subject.plugin)


@rule("give types that JSON can hold to the fields of `Options`, and keep its `model_config`")
def options_have_a_schema(subject: Subject) -> None:
    """The options have a JSON schema that allows no other keys and names the plugin in its discriminating key."""
    schema = subject.registration.options.model_json_schema()
    expect(json.loads(json.dumps(schema)) == schema, f"a schema that changes when written as JSON: {schema}")
    expect(schema.get("additionalProperties") is False, f"additionalProperties {schema.get('additionalProperties')!r}")
    constant = schema["properties"][subject.plugin.key].get("const")
    expect(constant == subject.registration.type, f"{subject.plugin.key} is {constant!r} in the schema")
    expect(bool(schema.get("description")), "a schema without a description")


@rule("write `key: type = Field(default, description=...)`: it is what a user reads in the schema and in an editor")
def options_described(subject: Subject) -> None:
    """Every option of its own has a description."""
    inherited = KINDS[subject.registration.kind].Options.model_fields
    fields = subject.plugin.Options.model_fields
    bare = [name for name, field in fields.items() if name not in inherited and not field.description]
    expect(not bare, f"options without a description: {', '.join(bare)}")


@rule("give the kit an example whose options are valid, in `examples` of `conformance`")
def example_is_valid(subject: Subject) -> None:
    """The example's options are valid (without an example: the plugin needs none)."""
    try:
        subject.registration.options.model_validate(subject.document)
    except ValidationError as error:
        expect(False, str(error))


@rule("derive `Options` from that of the kind, and add no `extra`")
def unknown_keys_refused(subject: Subject) -> None:
    """Unknown keys and another plugin's name are refused."""
    model = subject.registration.options
    model.model_validate(subject.document)
    for wrong in ({NO_SUCH_KEY: 1}, {subject.plugin.key: "another"}):
        expect_refusal(ValidationError, partial(model.model_validate, {**subject.document, **wrong}), f"{wrong} taken")


@rule("derive `Options` from that of the kind, and keep `frozen`")
def options_immutable(subject: Subject) -> None:
    """Options can't be changed once they are made, so that plans and keys made of them stay true."""
    for name in type(subject.options).model_fields:
        change = partial(setattr, subject.options, name, getattr(subject.options, name))
        expect_refusal(ValidationError, change, f"{name} could be set")


@rule("use types that pydantic writes to JSON and reads back the same (tuples, not arrays); the store keeps them so")
def options_survive_json(subject: Subject) -> None:
    """Options that were written as JSON and read again are equal."""
    text = subject.options.model_dump_json(by_alias=True)
    again = subject.registration.options.model_validate_json(text)
    expect(again == subject.options, f"{again!r} after {subject.options!r}")


@rule("define the class and its options at the top of a module; workers get both by pickle")
def survives_pickle(subject: Subject) -> None:
    """The class and its options can be pickled."""
    for value in (subject.plugin, subject.options):
        again = pickle.loads(pickle.dumps(value))
        expect(again == value, f"{again!r} after {value!r}")


RULES_OF_CLASS: tuple[Rule[Subject], ...] = (
    documented,
    interface_accepted,
    options_have_a_schema,
    options_described,
)
"""Of the class alone, whatever its options."""

RULES_OF_OPTIONS: tuple[Rule[Subject], ...] = (
    example_is_valid,
    unknown_keys_refused,
    options_immutable,
    options_survive_json,
    survives_pickle,
)
"""Of one example."""
