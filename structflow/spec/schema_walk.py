"""Follows a location of a pydantic error through the types of the spec's models.

pydantic's locations hold more than keys: the tag of the plugin that was chosen, and the label of the branch of a union
that was tried. The types tell which is which, and which keys were possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .choice import PluginChoice
from .key_path import KeyPath


def alternatives(annotation: Any, metadata: Sequence[Any] = ()) -> list[Any]:
    """The types a value may have: models, containers, scalars and choices of plugins."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return alternatives(inner, metadata)
    choices = [item for item in metadata if isinstance(item, PluginChoice)]
    if choices:
        return list(choices)
    if get_origin(annotation) in (Union, UnionType):
        return [found for branch in get_args(annotation) for found in alternatives(branch)]
    return [annotation]


def of_field(field: FieldInfo) -> list[Any]:
    """The types of a model's field."""
    return alternatives(field.annotation, field.metadata)


def step(type_: Any, element: str | int) -> list[Any]:
    """The types one element further; empty if the element doesn't belong to this type."""
    if isinstance(type_, PluginChoice):
        return [plugin.options for name, plugin in type_.plugins.items() if name == element]
    if is_model(type_):
        for name, field in type_.model_fields.items():
            if element == (field.alias or name):
                return of_field(field)
        return [type_] if str(element).strip("]").endswith(type_.__name__) else []
    arguments = get_args(type_)
    if get_origin(type_) in (tuple, list) and isinstance(element, int):
        return alternatives(arguments[0])
    if get_origin(type_) is dict:
        return alternatives(arguments[1])
    return []


def is_model(type_: Any) -> bool:
    """Whether it is a class of pydantic models."""
    return isinstance(type_, type) and issubclass(type_, BaseModel)


def types_at(model: type[BaseModel], location: Sequence[str | int]) -> list[Any]:
    """The types at a location of an error; a label that no type knows changes nothing."""
    types: list[Any] = [model]
    for element in location:
        types = [found for type_ in types for found in step(type_, element)] or types
    return types


def known_keys(types: Sequence[Any]) -> list[str]:
    """The keys that the models among these types take."""
    return [field.alias or name for type_ in types if is_model(type_) for name, field in type_.model_fields.items()]


def holds(value: Any, element: str | int) -> bool:
    """Whether the data have this key or position."""
    if isinstance(value, list):
        return isinstance(element, int) and element < len(value)
    return isinstance(value, dict) and element in value


@dataclass(frozen=True)
class Place:
    """Where an error belongs in the document.

    `path` holds the keys that stand there and `value` what they hold. Where branches of a union were tried, `union`
    is the path of the value and `branch` the label of the branch.
    """

    path: KeyPath
    value: Any
    union: KeyPath | None = None
    branch: str = ""


def place_of(model: type[BaseModel], location: Sequence[str | int], data: Any) -> Place:
    """The place in `data` of an error's location."""
    path: KeyPath = ()
    union: KeyPath | None = None
    branch = ""
    types: list[Any] = [model]
    value = data
    for element in location:
        is_tag = any(isinstance(type_, PluginChoice) and element in type_.plugins for type_ in types)
        is_missing_key = not isinstance(value, list) and element in known_keys(types)
        types = [found for type_ in types for found in step(type_, element)] or types
        if is_tag:
            continue
        if holds(value, element):
            value = value[element]
        elif is_missing_key:
            value = None
        else:
            if union is None:
                union, branch = path, str(element)
            continue
        path = (*path, element)
    return Place(path, value, union, branch)
