"""Cholesky factors of matrices that rounding may have left indefinite."""

from __future__ import annotations

import torch
from torch import Tensor

ADDED = (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6)
"""What is added to the diagonal of an ill-conditioned matrix, in parts of it."""


def lower_factor(matrices: Tensor) -> Tensor:
    """The Cholesky factor of positive definite matrices (…, n, n), also of those that rounding left indefinite.

    Scaled to a unit diagonal, each gets the smallest of a few multiples of I added that makes it definite; the
    identity stands for one that isn't finite. A member's factor doesn't depend on the others.
    """
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    usable = matrices.isfinite().all(-1).all(-1) & (diagonal(matrices) > 0).all(-1)
    matrices = torch.where(usable[..., None, None], matrices, identity)
    scale = diagonal(matrices).sqrt()
    scaled = matrices / scale.unsqueeze(-1) / scale.unsqueeze(-2)
    found, missing = torch.zeros_like(scaled), torch.ones_like(usable)
    for added in ADDED:
        factor, failed = torch.linalg.cholesky_ex(scaled + added * identity)
        found = torch.where((missing & (failed == 0))[..., None, None], factor, found)
        missing = missing & (failed > 0)
        if not bool(missing.any()):
            break
    return scale.unsqueeze(-1) * torch.where(missing[..., None, None], identity, found)


def diagonal(matrix: Tensor) -> Tensor:
    """The diagonal of the last two axes."""
    return matrix.diagonal(dim1=-2, dim2=-1)
