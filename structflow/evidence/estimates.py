"""Log evidence of trained members by all estimators of a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..plugins import Estimate, EvidenceEstimator
from ..plugins.calling import Calling, broken_contract, named_plugin
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
        estimate = checked_estimate(plugin, options, trained, spec.evidence.samples)
        value, error = (part.cpu().numpy() for part in (estimate.value, estimate.standard_error))
        found[label] = Estimated(value - shift, error, dict(estimate.missing))
    return found


def checked_estimate(
    plugin: type[EvidenceEstimator], options: Any, trained: TrainedPopulation, samples: int
) -> Estimate:
    """What an estimator says of every member; raises `PluginError` where that isn't (M,) numbers.

    A member without a finite value has NaN, and a reason: one that the estimator leaves out is given here.
    """
    method, expected = "estimate", f"({trained.size},) numbers in float64, one a member"
    with Calling(plugin, method):
        found: Any = plugin.estimate(options, trained, samples)
    if not isinstance(found, Estimate):
        raise broken_contract(plugin, method, type(found).__name__, "a structflow.plugins.Estimate")
    for what, part in (("value", found.value), ("standard_error", found.standard_error)):
        if not isinstance(part, Tensor) or tuple(part.shape) != (trained.size,) or part.dtype != torch.float64:
            got = f"{tuple(part.shape)} in {part.dtype}" if isinstance(part, Tensor) else type(part).__name__
            raise broken_contract(plugin, method, f"{what} {got}", expected)
    if not isinstance(found.missing, Mapping):
        raise broken_contract(plugin, method, f"missing={found.missing!r}", "reasons by the number of the member")
    value = found.value.detach().masked_fill(~found.value.isfinite(), torch.nan)
    unknown = [number for number, known in enumerate(value.isfinite().tolist()) if not known]
    nothing = f"{named_plugin(plugin)} gave no finite value, and no reason"
    return Estimate(
        value, found.standard_error.detach(), {number: str(found.missing.get(number, nothing)) for number in unknown}
    )


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
