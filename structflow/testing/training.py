"""Whether what is examined trains from end to end, in a tiny model around it."""

from __future__ import annotations

import numpy as np

from .basis_subject import BasisSubject
from .check import Rule, expect, rule
from .likelihood_subject import LikelihoodSubject
from .numbers import normal
from .tiny_model import Readout, TinyModel, candidate, chain, tiny_model


def expect_training(model: TinyModel) -> None:
    """Complain unless no member diverges and every bound stays finite."""
    result = model.trained()
    diverged = (result.diverged_at >= 0).sum()
    expect(diverged == 0, f"{diverged} of {len(result.diverged_at)} members diverged, first at {result.diverged_at}")
    terms = result.trajectory.terms
    bound = terms["log_likelihood"] - terms["kl_weights"]
    expect(bool(np.isfinite(bound).all()), f"a bound of {bound.min()} to {bound.max()}")
    lost = [name for name, value in result.parameters.items() if not bool(value.isfinite().all())]
    expect(not lost, f"parameters that aren't finite: {', '.join(lost)}")


@rule("see the checks of values, gradients and members; what they pass should train")
def trains(subject: BasisSubject) -> None:
    """A small network with the function on its first edge trains for twenty steps, and its bound stays finite."""
    graph = chain([candidate("examined", subject.plugin, subject.options)], [subject.in_shape, subject.out_shape, (1,)])
    x = subject.rows()
    expect_training(tiny_model(graph, x, normal(len(x), 1, seed=13)))


@rule("see the checks of log_prob and its gradients; what they pass should train")
def likelihood_trains(subject: LikelihoodSubject) -> None:
    """A small network under the likelihood trains for twenty steps, and its bound stays finite."""
    graph = chain([candidate("readout", Readout)], [(3,), (2,), subject.out_shape])
    y = subject.targets()
    expect_training(tiny_model(graph, normal(len(y), 3, seed=12), y, subject.likelihood))


BASIS_RULES: tuple[Rule[BasisSubject], ...] = (trains,)
LIKELIHOOD_RULES: tuple[Rule[LikelihoodSubject], ...] = (likelihood_trains,)
