"""What a class must be to serve as a plugin of some kind, checked when it is registered."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pluggy

from ..errors import PluginError
from . import hookspecs
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
    check_values(base, plugin)
    check_options(base, plugin)
    if inspect.isabstract(plugin):
        missing = ", ".join(sorted(plugin.__abstractmethods__))
        raise PluginError(f"{plugin.__name__} doesn't implement {missing}")


def check_values(base: type[Plugin], plugin: type[Plugin]) -> None:
    """Raise `PluginError` unless the attributes that say yes or no, or one of a few words, have such a value."""
    for name, hint in get_type_hints(base).items():
        (declared,) = get_args(hint) or (hint,)
        allowed = (False, True) if declared is bool else get_args(declared) if get_origin(declared) is Literal else ()
        value = getattr(plugin, name)
        if allowed and not any(value is each or (value == each and type(value) is type(each)) for each in allowed):
            words = ", ".join(map(repr, allowed))
            raise PluginError(f"{plugin.__name__}.{name} is {value!r}; expected one of {words}")


def check_interface(plugin: type[Plugin]) -> None:
    """Raise `PluginError` for a class that was written for a newer interface, or for another major version."""
    version: Any = plugin.interface
    if not (isinstance(version, tuple) and len(version) == 2 and all(isinstance(part, int) for part in version)):
        raise PluginError(f"{plugin.__name__}.interface is {version!r}; expected two whole numbers, as in (2, 0)")
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


def check_options(base: type[Plugin], plugin: type[Plugin]) -> None:
    """Raise `PluginError` unless `Options` is a model with the keys that the kind's plugins are asked for.

    It refuses unknown keys, has no key `type`, and derives from the class that `least_options` gives.
    """
    options, wanted = plugin.Options, plugin.least_options(base.Options)
    if not (isinstance(options, type) and issubclass(options, wanted)):
        raise PluginError(
            f"{plugin.__name__}.Options is {options!r}; derive it from structflow.plugins.{wanted.__name__}"
        )
    if options.model_config.get("extra") != "forbid":
        raise PluginError(f"{plugin.__name__}.Options accepts unknown keys; leave `extra` out of its `model_config`")
    missing = [name for name in base.needed_options if name not in options.model_fields]
    if missing:
        raise PluginError(
            f"{plugin.__name__}.Options has no {' and no '.join(f'`{name}`' for name in missing)}, which a run reads; "
            "add the fields, with the defaults of `gumbel_softmax`"
        )
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
