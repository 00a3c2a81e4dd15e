"""The two levels, L for θ and Q for h, from the terms of every member:

    L(θ | h) = E_q log p(y | X, w, Γ) − c_reg · KL(q ‖ p(· | h))
    Q(h | θ) = c_train · E_q log p(y | X, w, Γ) − c_prior · KL(q ‖ p(· | h)) − c_comb · D + log p(h)

with D the divergence from the set P. All tensors are (M,), the metaparameters 0-d.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .bound import Terms


class Metaparameters(NamedTuple):
    """Their values at one step."""

    c_reg: Tensor
    c_train: Tensor
    c_prior: Tensor
    c_comb: Tensor
    c_temp: Tensor


METAPARAMETERS = Metaparameters._fields


def inner_level(terms: Terms, at: Metaparameters) -> Tensor:
    """L."""
    return terms.log_likelihood - at.c_reg * (terms.kl_weights + terms.kl_structure)


def outer_level(terms: Terms, at: Metaparameters) -> Tensor:
    """Q."""
    divergences = terms.kl_weights + terms.kl_structure
    return (
        at.c_train * terms.log_likelihood
        - at.c_prior * divergences
        - at.c_comb * terms.divergence
        + terms.log_hyperprior
    )


def one_level(terms: Terms, at: Metaparameters) -> Tensor:
    """Q / c_train where c_prior = c_reg · c_train: L plus the terms in h alone. Its maximum over θ and h is Q's."""
    own = terms.log_hyperprior - at.c_comb * terms.divergence
    return inner_level(terms, at) + own / at.c_train
