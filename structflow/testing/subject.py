"""What is examined: one registered plugin with one example of its options."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import JsonValue

from ..plugins import Plugin, noun_of
from ..plugins.registry import Registration


@dataclass(frozen=True)
class Subject:
    """A plugin with an example, of the class that its kind takes."""

    registration: Registration
    example: Any

    @property
    def plugin(self) -> type[Any]:
        """The class."""
        return self.registration.plugin

    @property
    def document(self) -> dict[str, JsonValue]:
        """The options as a spec has them, with the key that names the plugin."""
        return {self.plugin.key: self.registration.type, **self.example.options}

    @cached_property
    def options(self) -> Any:
        """The validated options; raises pydantic's `ValidationError` where the example doesn't fit."""
        return self.registration.options.model_validate(self.document)

    @property
    def about(self) -> str:
        """The plugin and the example, for messages."""
        return f"{named(self.registration.kind, self.plugin)} with {self.example!r}"


def named(kind: str, plugin: type[Plugin]) -> str:
    """A plugin in a message: kind, type and class."""
    return f"{noun_of(kind)} {plugin.type!r} ({plugin.__module__}.{plugin.__qualname__})"
