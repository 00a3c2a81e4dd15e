"""N(0, H⁻¹) of the weights of every member, H = A + Gᵀ G: the precision of a prior and the curvature of a likelihood.

A = diag(a) is the prior's precision, (M, n), and the rows of G, (M, R, n), are Λ_i^½ J_i of every row of data and
number of output. In coordinates z = A^½ w, with U = G A^−½, H is I + UᵀU, whose eigenvalues are at least 1, so that
nothing is lost where precisions differ by many powers of ten. Either n × n or R × R matrices serve:

    log|H| = log|A| + log|I + UᵀU| = log|A| + log|I + UUᵀ|
    H⁻¹ = A^−½ (I + UᵀU)⁻¹ A^−½ = A^−½ (I − Uᵀ (I + UUᵀ)⁻¹ U) A^−½

Immer et al., "Scalable marginal likelihood estimation for model selection in deep learning" (2021), section 3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


class CurvedNormal(ABC):
    """N(0, H⁻¹) of n weights of M members."""

    @property
    @abstractmethod
    def log_determinant(self) -> Tensor:
        """log|H|, (M,); NaN where H isn't finite."""

    @property
    @abstractmethod
    def variance(self) -> Tensor:
        """The diagonal of H⁻¹, (M, n)."""

    @property
    @abstractmethod
    def noise(self) -> int:
        """How many standard normals a draw takes."""

    @abstractmethod
    def covariance_of(self, jacobian: Tensor) -> Tensor:
        """J_i H⁻¹ J_iᵀ of every row, (M, rows, out, out), for J (M, rows, out, n)."""

    @abstractmethod
    def solve(self, vectors: Tensor) -> Tensor:
        """H⁻¹ v for v (M, n)."""

    @abstractmethod
    def draw(self, noise: Tensor) -> Tensor:
        """Draws (M, S, n) from standard normals (M, S, `noise`)."""

    @abstractmethod
    def to(self, device: torch.device | str) -> CurvedNormal:
        """The same on a device."""


@dataclass(frozen=True)
class ByWeights(CurvedNormal):
    """By n × n matrices: `scale` A^−½ (M, n), `factor` the Cholesky factor of I + UᵀU (M, n, n)."""

    scale: Tensor
    factor: Tensor

    @classmethod
    def of(cls, gram: Tensor, precision: Tensor) -> ByWeights:
        """From GᵀG (M, n, n) and a."""
        scale = precision.rsqrt()
        inner = scale.unsqueeze(2) * gram * scale.unsqueeze(1)
        return cls(scale, factor_of_one_more(inner))

    @property
    def log_determinant(self) -> Tensor:
        """log|H| = log|A| + log|I + UᵀU|."""
        return 2 * (log_diagonal(self.factor).sum(1) - self.scale.log().sum(1))

    @property
    def inverse(self) -> Tensor:
        """H⁻¹, (M, n, n)."""
        return self.scale.unsqueeze(2) * torch.cholesky_inverse(self.factor) * self.scale.unsqueeze(1)

    @property
    def variance(self) -> Tensor:
        """The diagonal of H⁻¹."""
        identity = torch.eye(self.factor.shape[-1]).to(self.factor).expand_as(self.factor)
        root = torch.linalg.solve_triangular(self.factor, identity, upper=False)
        variance: Tensor = self.scale.square() * root.square().sum(1)
        return variance

    @property
    def noise(self) -> int:
        """Standard normals of a draw."""
        return self.scale.shape[1]

    def covariance_of(self, jacobian: Tensor) -> Tensor:
        """J_i H⁻¹ J_iᵀ."""
        columns = (jacobian * self.scale[:, None, None]).flatten(1, 2).mT
        solved = torch.linalg.solve_triangular(self.factor, columns, upper=False).mT.reshape(jacobian.shape)
        covariance: Tensor = solved @ solved.mT
        return covariance

    def solve(self, vectors: Tensor) -> Tensor:
        """H⁻¹ v."""
        scaled = (self.scale * vectors).unsqueeze(2)
        return self.scale * torch.cholesky_solve(scaled, self.factor).squeeze(2)

    def draw(self, noise: Tensor) -> Tensor:
        """Draws of N(0, H⁻¹)."""
        drawn: Tensor = self.scale.unsqueeze(1) * torch.linalg.solve_triangular(self.factor.mT, noise.mT, upper=True).mT
        return drawn

    def to(self, device: torch.device | str) -> ByWeights:
        """The same on a device."""
        return ByWeights(self.scale.to(device), self.factor.to(device))


