"""L-BFGS member by member: on quadratic functions the optimum and its inverse Hessian, on others what scipy finds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import torch
from handmade import normal

from structflow.builtin.inner_optimizers.lbfgs import quasi_newton
from structflow.train.inner_method import NumbersOfMembers, inner_method

MEMBERS, OWN = 3, 6
OWNER = torch.arange(MEMBERS).repeat_interleave(OWN)
NUMBERS = NumbersOfMembers(OWNER, MEMBERS)


def climbed(gradient, steps, start=None, **options):
    """Parameters (P,) after so many steps up a gradient, at the rate 1 that is the default."""
    inner = inner_method("lbfgs", **options)
    at = torch.zeros(MEMBERS * OWN, dtype=torch.float64) if start is None else start
    state, rate = inner.start(at), torch.tensor(float(inner.options.lr), dtype=torch.float64)
    for step in range(steps):
        at, state = inner.ascend(at, gradient(at), state, rate, torch.tensor(step), NUMBERS)
    return at, state


@pytest.fixture
def quadratic():
    """−L = ½ (θ − t)ᵀ A (θ − t) of each member: A with eigenvalues from 1 to 100, turned at random."""
    basis = torch.linalg.qr(normal(MEMBERS, OWN, OWN, seed=1)).Q
    matrices = basis @ torch.diag(torch.logspace(0, 2, OWN, dtype=torch.float64)) @ basis.mT
    target = normal(MEMBERS, OWN, seed=2)

    def gradient(at):
        return (matrices @ (target - at.reshape(MEMBERS, OWN)).unsqueeze(-1)).flatten()

    return matrices, target, gradient


def test_the_optimum_of_a_quadratic_function(quadratic):
    """Condition number 100, six numbers: 40 steps come within 1e-8 of it; 40 gradient steps at 1/λ_max are 0.1 off."""
    _, target, gradient = quadratic
    at, _ = climbed(gradient, 40)
    assert float((at.reshape(MEMBERS, OWN) - target).abs().max()) < 1e-8
    plain = torch.zeros_like(at)
    for _ in range(40):
        plain = plain + 0.01 * gradient(plain)
    assert float((plain.reshape(MEMBERS, OWN) - target).abs().max()) > 0.1


def dense_bfgs(moves, changes):
    """H by the textbook's update with matrices, from H₀ = sᵀy / yᵀy of the newest pair."""
    inverse = np.eye(OWN) * (moves[-1] @ changes[-1]) / (changes[-1] @ changes[-1])
    for move, change in zip(moves, changes, strict=True):
        factor = 1 / (move @ change)
        left = np.eye(OWN) - factor * np.outer(move, change)
        inverse = left @ inverse @ left.T + factor * np.outer(move, move)
    return inverse


def test_the_two_loops_are_products_with_the_dense_inverse(quadratic):
    """Nocedal and Wright (6.17), member by member, to 1e-9."""
    matrices, _, _ = quadratic
    moves = normal(4, MEMBERS, OWN, seed=5)
    changes = torch.einsum("mij,hmj->hmi", matrices, moves)
    slope = normal(MEMBERS, OWN, seed=6)
    found = quasi_newton(slope.flatten(), moves.flatten(1), changes.flatten(1), NUMBERS).reshape(MEMBERS, OWN)
    for member in range(MEMBERS):
        expected = dense_bfgs(moves[:, member].numpy(), changes[:, member].numpy()) @ slope[member].numpy()
        np.testing.assert_allclose(found[member].numpy(), expected, rtol=1e-9, atol=1e-12)


def test_scipy_finds_the_same_optimum():
    """Logistic regressions of three members on data of their own, with a normal prior: to 1e-6 in every weight."""
    x, noise = normal(MEMBERS, 40, OWN, seed=7), normal(MEMBERS, 40, seed=8)
    y = (x[..., 0] - x[..., 1] + noise > 0).double()

    def gradient(at):
        weights = at.reshape(MEMBERS, OWN)
        residual = y - (x @ weights.unsqueeze(-1)).squeeze(-1).sigmoid()
        return ((x * residual.unsqueeze(-1)).sum(1) - weights).flatten()

    at, _ = climbed(gradient, 60)
    for member in range(MEMBERS):
        own, labels = x[member].numpy(), y[member].numpy()

        def loss(w, own=own, labels=labels):
            return np.logaddexp(0, own @ w).sum() - labels @ (own @ w) + 0.5 * w @ w

        expected = scipy.optimize.minimize(
            loss, np.zeros(OWN), method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9}
        )
        np.testing.assert_allclose(at.reshape(MEMBERS, OWN)[member].numpy(), expected.x, atol=1e-6)


def test_steps_are_as_long_as_the_largest_move():
    """Far from the optimum of a flat function: √mean Δθ² is `largest_move` of each member that would go farther."""
    at, _ = climbed(lambda at: torch.full_like(at, 1e3) * (OWNER < 2), 1, largest_move=0.25)
    lengths = at.reshape(MEMBERS, OWN).square().mean(1).sqrt()
    assert lengths.tolist() == pytest.approx([1 / 6, 1 / 6, 0.0])  # the first step is g / ‖g‖₁
    at, _ = climbed(lambda at: 1e3 * (1e6 - at), 5, largest_move=0.25)
    lengths = at.reshape(MEMBERS, OWN).square().mean(1).sqrt()
    assert lengths.tolist() == pytest.approx([1 / 6 + 4 * 0.25] * MEMBERS)


def test_a_pair_along_which_the_function_is_not_concave_is_left_out():
    """+½ θ² rises without end: no pair is kept, and steps go on along the gradient."""
    at, state = climbed(lambda at: at, 3, start=torch.full((MEMBERS * OWN,), 0.01, dtype=torch.float64))
    assert not state["moves"].any()
    assert float(at.min()) > 0.01
