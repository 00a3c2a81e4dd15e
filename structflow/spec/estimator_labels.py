"""What the estimators of a spec are called in results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any


def estimator_labels(estimators: Sequence[Any]) -> tuple[str, ...]:
    """A name for each: its type, with the options that aren't defaults where the type is listed more than once.

    `laplace` and `laplace(hessian=ggn)`, say. Two of one type with the same options have the same name.
    """
    counts = Counter(options.type for options in estimators)
    return tuple(label(options) if counts[options.type] > 1 else options.type for options in estimators)


def label(options: Any) -> str:
    """The type and the options that aren't defaults, by the keys of the spec."""
    defaults = type(options)()
    given = options.model_dump(by_alias=True, mode="json")
    usual = defaults.model_dump(by_alias=True, mode="json")
    changed = [f"{key}={value}" for key, value in given.items() if value != usual[key]]
    return f"{options.type}({', '.join(changed)})" if changed else str(options.type)
