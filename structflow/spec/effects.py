"""What a key of the spec affects, said once, where the key is declared: `seed: Annotated[int, effect("training")]`.

Training keys, evaluation keys, what extends a run and what stages and sweeps may change all follow from these marks. A
mark of a section holds for everything in it, but for keys that have marks of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .key_path import KeyPath, format_path
from .schema_walk import is_model, of_field, step

Affected = Literal["training", "evaluation", "members", "nothing"]
"""What a member's training finds, what is found of a trained member, which members there are, none of these."""

Kept = dict[str, "bool | Kept"]
"""Fields of a model to leave in or out, as pydantic's `include` and `exclude` take them."""


@dataclass(frozen=True)
class Effect:
    """What a key affects, and where it may change.

    `extends`: a run can be extended by another value, `options` by other keys of the same plugin. `per_stage` and
    `swept`: stages, or sweeps, may change it. `relaxed`: it affects members with a relaxed structure alone. `own_part`:
    training keys hold it outside of their settings, such as the device. `identifies`: the spec's hash depends on it.
    """

    affects: tuple[Affected, ...]
    extends: bool | Literal["options"] = False
    per_stage: bool = True
    swept: bool = True
    relaxed: bool = False
    own_part: bool = False
    identifies: bool = True

    @property
    def in_settings(self) -> bool:
        """Whether it is among the settings in a member's training key."""
        return "training" in self.affects and not self.own_part


def effect(
    *affects: Affected,
    extends: bool | Literal["options"] = False,
    per_stage: bool = True,
    swept: bool = True,
    relaxed: bool = False,
    own_part: bool = False,
    identifies: bool = True,
) -> Effect:
    """The mark of a field, in its `Annotated`."""
    return Effect(affects, extends, per_stage, swept, relaxed, own_part, identifies)


def mark_of(field: FieldInfo) -> Effect | None:
    """The mark of a field, if it has one."""
    return next((each for each in field.metadata if isinstance(each, Effect)), None)


def inner_models(field: FieldInfo) -> list[type[BaseModel]]:
    """The models that a field's value, or an element of it, may have; those of plugins aren't among them."""
    return [type_ for type_ in of_field(field) if is_model(type_)]


def effects(model: type[BaseModel], around: Effect | None = None) -> Iterator[tuple[KeyPath, Effect | None]]:
    """The innermost keys of a model with their effects, None where neither they nor what is around them is marked."""
    for name, field in model.model_fields.items():
        found, inside = mark_of(field) or around, inner_models(field)
        if not inside:
            yield (field.alias or name,), found
        for each in inside:
            for path, own in effects(each, found):
                yield (field.alias or name, *path), own


def effect_at(model: type[BaseModel], path: KeyPath) -> Effect | None:
    """The effect of the value at a path; None where it isn't marked. A plugin's keys have that of the plugin."""
    found, types = None, [model]
    for key in path:
        for type_ in types:
            for name, field in type_.model_fields.items() if is_model(type_) else ():
                if key == (field.alias or name):
                    found = mark_of(field) or found
        types = [inner for type_ in types for inner in step(type_, key)]
    return found


def has_marks(model: type[BaseModel]) -> bool:
    """Whether any key of a model, at any depth, is marked."""
    return any(
        mark_of(field) is not None or any(map(has_marks, inner_models(field))) for field in model.model_fields.values()
    )


def selected(model: type[BaseModel], wanted: Callable[[Effect], bool], around: Effect | None = None) -> Kept:
    """The fields whose effects are wanted, for pydantic's `include`; sections that hold none are left out."""
    found: Kept = {}
    for name, field in model.model_fields.items():
        own, sections = mark_of(field) or around, [each for each in inner_models(field) if has_marks(each)]
        inside = {key: kept for each in sections for key, kept in selected(each, wanted, own).items()}
        if inside or (not sections and own is not None and wanted(own)):
            found[name] = inside or True
    return found


def fixed_keys(model: type[BaseModel], may_change: Callable[[Effect], bool], path: KeyPath = ()) -> Iterator[str]:
    """The dotted outermost keys whose marks forbid a change."""
    for name, field in model.model_fields.items():
        key, mark = (*path, field.alias or name), mark_of(field)
        if mark is not None and not may_change(mark):
            yield format_path(key)
        else:
            for each in inner_models(field):
                yield from fixed_keys(each, may_change, key)
