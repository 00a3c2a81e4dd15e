"""What a way to optimise hyperparameters promises: conflicts that it names, hypergradients member by member."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..plugins import OuterGradient
from .check import PROBLEMS, expect, expect_problems, remedy
from .default_spec import default_spec
from .numbers import expect_close, expect_finite, expect_shape
from .plugin_tests import PluginTests
from .subject import Subject
from .two_level_problem import QuadraticPoint, quadratic_point, round_point

ONE_MEMBER = 1e-6
"""Relative influence that members may have on one another, by the rounding of sums."""

CURVATURE = 1.3
"""Of θ in every direction, where every approximation of H⁻¹ is a multiple of I."""

LEAST_SHARE, MOST_SHARE = -0.5, 1.5
"""Of the true part through θ*: methods that look at few steps find a small share of it, or none."""


def hypergradient(subject: Subject, point: QuadraticPoint) -> OuterGradient:
    """What the method finds at a point."""
    found: OuterGradient = subject.plugin.gradient(subject.options, point)
    return found


def directions(point: QuadraticPoint, vectors: Tensor) -> Tensor:
    """Every member's own numbers divided by their norm, (P,): Adam raises h alike whatever the factor."""
    return vectors / point.spread(point.dot(vectors, vectors).sqrt())


class HypergradientTests(PluginTests):
    """Tests of one way to optimise hyperparameters."""

    kind = "hypergradients"

    @classmethod
    def arguments(cls, name: str) -> list[Subject]:
        """Tests with an argument `subject` are about methods of two levels."""
        return [] if name == "subject" and cls.plugin.levels != 2 else super().arguments(name)

    @remedy(PROBLEMS)
    def test_conflicts_are_problems(self, configured: Subject) -> None:
        """`conflicts` of a spec with only defaults is a list of problems, and repeats itself."""
        spec = default_spec(optimizer={"outer": configured.options})
        expect_problems(lambda: configured.plugin.conflicts(spec), "a spec with defaults")

    @remedy("return OuterGradient(gradient, report): the gradient (P,) with zeros where point.of_theta, reports (M,)")
    def test_gradient_is_along_h(self, subject: Subject) -> None:
        """dQ/dh is (P,), finite, zero along θ and not everywhere zero; reports are numbers of every member, (M,)."""
        point = quadratic_point()
        found = hypergradient(subject, point)
        expect(isinstance(found, OuterGradient), f"{type(found).__name__}")
        expect_shape(found.gradient, tuple(point.of_theta.shape), "the gradient")
        expect_finite(found.gradient, "the gradient")
        expect(not bool(found.gradient[point.of_theta].any()), "numbers along θ that aren't zero")
        expect(bool(found.gradient.any()), "zero everywhere, at a point where Q rises with h")
        for name, value in found.report.items():
            expect_shape(value, (point.members,), f"report {name!r}")
            expect(isinstance(name, str) and name != "hypergradient", f"a report named {name!r}, which is taken")

    @remedy("draw no random numbers but from the point's iteration, and keep no state")
    def test_gradient_repeats_itself(self, subject: Subject) -> None:
        """The same point gives the same hypergradient and reports."""
        first = hypergradient(subject, quadratic_point())
        hypergradient(subject, quadratic_point(2))
        again = hypergradient(subject, quadratic_point())
        expect_close(again.gradient, first.gradient, "the second hypergradient", 0.0)
        for name, value in first.report.items():
            expect_close(again.report[name], value, f"the second report {name!r}", 0.0)

    @remedy(
        "sum over a member's numbers with point.dot and hand values back with point.spread; stop members one by one"
    )
    def test_members_do_not_mix(self, subject: Subject) -> None:
        """A member's hypergradient and reports don't depend on the members beside it."""
        point = quadratic_point()
        whole = hypergradient(subject, point)
        for member in range(point.members):
            alone = hypergradient(subject, point.only(slice(member, member + 1)))
            own = whole.gradient.reshape(point.members, -1)[member]
            expect_close(alone.gradient, own, f"the hypergradient of member {member} alone", ONE_MEMBER)
            for name, value in whole.report.items():
                expect_close(
                    alone.report[name][0], value[member], f"report {name!r} of member {member} alone", ONE_MEMBER
                )

    @remedy("add ∂Q/∂h to the part that goes through θ*, with the sign of dQ/dh: h is raised along it")
    def test_direct_part_is_whole_at_the_optimum(self, subject: Subject) -> None:
        """Where ∇_θ Q = 0, dQ/dh is ∂Q/∂h, up to a positive factor of each member, whatever the response of θ* to h."""
        point = quadratic_point(at_the_target=True)
        of_q = point.outer_gradient()
        expected = torch.where(point.of_theta, torch.zeros_like(of_q), of_q)
        found = hypergradient(subject, point).gradient
        expect_close(
            directions(point, found), directions(point, expected), "the direction of the hypergradient", ONE_MEMBER
        )

    @remedy(
        "subtract (∇²_{θh}(−L))ᵀ times an approximation of H⁻¹ ∇_θ Q from ∇_h Q: neither its sign nor its size is free"
    )
    def test_part_through_theta_has_sign_and_size(self, subject: Subject) -> None:
        """Where H is 1.3 I, it is ∂Q/∂h + κ times the true part through θ*, −½ ≤ κ ≤ 1½, up to a positive factor."""
        point = round_point(CURVATURE)
        of_q = point.outer_gradient()
        along_theta = torch.where(point.of_theta, of_q, torch.zeros_like(of_q))
        whole = of_q - point.curvature_product(along_theta) / CURVATURE
        direct, true = (torch.where(point.of_theta, torch.zeros_like(of_q), part) for part in (of_q, whole - of_q))
        found = hypergradient(subject, point).gradient
        parts = torch.stack([direct, true], 1).reshape(point.members, -1, 2)
        factor, share = torch.linalg.lstsq(parts, found.reshape(point.members, -1, 1)).solution.squeeze(-1).unbind(1)
        kappa = share / factor
        fits = bool(((factor > 0) & (kappa >= LEAST_SHARE) & (kappa <= MOST_SHARE)).all())
        expect(fits, f"κ = {', '.join(f'{value:.3g}' for value in kappa.tolist())} for the members")

    @remedy("divide by no norm or product that can be 0: where the gradients vanish, so does dQ/dh")
    def test_nothing_is_lost_at_rest(self, subject: Subject) -> None:
        """Where ∇_θ Q and ∇_h Q are 0, the gradient is finite, and so are the reports."""
        point = quadratic_point(at_the_target=True)
        found = hypergradient(subject, replace(point, slope=point.hyper))
        expect_finite(found.gradient, "the gradient where Q is at its maximum")
        for name, value in found.report.items():
            expect_finite(value, f"report {name!r} where Q is at its maximum")
