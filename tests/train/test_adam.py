"""The ascent step is torch.optim.Adam(maximize=True), step by step."""

from __future__ import annotations

import pytest
import torch
from handmade import normal

from structflow.train.inner_method import NumbersOfMembers, inner_method

ADAM = inner_method()
ONE = NumbersOfMembers(torch.zeros(6, dtype=torch.int64), 1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-6)])
def test_twenty_steps(dtype, tolerance):
    """Gradients of −Σ (p − target)⁴ under a learning rate that changes from step to step."""
    ours = normal(6).to(dtype)
    state = ADAM.start(ours)
    theirs = ours.clone().requires_grad_()
    optimizer = torch.optim.Adam([theirs], maximize=True)
    for step in range(20):
        rate = torch.tensor(0.1 / (1 + step), dtype=dtype)
        ours, state = ADAM.ascend(ours, -4 * (ours - 0.5) ** 3, state, rate, torch.tensor(step), ONE)
        optimizer.param_groups[0]["lr"] = float(rate)
        theirs.grad = -4 * (theirs.detach() - 0.5) ** 3
        optimizer.step()
        torch.testing.assert_close(ours, theirs.detach(), rtol=tolerance, atol=tolerance)


def test_a_zero_gradient_moves_nothing():
    ones, zero = torch.ones(6), torch.zeros(6)
    moved, _ = ADAM.ascend(ones, zero, ADAM.start(ones), torch.tensor(0.1), torch.tensor(0), ONE)
    assert moved.tolist() == [1.0] * 6
