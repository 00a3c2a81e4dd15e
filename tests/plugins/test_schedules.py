"""Paths of metaparameters over steps and stages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from structflow.plugins import NonNegativeMetaparameter, PositiveMetaparameter, Schedule, metaparameter_at

POSITIVE = st.floats(1e-6, 1e6)
ANY = st.floats(-1e6, 1e6)


def schedule(**keys: Any) -> Schedule:
    return Schedule.model_validate(keys)


schedules = st.one_of(
    st.builds(lambda a: schedule(schedule="constant", **{"from": a}), ANY),
    st.builds(lambda a, b: schedule(schedule="linear", to=b, **{"from": a}), ANY, ANY),
    st.builds(lambda a, b: schedule(schedule="exponential", to=b, **{"from": a}), POSITIVE, POSITIVE),
    st.builds(lambda a, b: schedule(schedule="exponential", to=-b, **{"from": -a}), POSITIVE, POSITIVE),
    st.builds(lambda values: schedule(schedule="list", values=values), st.lists(ANY, min_size=1, max_size=5)),
)


@pytest.mark.parametrize(
    ("keys", "first", "middle", "last"),
    [
        ({"schedule": "constant", "from": 2.0}, 2.0, 2.0, 2.0),
        ({"schedule": "linear", "from": 1.0, "to": 3.0}, 1.0, 2.0, 3.0),
        ({"schedule": "linear", "from": 3.0, "to": -1.0}, 3.0, 1.0, -1.0),
        ({"schedule": "exponential", "from": 0.01, "to": 1.0}, 0.01, 0.1, 1.0),
        ({"schedule": "exponential", "from": -4.0, "to": -1.0}, -4.0, -2.0, -1.0),
        ({"schedule": "list", "values": [5.0, 7.0, 9.0]}, 5.0, 7.0, 9.0),
    ],
)
def test_values_at_the_ends_and_in_the_middle(keys: dict[str, Any], first: float, middle: float, last: float) -> None:
    path = schedule(**keys)
    assert path.at(0, 11) == pytest.approx(first)
    assert path.at(5, 11) == pytest.approx(middle)
    assert path.at(10, 11) == pytest.approx(last)


def test_a_list_holds_each_value_for_an_equal_share() -> None:
    path = schedule(schedule="list", values=[1.0, 2.0])
    assert [path.at(step, 5) for step in range(5)] == [1.0, 1.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize("length", range(1, 60))
def test_a_list_as_long_as_the_stages_is_one_value_a_stage(length: int) -> None:
    path = schedule(schedule="list", over="stages", values=[float(index) for index in range(length)])
    assert [path.at(stage, length) for stage in range(length)] == list(range(length))


@given(schedules)
def test_a_path_of_one_step_is_its_beginning(path: Schedule) -> None:
    begin = path.start if path.values is None else path.values[0]
    assert path.at(0, 1) == begin


@given(schedules, st.integers(1, 1000), st.data())
def test_extremes_bound_every_value(path: Schedule, length: int, data: st.DataObject) -> None:
    low, high = path.extremes()
    value = path.at(data.draw(st.integers(0, length - 1)), length)
    slack = 1e-9 * max(abs(low), abs(high), 1e-300)
    assert low - slack <= value <= high + slack


@given(schedules)
def test_extremes_are_reached(path: Schedule) -> None:
    length = 2 if path.values is None else len(path.values)
    values = [path.at(position, length) for position in range(length)]
    assert (min(values), max(values)) == pytest.approx(path.extremes())


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"schedule": "constant"}, "a constant schedule takes ['from']; got none of them"),
        ({"schedule": "constant", "from": 1, "to": 2}, "a constant schedule takes ['from']; got ['from', 'to']"),
        ({"schedule": "linear", "from": 1}, "a linear schedule takes ['from', 'to']; got ['from']"),
        ({"schedule": "list", "from": 1, "to": 2}, "a list schedule takes ['values']; got ['from', 'to']"),
        ({"schedule": "list", "values": []}, "at least 1 item"),
        ({"schedule": "exponential", "from": 0, "to": 1}, "needs `from` and `to` of one sign; got 0.0, 1.0"),
        ({"schedule": "exponential", "from": -1, "to": 1}, "needs `from` and `to` of one sign; got -1.0, 1.0"),
        ({"schedule": "cubic", "from": 1, "to": 2}, "'constant', 'linear', 'exponential' or 'list'"),
        ({"schedule": "linear", "from": 1, "to": float("inf")}, "finite number"),
        ({"schedule": "linear", "from": 1, "to": 2, "until": 3}, "Extra inputs are not permitted"),
        ({"schedule": "linear", "from": 1, "to": 2, "over": "epochs"}, "'steps' or 'stages'"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        schedule(**keys)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value", "accepted"),
    [
        (PositiveMetaparameter, 0.5, True),
        (PositiveMetaparameter, 0.0, False),
        (PositiveMetaparameter, {"schedule": "linear", "from": 1.0, "to": 0.0}, False),
        (PositiveMetaparameter, {"schedule": "list", "values": [1.0, -1.0, 1.0]}, False),
        (PositiveMetaparameter, {"schedule": "exponential", "from": 1.0, "to": 0.1}, True),
        (NonNegativeMetaparameter, 0.0, True),
        (NonNegativeMetaparameter, -1e-9, False),
        (NonNegativeMetaparameter, {"schedule": "linear", "from": 1.0, "to": 0.0}, True),
        (NonNegativeMetaparameter, {"schedule": "exponential", "from": -1.0, "to": -2.0}, False),
    ],
)
def test_ranges_hold_along_the_whole_path(kind: Any, value: Any, accepted: bool) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    if accepted:
        adapter.validate_python(value)
        return
    with pytest.raises(ValidationError, match=r"it must be (above|at least) 0"):
        adapter.validate_python(value)


def test_a_metaparameter_follows_steps_or_stages() -> None:
    over_steps = schedule(schedule="linear", to=1.0, **{"from": 0.0})
    over_stages = schedule(schedule="linear", over="stages", to=1.0, **{"from": 0.0})
    position = {"step": 2, "steps": 5, "stage": 1, "stages": 2}
    assert metaparameter_at(0.25, **position) == 0.25
    assert metaparameter_at(over_steps, **position) == 0.5
    assert metaparameter_at(over_stages, **position) == 1.0
