"""What a class must be to serve as a plugin of some kind, checked when it is registered."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import pluggy

from ..errors import PluginError
from . import hookspecs
from .options import Options
from .plugin import INTERFACE_VERSION, Plugin

INTERFACE = ".".join(map(str, INTERFACE_VERSION))
"""Version of the plugin interface as text."""


def check_contract(kind: str, plugin: Any) -> None:
    """Raise `PluginError` unless `plugin` is a finished class of this kind for this interface version."""
    base = hookspecs.KINDS[kind]
    if not (isinstance(plugin, type) and issubclass(plugin, base)):
        raise PluginError(f"hook {kind} returned {plugin!r}; expected a subclass of {base.__name__}")
    check_interface(plugin)
    unset = [name for name in class_attributes(base) if not hasattr(plugin, name)]
    if unset:
        raise PluginError(
            f"{plugin.__name__} has no {' and no '.join(f'`{name}`' for name in unset)}; set it in the class"
        )
    if not isinstance(plugin.type, str) or not plugin.type:
        raise PluginError(f"{plugin.__name__}.type is {plugin.type!r}; give it the word a spec will use")
    if inspect.isabstract(plugin):
        missing = ", ".join(sorted(plugin.__abstractmethods__))
        raise PluginError(f"{plugin.__name__} doesn't implement {missing}")
    check_options(plugin)


def check_interface(plugin: type[Plugin]) -> None:
    """Raise `PluginError` for a class that was written for a newer interface, or for another major version."""
    version: Any = plugin.interface
    if not (isinstance(version, tuple) and len(version) == 2 and all(isinstance(part, int) for part in version)):
        raise PluginError(f"{plugin.__name__}.interface is {version!r}; expected two whole numbers, as in (1, 0)")
    major, minor = version
    if major == INTERFACE_VERSION[0] and minor <= INTERFACE_VERSION[1]:
        return
    remedy = "structflow" if (major, minor) > INTERFACE_VERSION else "the package"
    raise PluginError(
        f"{plugin.__name__} is written for plugin interface {major}.{minor}; this is {INTERFACE}: update {remedy}"
    )


def class_attributes(base: type[Plugin]) -> list[str]:
    """Names that an interface declares as class attributes."""
    hints = {
        name: hint for ancestor in reversed(base.__mro__) for name, hint in inspect.get_annotations(ancestor).items()
    }
    return [name for name, hint in hints.items() if str(hint).startswith(("ClassVar", "typing.ClassVar"))]


def check_options(plugin: type[Plugin]) -> None:
    """Raise `PluginError` unless `Options` is a model that refuses unknown keys and leaves the key `type` free."""
    options = plugin.Options
    if not (
        isinstance(options, type) and issubclass(options, Options) and options.model_config.get("extra") == "forbid"
    ):
        raise PluginError(f"{plugin.__name__}.Options is {options!r}; derive it from structflow.plugins.Options")
    if plugin.key in options.model_fields:
        raise PluginError(
            f"{plugin.__name__}.Options has a field {plugin.key!r}, which holds the plugin's name; rename it"
        )


def unmarked_hooks(module: Any, hooks: Collection[str]) -> list[str]:
    """Functions of a module that have the name of a hook but aren't among those marked as such."""
    own = vars(module) if inspect.ismodule(module) else {}
    return [
        kind
        for kind in hookspecs.KINDS
        if kind not in hooks and inspect.isfunction(own.get(kind)) and own[kind].__module__ == own["__name__"]
    ]


def hook_problems(hooks: Mapping[str, pluggy.HookImpl], unmarked: Sequence[str] = ()) -> list[str]:
    """What is wrong with the hooks of one module, by name: none at all, unmarked or unknown names, wrappers.

    An unknown name is either misspelt or of a later minor version of the interface, so that it costs the package
    nothing but what that hook would have returned.
    """
    known = ", ".join(hookspecs.KINDS)
    problems = [f"function {name} isn't marked with hookimpl, so that nothing calls it" for name in unmarked]
    if not hooks and not unmarked:
        return [f"it defines no hooks; mark functions named {known} with hookimpl"]
    for name, hook in hooks.items():
        if name not in hookspecs.KINDS:
            near = get_close_matches(name, hookspecs.KINDS, n=1)
            meant = f"misspelt (did you mean {near[0]}?)" if near else "misspelt"
            problems.append(
                f"hook {name} isn't part of plugin interface {INTERFACE}: {meant} or written for a newer structflow"
            )
        elif is_wrapper(hook):
            problems.append(f"hook {name} is a wrapper; expected a function that returns a list of classes")
    return problems


def is_wrapper(hook: pluggy.HookImpl) -> bool:
    """Whether a hook would run around those of other packages, in either of pluggy's styles."""
    return hook.wrapper or hook.hookwrapper
