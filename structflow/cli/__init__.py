"""The command line. Commands are small modules that import what they need when they run, so that help is instant."""

from __future__ import annotations

import sys
from pathlib import Path

from ..store.names import PLAN
from .signals import end_on_signals

run_path: Path | None = None
"""The directory of the run that the command is about, as soon as it is known."""


def main() -> None:
    """Entry point of `structflow`: runs the command and turns errors into plain words and exit codes."""
    end_on_signals()
    from .encoding import substitute_what_streams_lack
    from .errors import report_error
    from .group import cli

    substitute_what_streams_lack()
    debug = "--debug" in sys.argv
    try:
        code = cli.main(prog_name="structflow", standalone_mode=False)
    except BaseException as error:
        code = report_error(error, debug)
    warn_of_broken_packages()
    sys.exit(code if isinstance(code, int) else 0)


def warn_of_broken_packages() -> None:
    """Name the plugin packages that can't be used, where the command looked for plugins at all."""
    loaded = sys.modules.get("structflow.plugins.registry")
    if loaded is None or not loaded.registry.cache_info().currsize:
        return
    for package in loaded.registry().packages:
        if package.status == "broken":
            sys.stderr.write(f"warning: the plugin {package.words}: look with `structflow plugins`\n")


def continues(arguments: list[str]) -> str:
    """What to say about a command that was stopped: only `run` and `resume` continue, and only what has a plan."""
    if not {"run", "resume"} & set(arguments[1:3]):
        return ""
    is_begun = run_path is not None and (run_path / PLAN).exists()
    return f"; the same command {'continues the run' if is_begun else 'starts it again'}"


def note_run_path(path: Path) -> Path:
    """Remember the directory of the run that the command is about, for `continues`; returns it."""
    global run_path
    run_path = path
    return path
