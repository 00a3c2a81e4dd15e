"""Plain data to a `Spec`, or all the problems that stand in the way."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue, ValidationError

from ..errors import Problem
from .conversions import conversions
from .models import Spec
from .older_spellings import as_written, is_spelled, with_criterion
from .problems import problems_of


def validate_data(data: Mapping[str, JsonValue]) -> tuple[Spec | None, list[Problem]]:
    """The spec of a document's data; None together with the problems where there are any."""
    if is_spelled(data):
        spec, problems = validate_data(with_criterion(data))
        return spec, [as_written(problem) for problem in problems]
    try:
        spec = Spec.model_validate(data, by_name=False)
    except ValidationError as error:
        return None, problems_of(error, Spec, data)
    except Exception as error:  # a third-party options model may raise anything
        return None, [Problem("", f"the options of a plugin can't be checked: {type(error).__name__}: {error}")]
    problems = conversions(data, spec.model_dump(by_alias=True))
    return (None, problems) if problems else (spec, [])
