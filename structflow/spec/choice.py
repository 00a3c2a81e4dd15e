"""Fields of the spec whose value is a plugin's options: `{type: dense, activation: tanh}`, or just `linear`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, PydanticOmit, PydanticUseDefault, core_schema

from ..plugins import KINDS, noun_of
from ..plugins.calling import Calling
from ..plugins.registry import Registration, registry


@dataclass(frozen=True)
class EarlierForm:
    """A form of a choice that earlier versions of the spec had: its JSON schema, and what rewrites it, or nothing."""

    rewritten: Callable[[Any], Any]
    schema: Mapping[str, Any]


class PluginChoice:
    """Annotation of a field that takes the options of any installed plugin of one kind.

    The union over the plugins' models is taken when the spec's models are built, so that their keys, defaults and
    descriptions are part of the spec's own checks and JSON schema. A bare word stands for a plugin with default
    options; `default` is the type of a mapping that names none. `earlier` is a form that earlier versions were given.
    """

    def __init__(self, kind: str, default: str | None = None, earlier: EarlierForm | None = None):
        self.kind = kind
        self.default = default
        self.earlier = earlier
        self.key: str = KINDS[kind].key

    @property
    def noun(self) -> str:
        """What one plugin of the kind is called in a message."""
        return noun_of(self.kind)

    @property
    def plugins(self) -> dict[str, Registration]:
        """The plugins to choose from, by the word a spec uses."""
        return registry().of_kind(self.kind)

    def with_type(self, value: Any) -> Any:
        """A bare word as a mapping, and a mapping with its type."""
        if self.earlier is not None:
            value = self.earlier.rewritten(value)
        if isinstance(value, str):
            return {self.key: value}
        if isinstance(value, dict) and self.default is not None and self.key not in value:
            return {self.key: self.default, **value}
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if not self.plugins:
            raise RuntimeError(f"no plugin of kind {self.kind} is installed; reinstall structflow")
        models: dict[Any, CoreSchema] = {
            type_name: core_schema.no_info_wrap_validator_function(
                partial(validated, plugin.plugin), handler.generate_schema(plugin.options)
            )
            for type_name, plugin in self.plugins.items()
        }
        union = core_schema.tagged_union_schema(choices=models, discriminator=self.key)
        return core_schema.no_info_before_validator_function(self.with_type, union)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The keys of one plugin, or the name of a plugin that can do without keys."""
        union: Any = schema["schema"]  # inside the before-validator
        forms: list[JsonSchemaValue] = []
        for type_name, model in union["choices"].items():
            keys = handler(model)
            if type_name != self.default:
                keys = {**keys, "required": [self.key, *keys.get("required", [])]}
            forms.append(keys)
        if self.earlier is not None:
            forms.append({**self.earlier.schema, "deprecated": True})
        bare_words = [name for name, plugin in self.plugins.items() if not needs_keys(plugin.options)]
        return {"anyOf": [*forms, {"enum": bare_words}] if bare_words else forms}


def validated(plugin: type[Any], value: Any, validate: Callable[[Any], Any]) -> Any:
    """The options of a plugin; what its validators raise besides pydantic's errors names the plugin."""
    try:
        return validate(value)
    except (ValidationError, PydanticCustomError, PydanticOmit, PydanticUseDefault):
        raise
    except BaseException:
        with Calling(plugin, "validation of its Options"):
            raise


def needs_keys(options: Any) -> bool:
    """Whether a plugin's options have keys that must be given."""
    return any(field.is_required() for field in options.model_fields.values())
