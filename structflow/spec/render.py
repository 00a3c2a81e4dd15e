"""A spec as YAML text with every default filled in."""

from __future__ import annotations

from typing import Any

import yaml

from ..plugins import KINDS
from .models import Spec
from .scalars import TAGS


class SpecDumper(yaml.SafeDumper):
    """Writes text so that the loader of specs reads it back: quotes what YAML 1.2 takes for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Specs have no aliases."""
        return True


SpecDumper.yaml_implicit_resolvers = {}
for tag, pattern in TAGS.items():
    SpecDumper.add_implicit_resolver(tag, pattern, None)


def render_spec(spec: Spec, ascii_only: bool = False) -> str:
    """YAML in the order of the models that loads back to an equal spec; `ascii_only` escapes other characters."""
    return render_data(type_first(spec.model_dump(mode="json", by_alias=True)), ascii_only)


def render_data(data: Any, ascii_only: bool = False, block: bool = False) -> str:
    """Plain data as YAML that the loader of specs reads back as they are; with `block`, a line for every key."""
    return yaml.dump(
        data,
        Dumper=SpecDumper,
        sort_keys=False,
        default_flow_style=False if block else None,
        allow_unicode=not ascii_only,
        width=120,
    )


def type_first(value: Any) -> Any:
    """The same data with the key that names a plugin before its options."""
    if isinstance(value, dict):
        first = [key for key in dict.fromkeys(kind.key for kind in KINDS.values()) if key in value]
        return {key: type_first(value[key]) for key in [*first, *(key for key in value if key not in first)]}
    if isinstance(value, list):
        return [type_first(item) for item in value]
    return value
