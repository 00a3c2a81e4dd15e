"""The normal distribution with a covariance of low rank beside a diagonal one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ...plugins import START_SD, Options, WeightPosterior

if TYPE_CHECKING:
    from torch import Tensor

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)

FARTHEST = 16.0
"""log D of the nearest q from that of independent weights at most: it may go to −∞, where V says all of a weight."""

START_SHARE = 0.1
"""Length of the columns of V at the start in standard deviations of D: at V = 0 nothing has a gradient by V."""


class LowRankOptions(Options):
    """Keys of `posterior.weights` with `type: low_rank`."""

    rank: int = Field(4, ge=1, le=1000, description="Columns r of V in the covariance D + V Vᵀ.")


class LowRank(WeightPosterior):
    """q(w) = N(μ, D + V Vᵀ) over all weights: `mean` μ (n,), `log_sd` ½ log D (n,), `columns` V (n, min(r, n)).

    With U = D^−½ V everything rests on the r × r matrix I + UᵀU: |Σ| = |D| |I + UᵀU|. Between `diagonal` (r = 0) and
    `full` (r = n − 1). Ong, Nott and Smith, "Gaussian variational approximation with a factor covariance structure"
    (2018).
    """

    type = "low_rank"
    Options = LowRankOptions
    joint = True
    is_normal = True

    @staticmethod
    def start(options: LowRankOptions, mean: Tensor, fan_in: Tensor) -> dict[str, Tensor]:
        """√D = 0.1 / √fan_in; V a tenth of that along cosines, which are orthogonal."""
        import torch

        sd, n = START_SD * fan_in.rsqrt(), len(mean)
        places = torch.arange(n, dtype=mean.dtype, device=mean.device) + 0.5
        waves = torch.arange(min(options.rank, n), dtype=mean.dtype, device=mean.device)
        columns = START_SHARE * sd.unsqueeze(1) * (math.pi / n * places.unsqueeze(1) * waves).cos()
        return {"mean": mean, "log_sd": sd.log(), "columns": columns}

    @staticmethod
    def noise(options: LowRankOptions, n: int) -> int:
        """One a weight, and one a column of V."""
        return n + min(options.rank, n)

    @staticmethod
    def draw(options: Any, parameters: dict[str, Tensor], noise: Tensor) -> Tensor:
        """μ + √D ε + V ζ."""
        own, common = parted(parameters, noise)
        return parameters["mean"] + parameters["log_sd"].exp() * own + parameters["columns"] @ common

    @staticmethod
    def entropy(options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """½ log |2πe Σ|."""
        return (parameters["log_sd"] + HALF_LOG_TWO_PI + 0.5).sum(-1) + half_log_determinant(scaled(parameters))

    @staticmethod
    def log_prob(options: Any, parameters: dict[str, Tensor], weights: Tensor) -> Tensor:
        """−½ (w − μ)ᵀ Σ⁻¹ (w − μ) − ½ log |2πΣ|.

        With a = D^−½ (w − μ) and z = (I + UᵀU)⁻¹ Uᵀa the quadratic form is |a − U z|² + |z|², without a difference.
        """
        away = (weights - parameters["mean"]) * (-parameters["log_sd"]).exp()
        columns = scaled(parameters)
        common = solve(columns, columns.mT @ away)
        return normalised(parameters, (away - columns @ common).square().sum(-1) + common.square().sum(-1))

    @classmethod
    def log_prob_of_draw(cls, options: Any, parameters: dict[str, Tensor], noise: Tensor) -> Tensor:
        """The same with a = ε + U ζ, of which nothing is lost where V is much larger than √D.

        With δ = (I + UᵀU)⁻¹ (Uᵀε − ζ) the quadratic form is |ε − U δ|² + |ζ + δ|².
        """
        own, common = parted(parameters, noise)
        columns = scaled(parameters)
        change = solve(columns, columns.mT @ own - common)
        square = (own - columns @ change).square().sum(-1) + (common + change).square().sum(-1)
        return normalised(parameters, square)

    @staticmethod
    def variance(options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """D + Σ_j V_ij²."""
        return (2 * parameters["log_sd"]).exp() + parameters["columns"].square().sum(-1)

    @classmethod
    def columns(cls, options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """√D as a diagonal matrix, and V beside it."""
        import torch

        return torch.cat([torch.diag_embed(parameters["log_sd"].exp()), parameters["columns"]], dim=-1)

    @staticmethod
    def mask(options: Any, parameters: dict[str, Tensor], kept: Tensor) -> dict[str, Tensor]:
        """μ = 0, D = 1 and V = 0 of removed weights: the marginal distribution of the others."""
        mean, log_sd = parameters["mean"] * kept, parameters["log_sd"] * kept
        return {"mean": mean, "log_sd": log_sd, "columns": parameters["columns"] * kept.unsqueeze(-1)}

    @staticmethod
    def nearest(options: LowRankOptions, mean: Tensor, precision: Tensor) -> dict[str, Tensor]:
        """The least ½ [tr(P Σ) − log|Σ|]: V in closed form at given D, and D by L-BFGS.

        With K = D^½ P D^½ = Σ_j λ_j u_j u_jᵀ the best V is D^½ u_j √(1/λ_j − 1) over the r smallest λ_j below 1, and
        what is left to minimise Σ_j min(λ_j, 1 + log λ_j) − log|D|, the smaller term where a column of V is spent.
        """
        import torch

        rank, unit = min(options.rank, len(mean)), precision.diagonal().rsqrt()
        whole = unit.unsqueeze(1) * precision * unit
        log_d = torch.zeros_like(mean, requires_grad=True)
        optimiser = torch.optim.LBFGS(
            [log_d], max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
        )

        def limited() -> Tensor:
            return torch.nan_to_num(log_d, nan=0.0).clamp(-FARTHEST, FARTHEST)

        def matrix() -> Tensor:
            root = (0.5 * limited()).exp()
            return root.unsqueeze(1) * whole * root

        def closure() -> Tensor:
            optimiser.zero_grad()
            values = torch.linalg.eigvalsh(matrix())
            low = values[:rank].clamp(min=torch.finfo(values.dtype).tiny, max=1.0)
            total: Tensor = values[rank:].sum() + (values[:rank] - low + 1 + low.log()).sum() - limited().sum()
            total.backward()
            return total

        with torch.enable_grad():
            optimiser.step(closure)
        with torch.no_grad():
            values, vectors = torch.linalg.eigh(matrix())
            spread = (1 / values[:rank].clamp(min=torch.finfo(values.dtype).tiny) - 1).clamp(min=0).sqrt()
            sd = unit * (0.5 * limited()).exp()
            columns = sd.unsqueeze(1) * vectors[:, :rank] * spread
        return {"mean": mean, "log_sd": sd.log(), "columns": columns}

    @staticmethod
    def parameter_count(options: LowRankOptions, n: int) -> int:
        """(2 + min(r, n)) n."""
        return (2 + min(options.rank, n)) * n


def parted(parameters: dict[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
    """ε (n,) and ζ (r,)."""
    n = parameters["mean"].shape[-1]
    return noise[..., :n], noise[..., n:]


def scaled(parameters: dict[str, Tensor]) -> Tensor:
    """U = D^−½ V, (n, r)."""
    return parameters["columns"] * (-parameters["log_sd"]).exp().unsqueeze(-1)


def factor(columns: Tensor) -> Tensor:
    """The Cholesky factor of I + UᵀU, (r, r)."""
    import torch

    identity = torch.eye(columns.shape[-1], dtype=columns.dtype, device=columns.device)
    lower: Tensor = torch.linalg.cholesky_ex(identity + columns.mT @ columns).L
    return lower


def solve(columns: Tensor, right: Tensor) -> Tensor:
    """(I + UᵀU)⁻¹ b, (r,)."""
    import torch

    lower = factor(columns)
    half = torch.linalg.solve_triangular(lower, right.unsqueeze(-1), upper=False)
    solution: Tensor = torch.linalg.solve_triangular(lower.mT, half, upper=True).squeeze(-1)
    return solution


def half_log_determinant(columns: Tensor) -> Tensor:
    """½ log |I + UᵀU|."""
    return factor(columns).diagonal(dim1=-2, dim2=-1).log().sum(-1)


def normalised(parameters: dict[str, Tensor], square: Tensor) -> Tensor:
    """log q from the quadratic form."""
    constant = (parameters["log_sd"] + HALF_LOG_TWO_PI).sum(-1)
    return -0.5 * square - constant - half_log_determinant(scaled(parameters))
