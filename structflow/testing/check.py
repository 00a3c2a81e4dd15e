"""One check: a function of a subject whose docstring says what is expected, and how its failure is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..plugins.torch_errors import in_words

S = TypeVar("S")


class Complaint(Exception):
    """What a check got in place of what it expects; `Check` makes the message of it."""


@dataclass(frozen=True)
class Rule(Generic[S]):
    """What a kind promises: `examine` raises where a subject breaks it, `expected` and `remedy` say what to do then.

    `marks` are names of pytest marks.
    """

    name: str
    examine: Callable[[S], None]
    expected: str
    remedy: str
    marks: tuple[str, ...] = ()


def rule(remedy: str, *marks: str) -> Callable[[Callable[[S], None]], Rule[S]]:
    """Make a rule of a function whose docstring says what is expected of the subject."""

    def decorate(examine: Callable[[S], None]) -> Rule[S]:
        expected = " ".join((examine.__doc__ or "").split())
        return Rule(examine.__name__, examine, expected, remedy, marks)

    return decorate


@dataclass(frozen=True)
class Check:
    """A rule for one subject, to be called without arguments; raises `AssertionError` where it is broken."""

    name: str
    about: str
    examine: Callable[[], None]
    expected: str
    remedy: str
    marks: tuple[str, ...] = ()

    def __call__(self) -> None:
        """Examine the subject."""
        __tracebackhide__ = True
        try:
            self.examine()
        except Complaint as complaint:
            raise AssertionError(self._message(str(complaint))) from None
        except (Exception, SystemExit) as error:
            words = in_words(error)
            does = f"; the code {words}" if words is not None else ""
            raise AssertionError(self._message(f"it raised {type(error).__name__}: {error}{does}")) from error

    def _message(self, got: str) -> str:
        return f"{self.about}\n  got: {got}\n  expected: {self.expected}\n  to fix it: {self.remedy}"


def checks_of(prefix: str, about: str, subject: S, rules: Sequence[Rule[S]]) -> list[Check]:
    """The checks of all rules for one subject; `prefix` begins their names, `about` names the subject in messages."""
    return [
        Check(
            f"{prefix}-{each.name}",
            f"{about} breaks {each.name}",
            bound(each.examine, subject),
            each.expected,
            each.remedy,
            each.marks,
        )
        for each in rules
    ]


def bound(examine: Callable[[S], None], subject: S) -> Callable[[], None]:
    """The function of one subject."""

    def examined() -> None:
        examine(subject)

    return examined


def failing(name: str, about: str, got: str, expected: str, remedy: str) -> Check:
    """A check that fails: what was found wrong before any could be made."""

    def examine() -> None:
        raise Complaint(got)

    return Check(name, about, examine, expected, remedy)


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
