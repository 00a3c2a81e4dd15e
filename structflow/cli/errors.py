"""Errors in plain words: one screen, what, where and what to do; a traceback only on request."""

from __future__ import annotations

import sys
import traceback

import click

from ..errors import SpecError, StructflowError

INTERRUPTED = 130

SCREEN = 40
"""Lines of a terminal's window."""

NO_MEMORY = (
    "failed to map segment",
    "Cannot allocate memory",
    "can't start new thread",
    "DefaultCPUAllocator",
    "Thread creation failed",
)
"""What errors say where memory was refused, as under `ulimit -v`."""


def report_error(error: BaseException, debug: bool) -> int:
    """Print an error to standard error and return the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        from . import continues

        sys.stderr.write(f"\ninterrupted{continues(sys.argv)}\n")
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if debug:
        traceback.print_exception(error)
    if isinstance(error, SpecError):
        sys.stderr.write(spec_error_text(error))
        return error.exit_code
    if isinstance(error, StructflowError):
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    if lacks_memory(error):
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        sys.stderr.write(
            f"error: this machine gave the command too little memory ({reason}); raise its limit (`ulimit -v`, or that "
            "of its container or job) to 3 GiB or more, or end other programs\n"
        )
        return 3
    if isinstance(error, OSError):
        where = f"can't use {error.filename}: " if error.filename else ""
        sys.stderr.write(f"error: {where}{error.strerror or error}\n")
        return 3
    sys.stderr.write(
        f"internal error: {type(error).__name__}: {str(error)[:500]}\n"
        "this is a fault of structflow or of a plugin; run again with `structflow --debug …` for the traceback\n"
    )
    return 1


def lacks_memory(error: BaseException) -> bool:
    """Whether memory ran out, which Python, the loader of libraries, threads and torch each report in their own way."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


def spec_error_text(error: SpecError) -> str:
    """All problems, one paragraph each; of more than fit a screen those that do, and where the others are."""
    where = f" in {error.file}" if error.file else ""
    lines = [f"error: {len(error.problems)} problem(s){where}"]
    for number, problem in enumerate(error.problems):
        line = f"line {problem.line}: " if problem.line is not None else ""
        paragraph = [f"  {line}{problem.path or 'spec'}: {problem.message}"]
        if problem.suggestion:
            paragraph.append(f"      → {problem.suggestion}")
        left = len(error.problems) - number
        if len(lines) + len(paragraph) + (left > 1) > SCREEN:
            lines.append(f"  … and {left} more; `structflow validate --json` lists all")
            break
        lines += paragraph
    return "\n".join(lines) + "\n"
