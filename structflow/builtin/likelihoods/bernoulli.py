"""Yes or no."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import Likelihood, Shape

if TYPE_CHECKING:
    from torch import Tensor


class Bernoulli(Likelihood):
    """p(y_j = 1 | f) = σ(f_j), independently for every target j; y is 0 or 1, (rows, targets)."""

    type = "bernoulli"
    target = "binary"

    @classmethod
    def output_shape(cls, options: Any, n_targets: int, n_classes: int) -> Shape:
        return (n_targets,)

    def log_prob(self, parameters: dict[str, Tensor], y: Tensor, f: Tensor) -> Tensor:
        """y log σ(f) + (1 − y) log σ(−f) = y f − log(1 + e^f)."""
        from torch.nn.functional import softplus

        return (y * f - softplus(f)).sum(-1)

    def curvature(self, parameters: dict[str, Tensor], y: Tensor, f: Tensor) -> Tensor:
        """diag σ(f) σ(−f)."""
        return (f.sigmoid() * (-f).sigmoid()).diag_embed()

    def moments(self, parameters: dict[str, Tensor], f: Tensor) -> tuple[Tensor, Tensor]:
        probability = f.sigmoid()
        return probability, probability * (1 - probability)
