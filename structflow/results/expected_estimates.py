"""What is known before training of estimators of evidence that will have no value for structures of a study."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..plugins import EvidenceEstimator, ModelFacts, Options
from ..plugins.calling import Calling, broken_contract
from ..plugins.registry import registry
from ..spec.criterion_calls import criterion_of, weight_family
from ..spec.estimator_labels import estimator_labels
from ..spec.model_facts import model_facts
from ..spec.models import Spec
from ..spec.structures import Structure
from ..spec.study import Study
from .read import structure_name

MOST_STRUCTURES = 1000
"""Structures of a study that are looked at."""


def expected_gaps(study: Study) -> list[str]:
    """A sentence for every estimator that is expected to have no value for some structures, and what to do about it."""
    found = (gap for setting in study.settings for gap in gaps_of(study, setting.stages[-1]))
    return list(dict.fromkeys(found))


def gaps_of(study: Study, spec: Spec) -> Iterator[str]:
    """The same for one setting, whose last stage has this spec."""
    structures = list(itertools.islice(study.space, MOST_STRUCTURES))
    is_curved = weight_family(spec).fits_curvature
    facts = [
        replace(model_facts(study.graph, each, study.dataset.target_kind), is_curved=is_curved) for each in structures
    ]
    for number, options in enumerate(spec.evidence.estimators):
        plugin = registry().get("evidence_estimators", options.type)
        reasons = [reason_of(plugin, options, each) for each in facts]
        without = [(each, why) for each, why in zip(structures, reasons, strict=True) if why is not None]
        if without:
            ranks = number == 0 and criterion_of(spec).by_estimator
            name = estimator_labels(spec.evidence.estimators)[number]
            yield sentence(name, without, len(structures), study.space.count, ranks)


def reason_of(plugin: type[EvidenceEstimator], options: Options, facts: ModelFacts) -> str | None:
    """Why an estimator expects to have no value for a model; raises `PluginError` where that is no text."""
    with Calling(plugin, "why_no_value"):
        found: object = plugin.why_no_value(options, facts)
    if found is not None and not isinstance(found, str):
        raise broken_contract(plugin, "why_no_value", repr(found), "a text or None")
    return found


def sentence(name: str, without: Sequence[tuple[Structure, str]], looked_at: int, count: int, ranks: bool) -> str:
    """For how many structures an estimator has no value, with an example and its reason; what it means if it ranks."""
    first, why = without[0]
    of = f"{len(without):,} of {'the first ' if looked_at < count else ''}{looked_at:,} structures"
    example = f"{structure_name(first.as_dict())}: {why}"
    if not ranks:
        return f"{name} is expected to have no value for {of} ({example}); they are ranked without it"
    rank = "no structure" if len(without) == count else "they"
    have = "would have a rank" if len(without) == count else "would have no rank"
    return (
        f"{name}, which is listed first in evidence.estimators and so ranks, is expected to have no value for {of} "
        f"({example}); {rank} {have}: list first one that has a value for all, such as elbo"
    )
