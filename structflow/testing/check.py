"""What a broken promise looks like: what was got, what is expected, what to do."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..errors import Problem
from ..plugins.torch_errors import in_words


class Complaint(Exception):
    """What a test got in place of what it expects; `remedy` makes the message of it."""


def remedy(advice: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a test whose docstring says what is expected fail with one `AssertionError` that says that and the advice.

    It names the `about` of the test's argument, or of its own class where it has none.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        expected = " ".join((test.__doc__ or "").split())

        @wraps(test)
        def told(self: Any, **given: Any) -> None:
            __tracebackhide__ = True
            try:
                test(self, **given)
                return
            except Complaint as complaint:
                got, cause = str(complaint), None
            except (Exception, SystemExit) as error:
                words = in_words(error)
                does = f"; the code {words}" if words is not None else ""
                got, cause = f"it raised {type(error).__name__}: {error}{does}", error
            about = f"{next(iter(given.values()), self).about} breaks {test.__name__.removeprefix('test_')}"
            raise AssertionError(f"{about}\n  got: {got}\n  expected: {expected}\n  to fix it: {advice}") from cause

        return told

    return decorate


def expect(holds: bool, got: str) -> None:
    """Complain about what was got unless it holds."""
    if not holds:
        raise Complaint(got)


def expect_refusal(refused: type[Exception] | tuple[type[Exception], ...], call: Callable[[], Any], got: str) -> None:
    """Complain unless the call raises one of these errors."""
    try:
        call()
    except refused:
        return
    raise Complaint(got)


PROBLEMS = (
    "return a list of structflow.errors.Problem from `conflicts`, empty where all is well, with path and suggestion"
)


def expect_problems(call: Callable[[], Any], of: str) -> list[Problem]:
    """Complain unless a call gives a list of problems, each with path, message and suggestion, and gives it again."""
    found = call()
    expect(isinstance(found, list), f"{type(found).__name__} for {of}: {found!r}")
    expect(all(isinstance(problem, Problem) for problem in found), f"{found!r} for {of}")
    silent = [problem for problem in found if not (problem.path and problem.message and problem.suggestion)]
    expect(not silent, f"problems without path, message or suggestion for {of}: {silent}")
    expect(call() == found, f"other problems at the second call for {of}")
    return list(found)
