"""The normal distribution with a full covariance over all weights of a member."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import START_SD, WeightPosterior

if TYPE_CHECKING:
    from torch import Tensor


class Full(WeightPosterior):
    """q(w) = N(μ, L Lᵀ) over all weights, held as `mean` μ (n,) and `cholesky` (n, n).

    Of `cholesky` the strict lower triangle is that of L and the diagonal log L_ii; its upper triangle is ignored.
    """

    type = "full"
    joint = True
    is_normal = True
    unrestricted = True

    @staticmethod
    def start(options: Any, mean: Tensor, fan_in: Tensor) -> dict[str, Tensor]:
        """L = 0.1 I."""
        import torch

        return {"mean": mean, "cholesky": torch.diag_embed(torch.full_like(mean, START_SD).log())}

    @staticmethod
    def noise(options: Any, n: int) -> int:
        """One a weight."""
        return n

    @staticmethod
    def draw(options: Any, parameters: dict[str, Tensor], noise: Tensor) -> Tensor:
        """μ + L ε."""
        from ...distributions.normal import cholesky_factor

        return parameters["mean"] + cholesky_factor(parameters["cholesky"]) @ noise

    @staticmethod
    def entropy(options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """½ log |2πe L Lᵀ| = Σ (log L_ii + ½ log 2πe)."""
        from ...distributions.normal import HALF_LOG_TWO_PI

        return (log_diagonal(parameters) + HALF_LOG_TWO_PI + 0.5).sum(-1)

    @staticmethod
    def log_prob(options: Any, parameters: dict[str, Tensor], weights: Tensor) -> Tensor:
        """−½ |L⁻¹(w − μ)|² − Σ log L_ii − n/2 log 2π."""
        from ...distributions.normal import cholesky_factor, log_prob_of_noise

        away = (weights - parameters["mean"]).unsqueeze(-1)
        solved = solve(cholesky_factor(parameters["cholesky"]), away).squeeze(-1)
        return log_prob_of_noise(solved.unsqueeze(-2), parameters["cholesky"]).squeeze(-1)

    @classmethod
    def log_prob_of_draw(cls, options: Any, parameters: dict[str, Tensor], noise: Tensor) -> Tensor:
        """−½ |ε|² − Σ log L_ii − n/2 log 2π: solving for ε would lose it where L is ill-conditioned."""
        from ...distributions.normal import log_prob_of_noise

        return log_prob_of_noise(noise.unsqueeze(-2), parameters["cholesky"]).squeeze(-1)

    @staticmethod
    def variance(options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """The diagonal of L Lᵀ."""
        from ...distributions.normal import cholesky_factor

        return cholesky_factor(parameters["cholesky"]).square().sum(-1)

    @classmethod
    def columns(cls, options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """L."""
        from ...distributions.normal import cholesky_factor

        return cholesky_factor(parameters["cholesky"])

    @staticmethod
    def mask(options: Any, parameters: dict[str, Tensor], kept: Tensor) -> dict[str, Tensor]:
        """μ = 0 of removed weights, and their rows and columns of L those of the identity."""
        both = kept.unsqueeze(-1) * kept.unsqueeze(-2)
        return {"mean": parameters["mean"] * kept, "cholesky": parameters["cholesky"] * both}

    @staticmethod
    def nearest(options: Any, mean: Tensor, precision: Tensor) -> dict[str, Tensor]:
        """L Lᵀ = P⁻¹: the distribution itself."""
        import torch

        from ...distributions.cholesky import lower_factor

        factor = lower_factor(torch.cholesky_inverse(lower_factor(precision)))
        return {"mean": mean, "cholesky": raw(factor, factor.diagonal(dim1=-2, dim2=-1).log())}

    @staticmethod
    def transform(options: Any, parameters: dict[str, Tensor], matrix: Tensor) -> dict[str, Tensor]:
        """μ = T m and L = T R."""
        from ...distributions.normal import cholesky_factor

        factor = matrix @ cholesky_factor(parameters["cholesky"])
        logs = matrix.diagonal(dim1=-2, dim2=-1).log() + log_diagonal(parameters)
        return {"mean": (matrix @ parameters["mean"].unsqueeze(-1)).squeeze(-1), "cholesky": raw(factor, logs)}

    @staticmethod
    def transform_back(options: Any, parameters: dict[str, Tensor], matrix: Tensor) -> dict[str, Tensor]:
        """m = T⁻¹ μ and R = T⁻¹ L."""
        from ...distributions.normal import cholesky_factor

        factor = solve(matrix, cholesky_factor(parameters["cholesky"]))
        logs = factor.diagonal(dim1=-2, dim2=-1).log()
        return {"mean": solve(matrix, parameters["mean"].unsqueeze(-1)).squeeze(-1), "cholesky": raw(factor, logs)}

    @staticmethod
    def parameter_count(options: Any, n: int) -> int:
        """n + n²."""
        return n + n * n


def log_diagonal(parameters: dict[str, Tensor]) -> Tensor:
    """log L_ii, (n,)."""
    return parameters["cholesky"].diagonal(dim1=-2, dim2=-1)


def raw(factor: Tensor, logs: Tensor) -> Tensor:
    """How L is held, with log L_ii, which may be known more precisely, on the diagonal."""
    import torch

    return factor.tril(-1) + torch.diag_embed(logs)


def solve(lower: Tensor, right: Tensor) -> Tensor:
    """T⁻¹ B for a lower triangular T."""
    import torch

    solution: Tensor = torch.linalg.solve_triangular(lower, right, upper=False)
    return solution
