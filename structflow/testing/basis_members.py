"""What a basis function promises under vmap: members and samples trained together are the same as alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad, vmap

from ..model.network import lift
from .basis_subject import BasisSubject
from .check import remedy
from .numbers import Weights, expect_all_close, expect_close

MEMBERS, SAMPLES = 3, 2


def one(weights: Weights, *index: int) -> Weights:
    """The weights of one member, or of one of its samples."""
    return {name: value[index] for name, value in weights.items()}


class BasisMemberTests:
    """Under vmap members are as alone."""

    @remedy(
        "write `forward` for one member with operations that vmap knows: no .item(), no branching, no in-place writes"
    )
    def test_members_equal_a_loop(self, subject: BasisSubject) -> None:
        """Members and samples lifted with vmap, as a run does it, give the numbers of a loop over them."""
        weights, x = subject.weights(MEMBERS, SAMPLES), subject.rows(MEMBERS, SAMPLES)
        every = [(member, sample) for member in range(MEMBERS) for sample in range(SAMPLES)]
        looped = torch.stack([subject.forward(one(weights, *index), x[index]) for index in every])
        lifted = lift(subject.function, weights, x[0, 0], x, MEMBERS)
        expect_close(lifted.flatten(0, 1), looped, "forward over members and samples")
        if not subject.shapes:
            return
        shared = torch.stack([subject.forward(one(weights, *index), x[0, 0]) for index in every])
        on_data = lift(subject.function, weights, x[0, 0], None, MEMBERS)
        expect_close(on_data.flatten(0, 1), shared, "forward over members and samples of the same rows")

    @remedy("write `forward` with operations whose derivatives vmap knows")
    def test_gradients_of_members_equal_a_loop(self, subject: BasisSubject) -> None:
        """Gradients of members under vmap are those of a loop."""
        if not subject.shapes:
            return
        weights, x = subject.weights(MEMBERS), subject.rows()

        def slope(of_member: Weights, rows: Tensor) -> Weights:
            found: Weights = grad(lambda w: subject.total(w, rows))(of_member)
            return found

        lifted = vmap(slope, (0, None))(weights, x)
        looped = [slope(one(weights, member), x) for member in range(MEMBERS)]
        expect_all_close(lifted, {n: torch.stack([each[n] for each in looped]) for n in weights}, "gradient by")

    @remedy("write `start` for one member with operations that vmap knows: no python branching on the normals")
    def test_starts_of_members_equal_a_loop(self, subject: BasisSubject) -> None:
        """`start` of members under vmap is that of a loop."""
        if not subject.shapes:
            return
        normals = subject.weights(MEMBERS)
        lifted = vmap(subject.function.start)(normals)
        looped = [subject.function.start(one(normals, member)) for member in range(MEMBERS)]
        expect_all_close(lifted, {n: torch.stack([each[n] for each in looped]) for n in normals}, "start of")
