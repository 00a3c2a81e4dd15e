"""What a bound with one mode leaves out: the equal modes that permutations and signs of hidden units make.

A layer of H units has H! permutations that leave the network's function as it is, and 2^H changes of sign if the
activation is odd. Modes that are far apart add log(H! · 2^H) nats to the log evidence of one. Where units are switched
off, so that q is the prior there, modes coincide and the term is too large.
"""

from __future__ import annotations

import math

from .point_networks import SECOND_WIDTH
from .records import Candidate, SplitRecord


def log_modes(candidate: Candidate) -> float:
    """Σ over hidden layers of log H!, and H log 2 if its units are tanh."""
    layers = [(candidate.activation, candidate.width)] + [("tanh", SECOND_WIDTH)] * candidate.deeper
    return sum(math.lgamma(width + 1) + (activation == "tanh") * width * math.log(2) for activation, width in layers)


def picked_with_symmetry(record: SplitRecord) -> str:
    """The structure with the highest log evidence plus `log_modes`; equal ones by name."""

    def score(name: str) -> float:
        return record.structures[name].log_evidence + log_modes(Candidate.of_name(name))

    return min(record.structures, key=lambda name: (-score(name), name))
