"""Log evidence of trained members by the estimators of a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..plugins import Estimate, Plugin
from ..plugins.calling import Calling, broken_contract, named_plugin
from ..plugins.registry import registry
from ..spec.criterion_calls import is_point
from ..spec.estimator_labels import estimator_labels
from ..spec.models import Spec
from .trained import TrainedPopulation

BOUND = "elbo"
"""The estimator that relaxed members are told by."""


@dataclass(frozen=True)
class Estimated:
    """What one estimator found: log evidence and standard error, (M,) each, in the target's original units.

    `missing` says why members have no value, by their numbers, and `unsure` why the standard error of others isn't
    known; it is NaN then.
    """

    value: np.ndarray
    standard_error: np.ndarray
    missing: Mapping[int, str]
    unsure: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Estimator:
    """One estimator of a spec, by its label; `shift` takes log densities from training units to original ones."""

    label: str
    options: Any
    samples: int
    shift: float

    def of(self, trained: TrainedPopulation) -> Estimated:
        """Its estimates of all members. Raises `PluginError` where its code raises or what it returns isn't that."""
        plugin = registry().get("evidence_estimators", self.options.type)
        estimate = checked_estimate(plugin, "estimate", trained.size, self.options, trained, self.samples)
        value, error = (part.cpu().numpy() for part in (estimate.value, estimate.standard_error))
        return Estimated(value - self.shift, error, dict(estimate.missing), dict(estimate.unsure))


def checked_estimate(plugin: type[Plugin], method: str, members: int, *arguments: Any) -> Estimate:
    """What a method of a plugin says of so many members; raises `PluginError` where that isn't (members,) numbers.

    A member without a finite value, or standard error, has NaN and a reason: where the plugin gives none, one is
    added here.
    """
    expected = f"({members},) numbers in float64, one a member"
    with Calling(plugin, method):
        found: Any = getattr(plugin, method)(*arguments)
    if not isinstance(found, Estimate):
        raise broken_contract(plugin, method, type(found).__name__, "a structflow.plugins.Estimate")
    for what, part in (("value", found.value), ("standard_error", found.standard_error)):
        if not isinstance(part, Tensor) or tuple(part.shape) != (members,) or part.dtype != torch.float64:
            got = f"{tuple(part.shape)} in {part.dtype}" if isinstance(part, Tensor) else type(part).__name__
            raise broken_contract(plugin, method, f"{what} {got}", expected)
    for what, reasons in (("missing", found.missing), ("unsure", found.unsure)):
        if not isinstance(reasons, Mapping):
            raise broken_contract(plugin, method, f"{what}={reasons!r}", "reasons by the number of the member")
    value = found.value.detach().masked_fill(~found.value.isfinite(), torch.nan)
    unknown = [number for number, known in enumerate(value.isfinite().tolist()) if not known]
    nothing = f"{named_plugin(plugin)} gave neither a finite value nor a reason in `missing`"
    error = found.standard_error.detach()
    error = error.masked_fill(~error.isfinite(), torch.nan)
    no_error = [number for number, known in enumerate((error.isfinite() | ~value.isfinite()).tolist()) if not known]
    neither = f"{named_plugin(plugin)} gave neither a finite standard error nor a reason in `unsure`"
    return Estimate(
        value,
        error,
        {number: str(found.missing.get(number, nothing)) for number in unknown},
        {number: str(found.unsure.get(number, neither)) for number in no_error},
    )


def estimators_for(trained: TrainedPopulation, spec: Spec, shift: float) -> Iterator[Estimator]:
    """The estimators that are asked of these members, by the names of `estimator_labels` in the order of the spec.

    `shift` is Σ log of what targets were divided by over rows. Relaxed members have no vectors of weights; their bound
    comes first, listed or not. Where q is a point, estimators that need its density aren't called.
    """
    kind = registry().of_kind("evidence_estimators")
    listed, samples = spec.evidence.estimators, spec.evidence.samples
    relaxed, point = trained.bound.population.is_relaxed, is_point(spec)
    if relaxed and not point:
        yield Estimator(BOUND, kind[BOUND].options(), samples, shift)
    for label, options in zip(estimator_labels(listed), listed, strict=True):
        plugin = kind[options.type].plugin
        unsuited = (plugin.of_weights or options.type == BOUND) if relaxed else False
        if not unsuited and not (point and plugin.needs_density):
            yield Estimator(label, options, samples, shift)
