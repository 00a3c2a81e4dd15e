"""Rows of random numbers laid end to end are those of `normals` and `uniforms` for each member alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from structflow.distributions import counter_noise
from structflow.objective.noise import NoiseField, NoiseLayout, draw_once, member_keys, noise_source

KEYS = member_keys(["a", "b", "c"])
FIELDS = (
    NoiseField("vector", np.array([0, 1, 2]), (5,)),
    NoiseField("scalar", np.array([2]), ()),
    NoiseField("matrix", np.array([1, 1, 0]), (2, 4)),
)
LAYOUT = NoiseLayout(FIELDS)
STEPS = torch.tensor([7, 8, 2**31 + 5])
SAMPLES = 2


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["normals", "uniforms"])
def test_rows_are_the_members_own_numbers(kind, compiled):
    source = noise_source(LAYOUT, KEYS, "train")
    rows = getattr(source, kind)(STEPS, SAMPLES, torch.float64, compiled)
    assert rows.shape == (3, SAMPLES, 3 * 8 + 4 + 3 * 8)
    for place, step in enumerate(STEPS):
        unpacked = LAYOUT.unpack(rows[place])
        for field in FIELDS:
            keys = torch.from_numpy(KEYS[field.slots])
            purpose = counter_noise.purpose_code(f"train/{field.name}")
            own = getattr(counter_noise, kind)(keys, step, purpose, SAMPLES, field.shape, torch.float64)
            tolerance = 1e-12 if compiled else 0.0
            torch.testing.assert_close(unpacked[field.name], own, rtol=tolerance, atol=tolerance)


def test_phases_and_fields_draw_other_numbers():
    rows = [noise_source(LAYOUT, KEYS, phase).uniforms(STEPS[:1], 1, torch.float64, False) for phase in ("a", "b")]
    assert not (rows[0] == rows[1]).any()
    assert len(set(rows[0].flatten().tolist())) == rows[0].numel() - 8  # the matrix has member 1 twice


def test_nothing_to_draw():
    rows = noise_source(NoiseLayout(()), KEYS, "train").normals(STEPS, SAMPLES, torch.float32, False)
    assert rows.shape == (3, SAMPLES, 0)


def test_one_draw():
    """Step 0, sample 0, without the sample axis."""
    drawn = draw_once(LAYOUT, KEYS, "start")
    assert {name: tuple(value.shape) for name, value in drawn.items()} == {
        "vector": (3, 5), "scalar": (1,), "matrix": (3, 2, 4)
    }  # fmt: skip
    purpose = counter_noise.purpose_code("start/vector")
    own = counter_noise.normals(torch.from_numpy(KEYS), 0, purpose, 1, (5,), torch.float64)
    assert torch.equal(drawn["vector"], own[:, 0])
