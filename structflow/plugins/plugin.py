"""What every kind of plugin has in common."""

from __future__ import annotations

import builtins
from abc import ABC
from typing import ClassVar

from .options import Options

BaseOptions = Options
"""The same under a name that no class attribute hides."""

INTERFACE_VERSION = (2, 0)
"""Version of the plugin interface, (major, minor).

The minor number rises when something is added that no plugin has to know of: a hook, a method with a default, an
attribute with a default. Plugins written for an earlier minor version go on working. The major number rises when a
plugin has to be changed. A class is used if its major version is this one and its minor version not above this one.
"""


class Plugin(ABC):
    """One named choice of some kind: a basis function, a likelihood, a data source, a regime, …

    `type` is the word a spec uses, `Options` the pydantic model of its keys, `interface` the version of the
    interface it was written for. A package states that version in each class: the default is the one of the structflow
    that is installed, and says nothing.
    """

    type: ClassVar[str]
    key: ClassVar[str] = "type"
    """The key of the spec that holds `type`."""
    Options: ClassVar[builtins.type[Options]] = Options
    interface: ClassVar[tuple[int, int]] = INTERFACE_VERSION
    needed_options: ClassVar[tuple[str, ...]] = ()
    """Fields that `Options` must have, because a run reads them whatever the plugin; set by the kind."""

    @classmethod
    def least_options(cls, of_kind: builtins.type[BaseOptions]) -> builtins.type[BaseOptions]:
        """The class that `Options` must derive from: `of_kind`, that of the kind, unless the plugin offers more."""
        return of_kind
