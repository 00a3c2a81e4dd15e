"""Log evidence of trained members by all estimators of a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plugins.registry import registry
from ..spec.estimator_labels import estimator_labels
from ..spec.models import Spec
from ..spec.presets import is_point
from .trained import TrainedPopulation

BOUND = "elbo"
"""The estimator that relaxed members are told by."""


@dataclass(frozen=True)
class Estimated:
    """What one estimator found: log evidence and standard error, (M,) each, in the target's original units.

    `missing` says why members have none, by their numbers.
    """

    value: np.ndarray
    standard_error: np.ndarray
    missing: Mapping[int, str]


def estimate_evidence(trained: TrainedPopulation, spec: Spec, shift: float) -> dict[str, Estimated]:
    """Estimates by the names of `estimator_labels`, in the order of the spec.

    `shift`, Σ log of what targets were divided by over rows, takes log densities from training units to original ones.
    """
    found = {}
    for label, options in asked(trained, spec):
        plugin = registry().get("evidence_estimators", options.type)
        estimate = plugin.estimate(options, trained, spec.evidence.samples)
        value, error = (part.cpu().numpy() for part in (estimate.value, estimate.standard_error))
        found[label] = Estimated(value - shift, error, dict(estimate.missing))
    return found


def asked(trained: TrainedPopulation, spec: Spec) -> Iterator[tuple[str, Any]]:
    """The estimators that are asked of these members, with their options.

    Relaxed members have no vectors of weights; their bound comes first, listed or not. Where q is a point, what needs
    a density of it isn't asked.
    """
    kind = registry().of_kind("evidence_estimators")
    listed = spec.evidence.estimators
    relaxed, point = trained.bound.population.is_relaxed, is_point(spec)
    if relaxed and not point:
        yield BOUND, kind[BOUND].options()
    for label, options in zip(estimator_labels(listed), listed, strict=True):
        plugin = kind[options.type].plugin
        unsuited = (plugin.of_weights or options.type == BOUND) if relaxed else False
        if not unsuited and not (point and plugin.needs_density):
            yield label, options
