"""Finds the installed plugins through the entry-point group `structflow` and indexes them by kind and type.

A plugin that fails to import, or breaks the contract, is skipped and remembered with the reason, so that every
command keeps working without it.
"""

from __future__ import annotations

import contextlib
import copyreg
import inspect
import sys
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.metadata import EntryPoint
from typing import Any, Literal

import pluggy
from pydantic import BaseModel, create_model

from ..errors import PluginError
from . import hookspecs
from .contract import check_contract, hook_problems, is_wrapper, unmarked_hooks
from .packages import (
    BUILTIN,
    GROUP,
    VARIABLE,
    Package,
    installed_points,
    is_selected,
    missing_packages,
    package_of,
    selected_packages,
)

__all__ = ["BUILTIN", "GROUP", "Broken", "Registration", "Registry", "load_registry", "registry"]


@dataclass(frozen=True)
class Registration:
    """One plugin that is ready to use, and the package and the hook it came from."""

    kind: str
    plugin: type[Any]
    origin: str
    options: type[BaseModel]
    version: str | None = None
    hook: str | None = None

    @property
    def type(self) -> str:
        """The word a spec uses."""
        return str(self.plugin.type)

    @property
    def interface(self) -> str:
        """Version of the interface that it was written for."""
        return ".".join(map(str, self.plugin.interface))

    @property
    def description(self) -> str:
        """First line of its docstring, or of that of a class it derives from; empty where only the contract has one."""
        own = self.plugin.__mro__[: self.plugin.__mro__.index(hookspecs.KINDS[self.kind])]
        documented = (inspect.cleandoc(each.__doc__) for each in own if each.__doc__)
        return next(documented, "").partition("\n")[0]


@dataclass(frozen=True)
class Broken:
    """A package, or one of its plugins, that can't be used, with the reason in one line."""

    origin: str
    reason: str


@dataclass
class Registry:
    """The plugins of one process, and the packages they were looked for in."""

    kinds: dict[str, dict[str, Registration]] = field(default_factory=lambda: {kind: {} for kind in hookspecs.KINDS})
    broken: list[Broken] = field(default_factory=list)
    packages: list[Package] = field(default_factory=list)

    def of_kind(self, kind: str) -> dict[str, Registration]:
        """Plugins of one kind by type, in the order they were registered."""
        return self.kinds[kind]

    def get(self, kind: str, type_name: str) -> type[Any]:
        """The plugin class; raises `PluginError` naming what is installed, and packages that may hold it."""
        try:
            return self.kinds[kind][type_name].plugin
        except KeyError:
            known = ", ".join(self.kinds[kind]) or "none"
            hint = f"; {self.unavailable}" if self.unavailable else ""
            raise PluginError(f"no {kind} plugin named {type_name!r}; installed: {known}{hint}") from None

    @property
    def unavailable(self) -> str | None:
        """The packages that can't be used, one of which may hold a plugin that isn't found, and what to do."""
        found = [package.words for package in self.packages if package.status in ("broken", "missing")]
        disabled = dict.fromkeys(package.origin for package in self.packages if package.status == "disabled")
        if disabled:
            found.append(f"disabled by {VARIABLE}: {', '.join(disabled)}")
        return f"{'; '.join(found)}: run `structflow plugins`" if found else None

    def add(self, kind: str, plugin: Any, origin: str, version: str | None = None, hook: str | None = None) -> None:
        """Check one class against its contract and index it; raises `PluginError`."""
        check_contract(kind, plugin)
        present = self.kinds[kind].get(plugin.type)
        if present is not None:
            raise PluginError(
                f"{kind} {plugin.type!r} of {origin} is refused: {present.origin} already registered that name; give "
                f"it a `type` of its own, such as {origin.removeprefix('structflow-')}_{plugin.type}"
            )
        options = options_with_type(kind, plugin)
        self.kinds[kind][plugin.type] = Registration(kind, plugin, origin, options, version, hook)


def options_with_type(kind: str, plugin: type[Any]) -> type[BaseModel]:
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


def load_registry(points: list[EntryPoint], selected: Collection[str] | None = None) -> Registry:
    """Import the selected entry points and index what their hooks return; failures are recorded, never raised.

    `selected` are normalised names of distributions, None for all. What a package prints goes to standard error, so
    that it doesn't get into the output of a command.
    """
    found = Registry()
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    with contextlib.redirect_stdout(sys.stderr):
        for point in points:
            package = package_of(point)
            if not is_selected(point, selected):
                found.packages.append(replace(package, status="disabled", reason=f"not named in {VARIABLE}"))
                continue
            reasons = load_package(found, manager, point, package)
            found.broken += [Broken(package.origin, reason) for reason in reasons]
            found.packages.append(replace(package, status="broken", reason="; ".join(reasons)) if reasons else package)
    found.packages += missing_packages(points, selected)
    return found


def load_package(found: Registry, manager: pluggy.PluginManager, point: EntryPoint, package: Package) -> list[str]:
    """Import one entry point and index what its hooks return; the reason for every part that can't be used."""
    try:
        module = point.load()
        if manager.is_registered(module):
            return [f"{point.value} is registered already, by {manager.get_name(module)}"]
        manager.register(module, name=f"{package.origin}:{point.name}")
        callers = manager.get_hookcallers(module) or []
        hooks = {caller.name: hook for caller in callers for hook in caller.get_hookimpls() if hook.plugin is module}
    except BaseException as error:  # a third-party package may raise anything at import
        return [in_one_line(error)]
    reasons = hook_problems(hooks, unmarked_hooks(module, hooks))
    for kind in hookspecs.KINDS:
        if kind in hooks and not is_wrapper(hooks[kind]):
            reasons += call_hook(found, kind, hooks[kind], package)
    return reasons


def call_hook(found: Registry, kind: str, hook: pluggy.HookImpl, package: Package) -> list[str]:
    """Index what one hook returns; one by one, so that what is wrong harms only itself."""
    try:
        returned: Any = hook.function()
        if isinstance(returned, type):
            return [f"hook {kind} returned {returned!r}; expected a list of classes: return [{returned.__name__}]"]
        classes = list(returned)
    except BaseException as error:  # a third-party hook may raise anything
        return [f"hook {kind}: {in_one_line(error)}"]
    reasons = []
    for plugin in classes:
        try:
            found.add(kind, plugin, package.origin, package.version, f"{package.entry_point}:{kind}")
        except PluginError as error:
            reasons.append(str(error))
        except Exception as error:  # class attributes that can't be read, options that pydantic refuses
            reasons.append(f"{plugin!r}: {in_one_line(error)}")
    return reasons


def in_one_line(error: BaseException) -> str:
    """Type and message of an error, blanks and line breaks made one blank; an interruption by the user goes on."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == hookspecs.PROJECT:
        return f"{type(error).__name__}: {error}; it is written for another version of structflow"
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


@cache
def registry() -> Registry:
    """The registry of this process: structflow's own plugins first, then the others by name of their package."""
    return load_registry(installed_points(), selected_packages())