@dataclass(frozen=True)
class ByRows(CurvedNormal):
    """By R × R matrices: `scale` A^−½ (M, n), `rows` U (M, R, n), `factor` that of I + UUᵀ (M, R, R)."""

    scale: Tensor
    rows: Tensor
    factor: Tensor

    @classmethod
    def of(cls, rows: Tensor, precision: Tensor) -> ByRows:
        """From G (M, R, n) and a."""
        scale = precision.rsqrt()
        scaled = rows * scale.unsqueeze(1)
        return cls(scale, scaled, factor_of_one_more(scaled @ scaled.mT))

    @property
    def log_determinant(self) -> Tensor:
        """log|H| = log|A| + log|I + UᵀU|."""
        return 2 * (log_diagonal(self.factor).sum(1) - self.scale.log().sum(1))

    @property
    def variance(self) -> Tensor:
        """The diagonal of H⁻¹."""
        solved = torch.linalg.solve_triangular(self.factor, self.rows, upper=False)
        variance: Tensor = self.scale.square() * (1 - solved.square().sum(1)).clamp(min=0)
        return variance

    @property
    def noise(self) -> int:
        """Standard normals of a draw."""
        return self.scale.shape[1] + self.rows.shape[1]

    def covariance_of(self, jacobian: Tensor) -> Tensor:
        """J_i H⁻¹ J_iᵀ."""
        scaled = jacobian * self.scale[:, None, None]
        across = self.rows @ scaled.flatten(1, 2).mT
        known = torch.linalg.solve_triangular(self.factor, across, upper=False).mT
        known = known.reshape(*jacobian.shape[:3], -1)
        covariance: Tensor = scaled @ scaled.mT - known @ known.mT
        return covariance

    def solve(self, vectors: Tensor) -> Tensor:
        """H⁻¹ v."""
        z = (self.scale * vectors).unsqueeze(2)
        known = self.rows.mT @ torch.cholesky_solve(self.rows @ z, self.factor)
        return self.scale * (z - known).squeeze(2)

    def draw(self, noise: Tensor) -> Tensor:
        """z − Uᵀ (I + UUᵀ)⁻¹ (U z + ε) has the covariance (I + UᵀU)⁻¹ (Matheron's rule)."""
        z, more = noise.split([self.scale.shape[1], self.rows.shape[1]], dim=2)
        solved = torch.cholesky_solve((z @ self.rows.mT + more).mT, self.factor).mT
        drawn: Tensor = self.scale.unsqueeze(1) * (z - solved @ self.rows)
        return drawn

    def to(self, device: torch.device | str) -> ByRows:
        """The same on a device."""
        return ByRows(self.scale.to(device), self.rows.to(device), self.factor.to(device))


@dataclass(frozen=True)
class Independent(CurvedNormal):
    """With the diagonal of H in place of H: `precision` (M, n)."""

    precision: Tensor

    @property
    def log_determinant(self) -> Tensor:
        """log|H| = log|A| + log|I + UᵀU|."""
        return self.precision.log().sum(1)

    @property
    def variance(self) -> Tensor:
        """The diagonal of H⁻¹."""
        return 1 / self.precision

    @property
    def noise(self) -> int:
        """Standard normals of a draw."""
        return self.precision.shape[1]

    def covariance_of(self, jacobian: Tensor) -> Tensor:
        """J_i H⁻¹ J_iᵀ."""
        return (jacobian / self.precision[:, None, None]) @ jacobian.mT

    def solve(self, vectors: Tensor) -> Tensor:
        """H⁻¹ v."""
        return vectors / self.precision

    def draw(self, noise: Tensor) -> Tensor:
        """Draws of N(0, H⁻¹)."""
        return noise * self.precision.rsqrt().unsqueeze(1)

    def to(self, device: torch.device | str) -> Independent:
        """The same on a device."""
        return Independent(self.precision.to(device))


@dataclass(frozen=True)
class ByParts(CurvedNormal):
    """Members in parts, so that each is computed as it would be alone: `numbers` of the members of each of the parts.

    A part has the first weights of the n, those that its members have; the others have the variance 0.
    """

    size: int
    numbers: tuple[Tensor, ...]
    parts: tuple[CurvedNormal, ...]

    @property
    def log_determinant(self) -> Tensor:
        """log|H| = log|A| + log|I + UᵀU|."""
        return self._together([part.log_determinant for part in self.parts])

    @property
    def variance(self) -> Tensor:
        """The diagonal of H⁻¹."""
        return self._together([self._filled(part.variance) for part in self.parts])

    @property
    def noise(self) -> int:
        """Standard normals of a draw."""
        return max(part.noise for part in self.parts)

    def covariance_of(self, jacobian: Tensor) -> Tensor:
        """J_i H⁻¹ J_iᵀ."""
        return self._together(
            [
                part.covariance_of(jacobian[numbers][..., : part.variance.shape[1]])
                for numbers, part in zip(self.numbers, self.parts, strict=True)
            ]
        )

    def solve(self, vectors: Tensor) -> Tensor:
        """H⁻¹ v."""
        return self._together(
            [
                self._filled(part.solve(vectors[numbers][..., : part.variance.shape[1]]))
                for numbers, part in zip(self.numbers, self.parts, strict=True)
            ]
        )

    def draw(self, noise: Tensor) -> Tensor:
        """Draws of N(0, H⁻¹)."""
        return self._together(
            [
                self._filled(part.draw(noise[numbers][..., : part.noise]))
                for numbers, part in zip(self.numbers, self.parts, strict=True)
            ]
        )

    def to(self, device: torch.device | str) -> ByParts:
        """The same on a device."""
        numbers = tuple(each.to(device) for each in self.numbers)
        return ByParts(self.size, numbers, tuple(part.to(device) for part in self.parts))

    def _filled(self, values: Tensor) -> Tensor:
        """Numbers of the first weights (…, k) → (…, n), padded with 0."""
        return torch.nn.functional.pad(values, (0, self.size - values.shape[-1]))

    def _together(self, values: Sequence[Tensor]) -> Tensor:
        """Values of each part's members in the order of all members."""
        order = torch.cat(list(self.numbers)).argsort()
        return torch.cat(list(values)).index_select(0, order)


def factor_of_one_more(matrix: Tensor) -> Tensor:
    """The Cholesky factor of I + C for positive semidefinite C (M, k, k), NaN for members where it isn't finite."""
    identity = torch.eye(matrix.shape[-1]).to(matrix)
    factor, failed = torch.linalg.cholesky_ex(torch.where(matrix.isfinite(), matrix, 0.0) + identity)
    broken = (failed > 0) | ~matrix.isfinite().flatten(1).all(1)
    return torch.where(broken[:, None, None], torch.nan, factor)


def log_diagonal(factor: Tensor) -> Tensor:
    """log L_ii, (M, k)."""
    return factor.diagonal(dim1=-2, dim2=-1).log()
