"""The contract of a variational family q(w) of the weights."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from .plugin import Plugin

if TYPE_CHECKING:
    from torch import Tensor

START_SD = 0.1
"""Standard deviation that q starts with, as a share of the scale of the starting means."""


CurvatureKind = Literal["full", "diagonal"]
"""The whole generalised Gauss-Newton matrix H = A + Σ_i J_iᵀ Λ_i J_i, or its diagonal."""


class WeightPosterior(Plugin):
    """q(w) for ONE member and ONE vector of n weights: a location family, w = μ + a function of ε, ε ~ N(0, I).

    Its parameters are named unconstrained tensors, among them `mean`, μ (n,): `draw` adds it to what the others and
    the noise make, whose mean is 0, so that no other parameter says where q is. Methods are pure functions of tensors;
    the core lifts them with `vmap` over members and samples, so that they neither branch on values nor change in place.

    With `joint` the vector holds all weights of a member; otherwise those of one basis function, independent of the
    others, so that members of different structures can share a batch. `independent` says that the n weights are
    independent under q, `is_normal` that q is a normal distribution; expectations under it are then known in closed
    form where the likelihood and the prior have them. One that is
    `unrestricted` has every covariance. A family without a density (`has_density` false) is a point: its
    entropy and its log density are 0 by convention, so that −log p(w) stands for the divergence, and its variance is 0.

    A point that `fits_curvature` is one only while it is trained, on log p(y, w | h). What it finds, w*, is taken for
    the mode of N(w*, H⁻¹), H the `curvature` there: evidence and predictions are those of the network linearised at w*.
    Relaxed structures have none, and are trained with the family `when_relaxed`. `default_outer` and
    `default_estimator` name the hypergradient and the estimator of evidence that a spec with this family uses if it
    names none.
    """

    joint: ClassVar[bool] = False
    independent: ClassVar[bool] = False
    is_normal: ClassVar[bool] = False
    unrestricted: ClassVar[bool] = False
    has_density: ClassVar[bool] = True
    fits_curvature: ClassVar[bool] = False
    when_relaxed: ClassVar[str] = "diagonal"
    default_outer: ClassVar[str] = "one_level"
    default_estimator: ClassVar[str] = "elbo"

    @staticmethod
    @abstractmethod
    def start(options: Any, mean: Tensor, fan_in: Tensor) -> dict[str, Tensor]:
        """Starting parameters around the starting means (n,).

        `fan_in` (n,) is how many products with a weight's fellows add up to one number of the function's output.
        """

    @staticmethod
    @abstractmethod
    def noise(options: Any, n: int) -> int:
        """How many standard normals a draw of n weights takes."""

    @staticmethod
    @abstractmethod
    def draw(options: Any, parameters: dict[str, Tensor], noise: Tensor) -> Tensor:
        """w (n,) from standard normals (`noise(options, n)`,)."""

    @staticmethod
    @abstractmethod
    def entropy(options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """−E log q(w), ()."""

    @staticmethod
    @abstractmethod
    def log_prob(options: Any, parameters: dict[str, Tensor], weights: Tensor) -> Tensor:
        """log q(w), normalised, () for w (n,)."""

    @classmethod
    def log_prob_of_draw(cls, options: Any, parameters: dict[str, Tensor], noise: Tensor) -> Tensor:
        """log q(w), (), of the w that `draw` makes of the noise.

        Override it where solving for the noise would lose digits.
        """
        return cls.log_prob(options, parameters, cls.draw(options, parameters, noise))

    @staticmethod
    @abstractmethod
    def variance(options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """Var w_i, (n,)."""

    @classmethod
    def columns(cls, options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """C (n, k) with C Cᵀ the covariance of q(w); only of a family that `is_normal`."""
        return cls.variance(options, parameters).sqrt().diag_embed()

    @staticmethod
    def curvature(options: Any) -> CurvatureKind:
        """What H is, of a family that `fits_curvature`."""
        return "full"

    @staticmethod
    @abstractmethod
    def mask(options: Any, parameters: dict[str, Tensor], kept: Tensor) -> dict[str, Tensor]:
        """The parameters with weights removed where `kept` (n,), of ones and zeros, is 0.

        Removed weights have mean 0 and are independent of each other and of the rest, all with one distribution, such
        as the standard normal, whatever the parameters: the core leaves it out of entropy and density. The distribution
        of the others is the marginal one or, where the family has no simple marginals, one of the family.
        """

    @staticmethod
    @abstractmethod
    def nearest(options: Any, mean: Tensor, precision: Tensor) -> dict[str, Tensor]:
        """Parameters of the q with the least KL(q ‖ N(μ, P⁻¹)), for μ (n,) and P (n, n).

        A family whose weights are `independent` is given the diagonal of P, (n,), which is all that it depends on.
        """

    @staticmethod
    def transform(options: Any, parameters: dict[str, Tensor], matrix: Tensor) -> dict[str, Tensor]:
        """Parameters in other coordinates, w = T v for a lower triangular T (n, n) with a positive diagonal.

        Members that are linear in their weights are trained in coordinates v in which they are well conditioned. Any
        reparameterisation serves whose mean is μ = T m; by default nothing else changes.
        """
        return {**parameters, "mean": matrix @ parameters["mean"]}

    @staticmethod
    def transform_back(options: Any, parameters: dict[str, Tensor], matrix: Tensor) -> dict[str, Tensor]:
        """The inverse of `transform`: m = T⁻¹ μ."""
        import torch

        solved = torch.linalg.solve_triangular(matrix, parameters["mean"].unsqueeze(-1), upper=False)
        return {**parameters, "mean": solved.squeeze(-1)}

    @staticmethod
    @abstractmethod
    def parameter_count(options: Any, n: int) -> int:
        """How many numbers the parameters of n weights are: what memory is reckoned by."""
