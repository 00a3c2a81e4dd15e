"""`objective.preset` and its options are read as `criterion`, and what is wrong is said where it is written."""

from __future__ import annotations

import pytest

from structflow.errors import SpecError
from structflow.spec.load import spec_from_mapping
from structflow.spec.spec_hash import spec_hash
from structflow.spec.validate import validate_data

from .examples import example

FIXED = {"prior": {"weights": {"precision": 1.0}}}


def test_both_spellings_are_one_spec():
    """Options of other presets are ignored, as they were: a sweep over presets gives those of all."""
    old = example(objective={"preset": "cross_validation", "folds": 7, "held_out": 0.3, "c_reg": 2.0}, **FIXED)
    new = example(criterion={"type": "cross_validation", "folds": 7}, objective={"c_reg": 2.0}, **FIXED)
    one, other = spec_from_mapping(old), spec_from_mapping(new)
    assert one == other
    assert spec_hash(one) == spec_hash(other)
    assert one.criterion.folds == 7


def test_a_sweep_or_a_command_may_set_either():
    spec = spec_from_mapping(example(**FIXED), ["objective.preset=hold_out", "objective.held_out=0.4"])
    assert (spec.criterion.type, spec.criterion.held_out) == ("hold_out", 0.4)
    assert spec_from_mapping(example(**FIXED), ["criterion=map"]).criterion.type == "map"
    swept = example(**FIXED, sweep=[{"objective.preset": ["map", "cross_validation"]}])
    assert spec_from_mapping(swept).criterion.type == "evidence"


@pytest.mark.parametrize(
    ("objective", "path"),
    [
        ({"preset": "likely"}, "objective.preset"),
        ({"preset": 3}, "objective.preset"),
        ({"preset": "cross_validation", "folds": 1}, "objective.folds"),
        ({"preset": "cross_validation", "folds": "5"}, "objective.folds"),
    ],
)
def test_problems_stand_where_the_spec_has_them(objective, path):
    _, problems = validate_data(example(objective=objective))
    assert [problem.path for problem in problems] == [path]


def test_one_of_the_two_is_enough():
    """The older spelling beside the newer one is a key that nothing reads."""
    _, problems = validate_data(example(criterion="map", objective={"preset": "map"}))
    assert [problem.path for problem in problems] == ["objective.preset"]


def test_checks_between_keys_are_told_where_the_preset_is():
    with pytest.raises(SpecError) as caught:
        spec_from_mapping(example(objective={"preset": "cross_validation"}, optimizer={"outer": "one_level"}))
    assert "objective.preset" in {problem.path for problem in caught.value.problems}
