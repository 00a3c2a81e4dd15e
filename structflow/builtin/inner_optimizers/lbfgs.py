"""L-BFGS, each member with a history of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ...errors import Problem
from ...plugins import InnerOptimizer, InnerOptions, MemberNumbers, PositiveMetaparameter

if TYPE_CHECKING:
    from torch import Tensor

LEAST_CURVATURE = 1e-6
"""sᵀy / (‖s‖ ‖y‖) of a pair at least: below it L is hardly concave along s, and the pair would blow up the step."""


class LbfgsOptions(InnerOptions):
    """Keys of `optimizer.inner` with `type: lbfgs`."""

    lr: PositiveMetaparameter = Field(1.0, description="Length of a step in units of the quasi-Newton step.")
    decay: Literal["cosine", "none"] = Field("none", description="Decay of a learning rate that is a number.")
    history: int = Field(10, ge=1, le=100, description="Pairs of moves and changes of the gradient that are kept.")
    largest_move: float = Field(
        0.25, gt=0, description="Length of a step at most, as the root mean square over the numbers that move."
    )


class Lbfgs(InnerOptimizer):
    """θ ← θ + rate · H g with H ≈ ∇²(−L)⁻¹ from the last moves s and changes y of −g. Liu and Nocedal (1989).

    H g by the two-loop recursion from H₀ = sᵀy / yᵀy of the newest pair; at first a step of g / max(1, ‖g‖₁). Pairs
    along which L isn't concave are left out. There is no line search, since a step has one gradient: steps are as long
    as `largest_move` at most. For objectives without noise, such as those of point posteriors: a pair is a difference
    of gradients, which fresh noise would drown; and for smooth ones,
    since a kink between two gradients, such as that of relu, is taken for curvature.
    """

    type = "lbfgs"
    Options = LbfgsOptions

    @staticmethod
    def start(options: LbfgsOptions, parameters: Tensor) -> dict[str, Tensor]:
        rows = parameters.new_zeros((options.history, len(parameters)))
        return {
            "at": parameters.clone(),
            "gradient": parameters.new_zeros(parameters.shape),
            "moves": rows,
            "changes": rows.clone(),
        }

    @staticmethod
    def ascend(
        options: LbfgsOptions,
        parameters: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        rate: Tensor,
        step: Tensor,
        members: MemberNumbers,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        move, change = parameters - state["at"], state["gradient"] - gradient
        along, moved, changed = (
            members.sum_by_member(product) for product in (move * change, move.square(), change.square())
        )
        usable = members.spread(along > LEAST_CURVATURE * (moved * changed).sqrt())
        moves, changes = (
            torch.where(usable, torch.cat([kept[1:], new.unsqueeze(0)]), kept)
            for kept, new in ((state["moves"], move), (state["changes"], change))
        )
        direction = rate * quasi_newton(gradient, moves, changes, members)
        count = members.sum_by_member((direction != 0).to(direction.dtype)).clamp(min=1)
        length = (members.sum_by_member(direction.square()) / count).sqrt()
        shortened = options.largest_move / torch.maximum(length, torch.full_like(length, options.largest_move))
        after = parameters + members.spread(shortened) * direction
        return after, {"at": parameters, "gradient": gradient, "moves": moves, "changes": changes}

    @staticmethod
    def conflicts(spec: Any) -> list[Problem]:
        if spec.optimizer.inner.batch_size is None:
            return []
        message = "got a number of rows; optimizer.inner.type lbfgs takes differences of gradients of the same rows"
        return [Problem("optimizer.inner.batch_size", message, "leave it out, or set optimizer.inner.type to adam")]


def quasi_newton(gradient: Tensor, moves: Tensor, changes: Tensor, members: MemberNumbers) -> Tensor:
    """H g (P,) from pairs s (history, P) and y (history, P), the newest last; a pair of zeros stands for none."""
    import torch

    curvatures = [members.sum_by_member(move * change) for move, change in zip(moves, changes, strict=True)]
    inverse = [torch.where(each > 0, 1 / each.where(each > 0, 1.0), 0.0) for each in curvatures]
    direction, shares = gradient, []
    for move, change, factor in reversed(list(zip(moves, changes, inverse, strict=True))):
        shares.append(factor * members.sum_by_member(move * direction))
        direction = direction - members.spread(shares[-1]) * change
    newest = members.sum_by_member(changes[-1].square())
    first = 1 / members.sum_by_member(gradient.abs()).clamp(min=1)
    scale = torch.where(curvatures[-1] > 0, curvatures[-1] / newest.where(newest > 0, 1.0), first)
    direction = members.spread(scale) * direction
    for move, change, factor, share in zip(moves, changes, inverse, reversed(shares), strict=True):
        back = factor * members.sum_by_member(change * direction)
        direction = direction + members.spread(share - back) * move
    return direction
