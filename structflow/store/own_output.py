"""Files that a command or a tracker writes where the user says, kept apart from the files of the run."""

from __future__ import annotations

from pathlib import Path

from ..errors import CallError
from .names import OWN_NAMES
from .own_folder import OwnFolder


def refuse_own_file(run: Path, target: Path) -> None:
    """Raise `CallError` where writing `target` would overwrite a file of the run in directory `run`.

    Raises `StorageError` where a name in the run directory, such as that of a figure, is a link or no regular file.
    Elsewhere the user decides: a link is followed there, and a device is written to.
    """
    top = run.resolve()
    for path in (target.parent.resolve() / target.name, target.resolve()):
        if top not in path.parents:
            continue
        name = path.relative_to(top)
        if name.parts[0] in OWN_NAMES:
            raise CallError(f"{target} is one of the files that the run in {run} consists of; choose another name")
        files = OwnFolder(run)
        if files.has(name.as_posix()):
            files.state(name.as_posix())
