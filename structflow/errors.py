"""Every error structflow raises on purpose, with the exit code a command ends with.

A message says what was got, what was expected and what to do. Errors about the spec carry the path of the
offending key (`model.edges[0].basis[1].activation`), and the loader adds the line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


class StructflowError(Exception):
    """Base of all deliberate errors; `exit_code` is what the command line returns."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec or with the data it names.

    `path` is the key in dotted form, `message` what was got and expected, `suggestion` the remedy,
    `line` the 1-based line of the spec file (None for values that came from elsewhere).
    """

    path: str
    message: str
    suggestion: str | None = None
    line: int | None = None

    def at_line(self, line: int | None) -> Problem:
        """The same problem with its line."""
        return replace(self, line=line)

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        remedy = f" ({self.suggestion})" if self.suggestion else ""
        return f"{where}{self.path or 'spec'}: {self.message}{remedy}"


class SpecError(StructflowError):
    """The spec, or the data it names, can't be used; holds every problem found, not only the first."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem], file: str | None = None):
        self.problems = tuple(problems)
        self.file = file
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def single(cls, path: str, message: str, suggestion: str | None = None) -> SpecError:
        """The common case of one problem."""
        return cls([Problem(path, message, suggestion)])


class ShapeMismatch(StructflowError):
    """A basis function can't map the input shape to the output shape; raised by `weight_shapes`."""

    exit_code = 2


class CallError(StructflowError):
    """A command or function was called with something that doesn't exist or doesn't apply."""

    exit_code = 2


class PluginError(StructflowError):
    """A plugin breaks its contract: a duplicate name, a missing class attribute, a newer interface."""

    exit_code = 2


class FunctionError(PluginError):
    """A basis function raised, or returned what breaks its contract; only members that use it are concerned."""


class TaskError(StructflowError):
    """A task of a run failed; `exit_code` is that of its cause."""

    def __init__(self, task: str, message: str, exit_code: int = 1):
        self.task = task
        self.message = message
        self.exit_code = exit_code
        super().__init__(task, message, exit_code)  # all of them, so that it survives the way from a worker

    def __str__(self) -> str:
        return self.message


class StorageError(StructflowError):
    """A run directory can't be read or written."""

    exit_code = 3


class ClusterError(StructflowError):
    """The cluster can't be reached, or lost more workers than the plan allows."""

    exit_code = 4
