"""Tables of metaparameters over steps and stages."""

from __future__ import annotations

import math

import torch

from structflow.spec.models import Spec
from structflow.train.metaparameters import MetaparameterTables, metaparameter_tables

MODEL = {"edges": [{"from": "x", "to": "y", "basis": ["linear"]}]}
DATA = {"source": "sklearn", "name": "diabetes"}


def tables(stage: int = 0, stages: int = 1, **sections) -> MetaparameterTables:
    spec = Spec.model_validate({"data": DATA, "model": MODEL, **sections})
    return metaparameter_tables(spec, stage, stages, torch.float64, torch.device("cpu"))


def test_a_learning_rate_that_is_a_number_decays_by_cosine():
    """0.2 · ½ (1 + cos(π t / 4)) for t = 0 … 3, never quite 0."""
    rate = tables(optimizer={"inner": {"lr": 0.2, "steps": 4}}).rate
    expected = [0.1 * (1 + math.cos(math.pi * t / 4)) for t in range(4)]
    torch.testing.assert_close(rate, torch.tensor(expected, dtype=torch.float64))


def test_decay_none_and_schedules_are_left_alone():
    constant = tables(optimizer={"inner": {"lr": 0.2, "steps": 3, "decay": "none"}})
    assert constant.rate.tolist() == [0.2] * 3
    assert constant.steps == 3
    schedule = {"schedule": "linear", "from": 0.4, "to": 0.2}
    linear = tables(optimizer={"inner": {"lr": schedule, "steps": 3}}).rate
    torch.testing.assert_close(linear, torch.tensor([0.4, 0.3, 0.2], dtype=torch.float64))


def test_c_reg_and_c_temp_over_steps_and_stages():
    """c_reg 1 → 100 exponentially over 3 steps: 1, 10, 100. c_temp from a list over stages: 5 in stage 1 of 3."""
    found = tables(
        stage=1,
        stages=3,
        optimizer={"inner": {"steps": 3}},
        objective={"c_reg": {"schedule": "exponential", "from": 1.0, "to": 100.0}},
        prior={"structure": {"temperature": {"schedule": "list", "over": "stages", "values": [9.0, 5.0, 1.0]}}},
    )
    torch.testing.assert_close(found.column("c_reg"), torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64))
    assert found.column("c_temp").tolist() == [5.0] * 3
