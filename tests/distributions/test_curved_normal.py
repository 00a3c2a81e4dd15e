"""N(0, H⁻¹) with H = A + Gᵀ G by either size of matrices, against a dense inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from structflow.distributions.curved_normal import ByParts, ByRows, ByWeights, CurvedNormal, Independent

DOUBLE = torch.float64
MEMBERS, ROWS, SIZE = 3, 5, 8


def normals(*shape: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


G = normals(MEMBERS, ROWS, SIZE, seed=1)
PRECISION = normals(MEMBERS, SIZE, seed=2).mul(3).exp()
JACOBIAN = normals(MEMBERS, 4, 2, SIZE, seed=3)
H = G.mT @ G + torch.diag_embed(PRECISION)


def both() -> list[CurvedNormal]:
    return [ByWeights.of(G.mT @ G, PRECISION), ByRows.of(G, PRECISION)]


@pytest.mark.parametrize("normal", both(), ids=["by weights", "by rows"])
def test_either_form_is_the_inverse(normal: CurvedNormal) -> None:
    """To 1e-9 of the largest number: log|H|, the diagonal of H⁻¹ and J H⁻¹ Jᵀ."""
    inverse = torch.linalg.inv(H)
    torch.testing.assert_close(normal.log_determinant, torch.linalg.slogdet(H)[1], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(normal.variance, inverse.diagonal(dim1=1, dim2=2), rtol=1e-9, atol=1e-9)
    expected = torch.einsum("mron,mnk,mrpk->mrop", JACOBIAN, inverse, JACOBIAN)
    torch.testing.assert_close(normal.covariance_of(JACOBIAN), expected, rtol=1e-9, atol=1e-9)
    vectors = normals(MEMBERS, SIZE, seed=5)
    torch.testing.assert_close(normal.solve(vectors), (inverse @ vectors.unsqueeze(2)).squeeze(2), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("normal", both(), ids=["by weights", "by rows"])
def test_draws_have_the_covariance(normal: CurvedNormal) -> None:
    """A draw is linear in its normals: with the rows of the identity for them, D Dᵀ = H⁻¹."""
    units = torch.eye(normal.noise, dtype=DOUBLE).expand(MEMBERS, -1, -1)
    rows = normal.draw(units)
    torch.testing.assert_close(rows.mT @ rows, torch.linalg.inv(H), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_nothing_is_lost_where_precisions_differ_by_many_powers_of_ten(scale: float) -> None:
    """Two blocks of weights, H₂ = `scale` H₁: log|H| is 2 log|H₁| + n log `scale`, to 1e-9 nats, in either form."""
    zeros = torch.zeros_like(G)
    rows = torch.cat([torch.cat([G, zeros], 2), torch.cat([zeros, scale**0.5 * G], 2)], 1)
    precision = torch.cat([PRECISION, scale * PRECISION], 1)
    expected = 2 * torch.linalg.slogdet(H)[1] + SIZE * np.log(scale)
    for normal in (ByWeights.of(rows.mT @ rows, precision), ByRows.of(rows, precision)):
        torch.testing.assert_close(normal.log_determinant, expected, rtol=0, atol=1e-9)


def test_a_diagonal_has_no_correlation() -> None:
    """H is its own diagonal."""
    normal = Independent(H.diagonal(dim1=1, dim2=2))
    torch.testing.assert_close(normal.log_determinant, H.diagonal(dim1=1, dim2=2).log().sum(1))
    expected = torch.einsum("mron,mn,mrpn->mrop", JACOBIAN, normal.variance, JACOBIAN)
    torch.testing.assert_close(normal.covariance_of(JACOBIAN), expected)
    rows = normal.draw(torch.eye(SIZE, dtype=DOUBLE).expand(MEMBERS, -1, -1))
    torch.testing.assert_close(rows.mT @ rows, torch.diag_embed(normal.variance))
    torch.testing.assert_close(normal.solve(PRECISION), PRECISION * normal.variance)


def test_parts_are_as_each_is_alone() -> None:
    """Members 0 and 2 by weights, of which they have six, and member 1 by rows: exactly what each gives alone."""
    numbers = torch.tensor([0, 2]), torch.tensor([1])
    narrow = ByWeights.of((G.mT @ G)[numbers[0]][:, :6, :6], PRECISION[numbers[0], :6])
    wide = ByRows.of(G[numbers[1]], PRECISION[numbers[1]])
    whole = ByParts(SIZE, numbers, (narrow, wide))
    noise = normals(MEMBERS, 2, whole.noise, seed=4)
    drawn = whole.draw(noise)
    assert torch.equal(drawn[1:2], wide.draw(noise[1:2]))
    assert torch.equal(drawn[[0, 2], :, :6], narrow.draw(noise[[0, 2]][..., :6]))
    assert not drawn[[0, 2], :, 6:].any()
    assert torch.equal(whole.log_determinant[[0, 2, 1]], torch.cat([narrow.log_determinant, wide.log_determinant]))
    assert torch.equal(whole.variance[1:2], wide.variance)
    assert torch.equal(whole.solve(PRECISION)[1:2], wide.solve(PRECISION[1:2]))
    assert torch.equal(whole.covariance_of(JACOBIAN)[1:2], wide.covariance_of(JACOBIAN[1:2]))


def test_a_member_that_is_not_finite_leaves_the_others_alone() -> None:
    """NaN for that member, the same numbers for the others."""
    broken = G.clone()
    broken[1, 0, 0] = torch.inf
    for normal, whole in zip(
        (ByWeights.of(broken.mT @ broken, PRECISION), ByRows.of(broken, PRECISION)), both(), strict=True
    ):
        assert normal.log_determinant[1].isnan()
        assert torch.equal(normal.log_determinant[[0, 2]], whole.log_determinant[[0, 2]])
