"""Defaults that a weight posterior brings: how h is raised, and by what evidence is estimated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..plugins import Criterion, WeightPosterior
from ..plugins.registry import registry


def with_defaults_of_posterior(data: Any) -> Any:
    """The data of a spec with `optimizer.outer` and `evidence.estimators` where it names none and the posterior has
    defaults of its own. They are written out, so that a spec that states a default is equal to one that leaves it
    out.
    """
    family, criterion = named(data, "weight_posteriors"), named(data, "criteria")
    if family is None or (criterion is not None and criterion.trains_point):
        return data
    found = data
    for section, key, default in (
        ("optimizer", "outer", {"type": family.default_outer}),
        ("evidence", "estimators", [{"type": family.default_estimator}]),
    ):
        given = found.get(section) or {}
        usual = getattr(WeightPosterior, f"default_{'outer' if key == 'outer' else 'estimator'}")
        own = getattr(family, f"default_{'outer' if key == 'outer' else 'estimator'}")
        if own != usual and isinstance(given, Mapping) and key not in given:
            found = {**found, section: {**given, key: default}}
    return found


def named(data: Any, kind: str) -> Any:
    """The posterior of the weights, or the criterion, that the data of a spec name; None where they name none."""
    if not isinstance(data, Mapping):
        return None
    if kind == "criteria":
        value = data.get("criterion")
    else:
        posterior = data.get("posterior")
        value = posterior.get("weights") if isinstance(posterior, Mapping) else getattr(posterior, "weights", None)
    name = value if isinstance(value, str) else value.get("type") if isinstance(value, Mapping) else None
    known = registry().of_kind(kind).get(name) if isinstance(name, str) else None
    found: type[WeightPosterior] | type[Criterion] | None = None if known is None else known.plugin
    return found
