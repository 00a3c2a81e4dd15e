"""Steps of one length along the direct part of the hypergradient."""

from pydantic import Field

from structflow.errors import Problem
from structflow.plugins import Hypergradient, OuterGradient, TwoLevelOptions, factors_agree


class SignDirectOptions(TwoLevelOptions):
    """Keys of `optimizer.outer` with `type: sign_direct`."""

    floor: float = Field(1e-12, gt=0, description="Norm of ∂Q/∂h below which it is divided by this instead.")


class SignDirect(Hypergradient):
    """∂Q/∂h / max(‖∂Q/∂h‖, floor) at fixed θ, with the norm over each member's own h: only its direction counts.

    Leaves out how θ* follows h, so it points along dQ/dh only where ∇_θ Q vanishes at θ*, that is where Q is a multiple
    of L plus terms in h alone; other settings are refused. `norm` in the report is ‖∂Q/∂h‖.
    """

    type = "sign_direct"
    interface = (2, 0)
    levels = 2
    Options = SignDirectOptions

    @staticmethod
    def gradient(options, point):
        import torch

        of_q = point.outer_gradient()
        direct = torch.where(point.of_theta, torch.zeros_like(of_q), of_q)
        norm = point.dot(direct, direct).sqrt()
        return OuterGradient(direct / point.spread(norm.clamp(min=options.floor)), {"norm": norm})

    @staticmethod
    def conflicts(spec):
        if factors_agree(spec.objective):
            return []
        return [
            Problem(
                "optimizer.outer",
                "sign_direct leaves out how θ* follows h, which counts here because Q isn't a multiple of L",
                "set c_prior / c_train to c_reg, or optimizer.outer to hoag",
            )
        ]
