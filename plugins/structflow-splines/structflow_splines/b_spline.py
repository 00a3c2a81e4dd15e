"""A spline of every input for every output: the edges of a Kolmogorov–Arnold network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from structflow.plugins import BasisOptions

from .additive import AdditiveFunction

if TYPE_CHECKING:
    from torch import Tensor


class BSplineOptions(BasisOptions):
    """Keys of the basis function `b_spline`."""

    degree: int = Field(3, ge=0, le=5, description="Degree of the pieces: 0 steps, 1 broken lines, 3 cubic.")
    intervals: int = Field(8, ge=1, le=1000, description="Equal intervals between the knots over the range.")
    range: tuple[float, float] = Field((-3.0, 3.0), description="First and last knot; beyond them g is linear.")

    @field_validator("range")
    @classmethod
    def _range_increases(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not ends[0] < ends[1]:
            raise ValueError(f"got {list(ends)}; the first end must lie below the second, such as [-3, 3]")
        return ends


class BSpline(AdditiveFunction):
    """g_j(x; c, b) = b_j + Σ_i Σ_m c_{imj} B_m(x_i) for vectors x, with B-splines B_m on uniform knots.

    The range is cut into G = `intervals` of length h, and the knots t_m = t_0 + m h go on beyond both ends. With the
    degree p there are G + p B-splines on each input, m = −p … G − 1, by the recursion of Cox and de Boor:
    B_m^0(x) = [t_m ≤ x < t_{m+1}], B_m^k(x) = ((x − t_m) B_m^{k−1}(x) + (t_{m+k+1} − x) B_{m+1}^{k−1}(x)) / (k h).
    g has p − 1 continuous derivatives; for p = 0 its derivative is 0, so nothing before the edge learns through it.

    Outside the range each B_m goes on along its tangent at the end: so does g, and neither it nor its gradient dies
    out. The SiLU term of Kolmogorov–Arnold networks, there for that, isn't needed: splines contain the linear maps.

    Scale: the B_m(x) add up to 1 everywhere, so c_{im} is about the value of the curve near the middle of B_m. Under
    c ~ N(0, 1) each curve has the variance Σ_m B_m(x)² within the range: 0.46 to 0.5 for p = 3, 0.5 to 1 for
    p = 1. c is (inputs · (G + p), outputs), input by input, and called `weight`; b is (outputs,).

    Sources: Liu et al. 2024, KAN: Kolmogorov–Arnold Networks, arXiv 2404.19756; de Boor 2001, A Practical Guide to
    Splines, chapters IX and X.
    """

    type = "b_spline"
    Options = BSplineOptions

    @classmethod
    def label(cls, options: BSplineOptions) -> str:
        """`b_spline:p,G`."""
        return f"b_spline:{options.degree},{options.intervals}"

    @classmethod
    def features_per_input(cls, options: BSplineOptions) -> int:
        return options.intervals + options.degree

    def features(self, x: Tensor) -> Tensor:
        import torch

        degree, intervals = self.options.degree, self.options.intervals
        low, high = self.options.range
        position = ((x - low) * (intervals / (high - low))).unsqueeze(-1)  # in intervals from the first knot
        inside = position.clamp(0, intervals)
        # The last interval is closed: at the last knot the pieces to its left count, and give the tangent there.
        interval = inside.floor().clamp(max=intervals - 1)
        knots = torch.arange(-degree, intervals + degree, dtype=x.dtype, device=x.device)
        values = (interval == knots).to(x.dtype)
        slopes = torch.zeros_like(values)
        for k in range(1, degree + 1):
            left, right, start = values[..., :-1], values[..., 1:], knots[: len(knots) - k]
            slopes = left - right
            values = ((inside - start) * left + (start + (k + 1) - inside) * right) / k
        extended: Tensor = values + (position - inside) * slopes
        return extended
