"""Fields of the spec whose value is a plugin's options: `{type: dense, activation: tanh}`, or just `linear`."""

from __future__ import annotations

from typing import Annotated, Any, Union

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from ..plugins import KINDS
from ..plugins.registry import registry


class PluginChoice:
    """Annotation of a field that takes the options of any installed plugin of one kind.

    The union over the plugins' models is taken when the spec's models are built, so that their keys, defaults and
    descriptions are part of the spec's own checks and JSON schema. A bare word stands for a plugin with default
    options; `default` is the type of a mapping that names none.
    """

    def __init__(self, kind: str, default: str | None = None):
        self.kind = kind
        self.default = default
        self.key: str = KINDS[kind].key  # type: ignore[attr-defined]

    def _with_type(self, value: Any) -> Any:
        if isinstance(value, str):
            return {self.key: value}
        if isinstance(value, dict) and self.default is not None and self.key not in value:
            return {self.key: self.default, **value}
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        models = tuple(registration.options for registration in registry().of_kind(self.kind).values())
        if not models:
            raise RuntimeError(f"no plugin of kind {self.kind} is installed; reinstall structflow")
        union: Any = models[0] if len(models) == 1 else Annotated[Union[models], Field(discriminator=self.key)]
        return handler.generate_schema(Annotated[union, BeforeValidator(self._with_type)])
