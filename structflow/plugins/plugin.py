"""What every kind of plugin has in common."""

from __future__ import annotations

import builtins
from abc import ABC
from typing import ClassVar

from .options import Options

INTERFACE_VERSION = (1, 0)
"""Version of the plugin interface: a plugin written for a newer one is refused, for an older major one too."""


class Plugin(ABC):
    """One named choice of some kind: a basis function, a likelihood, a data source, a regime, …

    `type` is the word a spec uses, `Options` the pydantic model of its keys, `interface` the version of the
    interface it was written for.
    """

    type: ClassVar[str]
    key: ClassVar[str] = "type"
    """The key of the spec that holds `type`."""
    Options: ClassVar[builtins.type[Options]] = Options
    interface: ClassVar[tuple[int, int]] = INTERFACE_VERSION
