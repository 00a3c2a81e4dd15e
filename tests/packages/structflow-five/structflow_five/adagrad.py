"""Adagrad."""

from structflow.plugins import InnerOptimizer, InnerOptions


class Adagrad(InnerOptimizer):
    """G ← G + g², θ ← θ + rate · g / (√G + 1e-8). Duchi, Hazan and Singer (2011)."""

    type, interface = "adagrad", (2, 0)
    Options = InnerOptions

    @staticmethod
    def start(options, parameters):
        return {"total": parameters.new_zeros(parameters.shape)}

    @staticmethod
    def ascend(options, parameters, gradient, state, rate, step, members):
        total = state["total"] + gradient.square()
        return parameters + rate * gradient / (total.sqrt() + 1e-8), {"total": total}
