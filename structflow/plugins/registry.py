"""Finds the installed plugins through the entry-point group `structflow` and indexes them by kind and type.

A plugin that fails to import, or breaks the contract, is skipped and remembered with the reason, so that every
command keeps working without it.
"""

from __future__ import annotations

import copyreg
import inspect
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

import pluggy
from pydantic import BaseModel, create_model

from ..errors import PluginError
from . import hookspecs
from .options import Options
from .plugin import INTERFACE_VERSION, Plugin

GROUP = hookspecs.PROJECT
BUILTIN = "structflow.builtin.hooks"


@dataclass(frozen=True)
class Registration:
    """One plugin that is ready to use, and the package it came from."""

    kind: str
    plugin: type[Any]
    origin: str
    options: type[BaseModel]

    @property
    def type(self) -> str:
        """The word a spec uses."""
        return str(self.plugin.type)


@dataclass(frozen=True)
class Broken:
    """A package, or one of its plugins, that can't be used, with the reason in one line."""

    origin: str
    reason: str


@dataclass
class Registry:
    """The plugins of one process."""

    kinds: dict[str, dict[str, Registration]] = field(default_factory=lambda: {kind: {} for kind in hookspecs.KINDS})
    broken: list[Broken] = field(default_factory=list)

    def of_kind(self, kind: str) -> dict[str, Registration]:
        """Plugins of one kind by type, in the order they were registered."""
        return self.kinds[kind]

    def get(self, kind: str, type_name: str) -> type[Any]:
        """The plugin class; raises `PluginError` naming what is installed."""
        try:
            return self.kinds[kind][type_name].plugin
        except KeyError:
            known = ", ".join(self.kinds[kind]) or "none"
            raise PluginError(f"no {kind} plugin named {type_name!r}; installed: {known}") from None

    def add(self, kind: str, plugin: Any, origin: str) -> None:
        """Check one class against its contract and index it; raises `PluginError`."""
        check_contract(kind, plugin)
        present = self.kinds[kind].get(plugin.type)
        if present is not None:
            raise PluginError(
                f"{kind} {plugin.type!r} of {origin} is refused: {present.origin} already registered that name"
            )
        self.kinds[kind][plugin.type] = Registration(kind, plugin, origin, options_with_type(kind, plugin))


def check_contract(kind: str, plugin: Any) -> None:
    """Raise `PluginError` unless `plugin` is a finished class of this kind for this interface version."""
    base = hookspecs.KINDS[kind]
    if not (isinstance(plugin, type) and issubclass(plugin, base)):
        raise PluginError(f"hook {kind} returned {plugin!r}; expected a subclass of {base.__name__}")
    major, minor = plugin.interface
    if major != INTERFACE_VERSION[0] or minor > INTERFACE_VERSION[1]:
        ours = ".".join(map(str, INTERFACE_VERSION))
        raise PluginError(f"{plugin.__name__} is written for plugin interface {major}.{minor}; this is {ours}")
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


def options_with_type(kind: str, plugin: type[Plugin]) -> type[BaseModel]:
    """The plugin's options model with the discriminating key (`type`, for data `source`) added.

    No module holds the model under its name, so its instances are pickled by the name of the plugin.
    """
    discriminator: dict[str, Any] = {plugin.key: (Literal[plugin.type], plugin.type)}
    model: type[BaseModel] = create_model(
        f"{plugin.__name__}Options", __base__=plugin.Options, __doc__=inspect.getdoc(plugin), **discriminator
    )
    copyreg.pickle(model, partial(pickled_options, kind, plugin.type))
    return model


def pickled_options(kind: str, type_name: str, options: BaseModel) -> tuple[Any, ...]:
    """How pickle stores options: the plugin they belong to and their state."""
    return unpickled_options, (kind, type_name, options.__getstate__())


def unpickled_options(kind: str, type_name: str, state: Any) -> BaseModel:
    """Options of a plugin of this process from their pickled state; raises `PluginError` where it isn't installed."""
    registry().get(kind, type_name)
    model = registry().of_kind(kind)[type_name].options
    options = model.__new__(model)
    options.__setstate__(state)
    return options


def load_registry(points: list[EntryPoint]) -> Registry:
    """Import every entry point and index what its hooks return; failures are recorded, never raised."""
    registry = Registry()
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for point in points:
        origin = point.dist.name if point.dist else point.value
        try:
            manager.register(point.load(), name=f"{origin}:{point.name}")
            check_hooks(manager, f"{origin}:{point.name}")
        except PluginError as error:
            registry.broken.append(Broken(origin, str(error)))
        except (Exception, SystemExit) as error:  # a stranger's package may raise anything at import
            registry.broken.append(Broken(f"{origin} ({point.value})", f"{type(error).__name__}: {error}"))
    for kind in hookspecs.KINDS:
        for implementation in getattr(manager.hook, kind).get_hookimpls():
            register_implementation(registry, kind, implementation)
    return registry


def check_hooks(manager: pluggy.PluginManager, name: str) -> None:
    """Raise `PluginError` for a module without hooks, or with one that structflow never calls."""
    callers = manager.get_hookcallers(manager.get_plugin(name)) or []
    unknown = sorted(caller.name for caller in callers if not caller.has_spec())
    if unknown or not callers:
        got = f"hooks {', '.join(unknown)}, which don't exist" if unknown else "no hooks"
        raise PluginError(f"it defines {got}; mark functions named {', '.join(hookspecs.KINDS)} with hookimpl")


def register_implementation(registry: Registry, kind: str, implementation: pluggy.HookImpl) -> None:
    """Index what one package's hook returns; called one by one so that a hook that raises harms only itself."""
    origin = implementation.plugin_name.partition(":")[0]
    try:
        returned: Any = implementation.function()
        classes = list(returned)
    except (Exception, SystemExit) as error:  # a stranger's hook may raise anything
        registry.broken.append(Broken(f"{origin} ({kind})", f"{type(error).__name__}: {error}"))
        return
    for plugin in classes:
        try:
            registry.add(kind, plugin, origin)
        except PluginError as error:
            registry.broken.append(Broken(origin, str(error)))
        except Exception as error:  # class attributes that can't be read, options that pydantic refuses
            registry.broken.append(Broken(f"{origin} ({plugin!r})", f"{type(error).__name__}: {error}"))


@cache
def registry() -> Registry:
    """The registry of this process: structflow's own plugins first, then the others by name."""
    points = sorted(
        entry_points(group=GROUP), key=lambda point: (point.value != "structflow.builtin.hooks", point.value)
    )
    return load_registry(points)
