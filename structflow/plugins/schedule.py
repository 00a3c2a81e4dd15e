"""A metaparameter as a function of the training step or of the stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from .options import Options


class Schedule(Options):
    """A path of one metaparameter.

    With t = step / (steps − 1), or stage / (stages − 1), running over [0, 1]:
    constant: from; linear: (1 − t) from + t to; exponential: from · (to / from)^t; list: values[⌊t · len⌋].
    """

    model_config = ConfigDict(populate_by_name=True)

    schedule: Literal["constant", "linear", "exponential", "list"]
    over: Literal["steps", "stages"] = "steps"
    start: float | None = Field(None, alias="from", description="Value at the beginning.")
    to: float | None = Field(None, description="Value at the end (linear, exponential).")
    values: tuple[float, ...] | None = Field(None, min_length=1, description="The values of a list, in order.")

    @model_validator(mode="after")
    def _keys_fit_the_kind(self) -> Schedule:
        needed = {"constant": {"from"}, "list": {"values"}}.get(self.schedule, {"from", "to"})
        given = {
            key for key, value in (("from", self.start), ("to", self.to), ("values", self.values)) if value is not None
        }
        if given != needed:
            raise ValueError(
                f"a {self.schedule} schedule takes {sorted(needed)}; got {sorted(given) or 'none of them'}"
            )
        if self.schedule == "exponential" and (self.start or 0) * (self.to or 0) <= 0:
            raise ValueError(f"an exponential schedule needs `from` and `to` of one sign; got {self.start}, {self.to}")
        return self

    def at(self, position: int, length: int) -> float:
        """Value at `position` of `length` steps or stages.

        >>> falling = Schedule.model_validate({"schedule": "exponential", "from": 1.0, "to": 0.01})
        >>> [round(falling.at(step, 3), 3) for step in range(3)]
        [1.0, 0.1, 0.01]
        """
        t = position / (length - 1) if length > 1 else 0.0
        if self.values is not None:
            return self.values[min(int(t * len(self.values)), len(self.values) - 1)]
        start = self.start if self.start is not None else 0.0
        end = self.to if self.to is not None else start
        return start * (end / start) ** t if self.schedule == "exponential" else (1 - t) * start + t * end

    def extremes(self) -> tuple[float, float]:
        """Smallest and largest value it can take; every kind is monotone or a list."""
        values = self.values or tuple(value for value in (self.start, self.to) if value is not None)
        return min(values), max(values)


def _in_range(value: float | Schedule, low: float, inclusive: bool) -> float | Schedule:
    smallest = value.extremes()[0] if isinstance(value, Schedule) else value
    if smallest < low or (smallest == low and not inclusive):
        raise ValueError(f"got {smallest}; it must be {'at least' if inclusive else 'above'} {low:g}")
    return value


def _positive(value: float | Schedule) -> float | Schedule:
    return _in_range(value, 0.0, inclusive=False)


def _not_negative(value: float | Schedule) -> float | Schedule:
    return _in_range(value, 0.0, inclusive=True)


def metaparameter_at(value: float | Schedule, step: int, steps: int, stage: int, stages: int) -> float:
    """The value at one step of one stage."""
    if not isinstance(value, Schedule):
        return value
    return value.at(stage, stages) if value.over == "stages" else value.at(step, steps)


def shown_metaparameter(value: float | Schedule) -> str:
    """A metaparameter in a message: the number, or what kind of schedule it is."""
    return f"a {value.schedule} schedule" if isinstance(value, Schedule) else f"{value:g}"


Metaparameter = float | Schedule
PositiveMetaparameter = Annotated[float | Schedule, AfterValidator(_positive)]
NonNegativeMetaparameter = Annotated[float | Schedule, AfterValidator(_not_negative)]
