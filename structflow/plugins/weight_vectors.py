"""The weights of trained members as vectors, for methods that look at them one by one or train them anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class WeightVectors(Protocol):
    """All weights w of each of M discrete members end to end, n numbers each, in float64.

    Members with fewer weights than n are filled up at the end with places that `used` calls false: nothing reads them,
    and what is returned for them is 0. Nothing mixes members, so that the gradient of a sum over members is every
    member's own; everything can be differentiated and lifted by `torch.func`. Hyperparameters and the likelihood's own
    parameters are those of the trained members.
    """

    @property
    def used(self) -> Tensor:
        """Which places hold a weight, booleans (M, n)."""

    @property
    def rows(self) -> int:
        """Number m of training rows in memory; of a table larger than memory, that of a sample."""

    @property
    def widest(self) -> int:
        """Numbers that the widest node holds for one sample and row: what memory is reckoned by."""

    @property
    def mean(self) -> Tensor:
        """Mean μ of q(w), (M, n)."""

    @property
    def variance(self) -> Tensor:
        """Variance α of q(w), the diagonal of a full covariance, (M, n); 0 where the posterior is a point."""

    @property
    def covariance(self) -> Tensor | None:
        """A full covariance Σ of q(w), (M, n, n); None for a diagonal one or a point."""

    @property
    def log_precision(self) -> Tensor:
        """log A of the prior p(w | h) = N(0, A⁻¹), (M, n)."""

    def outputs(self, weights: Tensor, rows: Tensor | None = None) -> Tensor:
        """f(x; w) for weights (M, S, n) at the training rows, or those numbered `rows`: (M, S, rows, *out_shape)."""

    def row_log_likelihood(self, outputs: Tensor, rows: Tensor | None = None) -> Tensor:
        """log p(y_i | f_i) for outputs as above: (M, S, rows).

        Rows of a sample are multiplied by the ratio of all training rows to those in it, so that sums are those of all.
        """

    def log_likelihood(self, weights: Tensor, rows: Tensor | None = None) -> Tensor:
        """Σ_i log p(y_i | x_i, w) over all rows, or those numbered `rows`: (M, S)."""

    def log_prior(self, weights: Tensor) -> Tensor:
        """log p(w | h), normalised: (M, S)."""

    def draws(self, samples: int, phase: str, first: int = 0) -> Tensor:
        """Samples of q(w), (M, samples, n), by the normals of that phase."""

    def log_posterior(self, weights: Tensor) -> Tensor:
        """log q(w), (M, S); raises `CallError` where the posterior is a point."""

    def normals(self, samples: int, phase: str, first: int = 0) -> Tensor:
        """Standard normals (M, samples, n) by the members' own noise: the same for one phase, fresh for another.

        `first` is the number of the first sample: those numbered 4 to 9 are the last of the first 10.
        """

    def uniforms(self, samples: int, phase: str, first: int = 0) -> Tensor:
        """Numbers uniform on (0, 1), one a sample, (M, samples); independent of the normals of that phase."""

    def starts(self, samples: int, phase: str) -> Tensor:
        """Weights that training could start from, as the basis functions start theirs: (M, samples, n)."""
