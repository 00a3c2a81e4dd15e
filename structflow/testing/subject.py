"""What is examined: one registered plugin with one example of its options."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..plugins import noun_of
from ..plugins.registry import Registration
from .examples import Example


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
    def document(self) -> dict[str, Any]:
        """The options as a spec has them, with the key that names the plugin."""
        return {self.plugin.key: self.registration.type, **self.example.options}

    @cached_property
    def options(self) -> Any:
        """The validated options; raises pydantic's `ValidationError` where the example doesn't fit."""
        return self.registration.options.model_validate(self.document)

    @property
    def prefix(self) -> str:
        """How the names of its checks begin."""
        return "-".join(part for part in (*prefix_of(self.registration), self.example.short) if part)

    @property
    def about(self) -> str:
        """The plugin and the example, for messages."""
        return f"{named(self.registration)} with {self.example!r}"


def prefix_of(registration: Registration) -> tuple[str, str]:
    """Kind and type."""
    return registration.kind, registration.type


def named(registration: Registration) -> str:
    """A plugin in a message: kind, type, class and package."""
    noun, plugin = noun_of(registration.kind), registration.plugin
    return f"{noun} {registration.type!r} ({plugin.__module__}.{plugin.__qualname__} of {registration.origin})"


def by_default(registration: Registration) -> Subject:
    """A plugin with default options."""
    return Subject(registration, Example())
