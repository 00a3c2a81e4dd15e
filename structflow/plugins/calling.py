"""Calls of plugins from the core: errors in one name its kind, its type and its package."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from ..errors import FunctionError, PluginError, Problem, StructflowError
from .hookspecs import KINDS, noun_of
from .plugin import Plugin
from .registry import registry
from .torch_errors import in_words

SIGNALLED = (130, 143)
"""Exit codes of a `SystemExit` that a signal raises, whatever was running: no plugin raised it."""

OF_THE_MACHINE = ("OutOfMemoryError", "AcceleratorError")
"""Errors of torch that say nothing of the code that raised them."""

NO_MEMORY = "DefaultCPUAllocator"
"""torch says in a plain `RuntimeError` that the memory of the machine is used up, and names this."""


def kind_of(plugin: type[Plugin]) -> str:
    """The kind of a plugin, by the name of its hook."""
    return next(kind for kind, base in KINDS.items() if issubclass(plugin, base))


def package_of(plugin: type[Plugin]) -> str:
    """The package that registered a plugin; for a class that none did, its module."""
    registered = registry().of_kind(kind_of(plugin)).get(plugin.type)
    is_this = registered is not None and registered.plugin is plugin
    return registered.origin if is_this and registered is not None else plugin.__module__


def named_plugin(plugin: type[Plugin]) -> str:
    """A plugin in a message, such as `likelihood 'student_t' of package structflow-student`."""
    return f"{noun_of(kind_of(plugin))} {plugin.type!r} of package {package_of(plugin)}"


def origin_of(plugin: type[Plugin]) -> str:
    """Where a plugin comes from, where its kind has been said, such as `type 'wave' of package structflow-waves`."""
    return f"type {plugin.type!r} of package {package_of(plugin)}"


def broken_contract(plugin: type[Plugin], method: str, got: str, expected: str) -> PluginError:
    """The error for a method that returned something else than its contract says."""
    return PluginError(f"{named_plugin(plugin)} broke its contract: {method} returned {got}; expected {expected}")


def of_the_plugin(error: BaseException) -> bool:
    """Whether what a plugin's code raised is its own fault: no deliberate error, no interrupt, not a lack of memory."""
    if isinstance(error, SystemExit):
        return error.code not in SIGNALLED
    if isinstance(error, StructflowError | KeyboardInterrupt | GeneratorExit | MemoryError):
        return False
    torch = sys.modules.get("torch")
    errors = tuple(getattr(torch, name) for name in OF_THE_MACHINE if hasattr(torch, name))
    return not isinstance(error, errors) and NO_MEMORY not in str(error)


def told(error: BaseException, method: str) -> str:
    """What a method did that raised an error: in words where torch's text is known, else the error itself."""
    words = in_words(error)
    if words is not None:
        return f"{method} {words}"
    text = " ".join(str(error).split())
    return f"{method} raised {type(error).__name__}{f': {text}' if text else ''}"


class Calling:
    """`with Calling(plugin, "method"):` turns what its code raises into a `PluginError` that names the plugin.

    structflow's own deliberate errors, interrupts and a lack of memory pass unchanged, and so do those of the
    classes `through`. `name` gives another description of the plugin, and `error` the class of the error.
    """

    __slots__ = ("error", "method", "name", "plugin", "through")

    def __init__(
        self,
        plugin: type[Plugin],
        method: str,
        name: Callable[[], str] | None = None,
        error: type[PluginError] = PluginError,
        through: tuple[type[BaseException], ...] = (),
    ):
        self.plugin, self.method, self.name, self.error, self.through = plugin, method, name, error, through

    def __enter__(self) -> None:
        """Nothing is set up."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raise the `PluginError`."""
        if error is None or isinstance(error, self.through):
            return
        # a FunctionError is only of the members whose code it was, whatever the cause: that is looked at later
        if not of_the_plugin(error) and not (self.error is FunctionError and isinstance(error, Exception)):
            return
        name = named_plugin(self.plugin) if self.name is None else self.name()
        raise self.error(f"{name}: {told(error, self.method)}") from error


def conflicts_of(plugin: type[Any], *arguments: Any) -> list[Problem]:
    """Problems that a plugin finds in a spec by its `conflicts`; raises `PluginError` for anything else."""
    return problems_from(plugin, "conflicts", *arguments)


def problems_from(plugin: type[Any], method: str, *arguments: Any) -> list[Problem]:
    """Problems that a method of a plugin returns; raises `PluginError` for anything else."""
    with Calling(plugin, method):
        found: Any = getattr(plugin, method)(*arguments)
        problems = list(found) if isinstance(found, Iterable) and not isinstance(found, str) else [found]
    wrong = [each for each in problems if not isinstance(each, Problem)]
    if wrong:
        raise broken_contract(plugin, method, f"{wrong[0]!r}", "a list of structflow.errors.Problem")
    return problems


def checked_shape(plugin: type[Plugin], method: str, shape: Any, what: str = "") -> tuple[int, ...]:
    """A shape that a plugin returned; raises `PluginError` unless it is a tuple of whole numbers of at least 1."""
    sizes = tuple(shape) if isinstance(shape, tuple | list) else None
    if sizes is None or not all(type(size) is int and size >= 1 for size in sizes):
        raise broken_contract(plugin, method, f"{shape!r}{what}", "a tuple of whole numbers of at least 1")
    return sizes
