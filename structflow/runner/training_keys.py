"""What decides the numbers that a member ends a stage with: its training key, and that of an evaluation.

training key = noise key + what its functions are + settings of the stage + training key of what it starts from + data
    + which rows are held out together + versions of the plugins it uses
    + dtype, device kind, torch version, execution mode.

Other candidates, the sweep, the number of restarts and the size of batches are no part of it, so a member of an
extended study has the key it had before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from ..model.layout import functions_by_share
from ..plugins import Candidate, Shape
from ..plugins.hookspecs import PROJECT
from ..plugins.registry import Registration, registry
from ..plugins.sources import source_digest
from ..spec.criterion_calls import weight_family
from ..spec.effects import selected
from ..spec.graph import OUTPUT, Graph, GraphFunction
from ..spec.models import Spec
from ..spec.structures import Structure
from ..store.digest import digest_of_json
from ..train.conditioning import whitens_together
from .context import RunContext
from .decided import keys_of_parents

FRESH = ""
"""Stands for the key of what a member starts from where it starts anew."""


@dataclass(frozen=True)
class TrainingKey:
    """The parts by name: short texts that can be shown (such as a version) or digests."""

    parts: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Identifies the member after the stage."""
        return digest_of_json(dict(self.parts))


def training_keys(
    context: RunContext,
    members: Sequence[Candidate],
    against: Sequence[Structure],
    setting: int,
    round_index: int,
    stage: int,
    starts: Sequence[str],
) -> list[TrainingKey]:
    """The keys of members after a stage; `starts` are the digests of what they start from.

    That is the stage before, or in the first stage the member's parent; `FRESH` where there is neither. `against` is
    that of the round's decision.
    """
    common = common_parts(context)
    noise = context.noise_keys(members, setting, round_index, stage)
    stages = context.round_stages(setting, round_index)
    settings = {relaxed: settings_part(stages[stage], stage, len(stages), relaxed) for relaxed in (False, True)}
    folds = context.fold_of_row(stages[stage])
    if folds is not None:  # another version of what cuts them may cut others
        common["folds"] = digest_of_json({"rows": folds.tolist(), "units": "of the rows learned from"})
    repelled_from = digest_of_json([structure.as_dict() for structure in against])
    what: dict[object, dict[str, str]] = {}  # restarts and folds have their functions in common
    keys = []
    for member, text, start in zip(members, noise, starts, strict=True):
        relaxed = member.structure is None
        choice = (member.structure, member.open, member.removed)
        if choice not in what:
            what[choice] = {
                "functions": digest_of_json(functions_part(context.study.graph, member, stages[stage])),
                "plugins": plugins_part(context.study.graph, member, stages[stage]),
            }
        parts = {**common, **what[choice], "noise": text, "settings": settings[relaxed], "start": start}
        if relaxed:
            parts["against"] = repelled_from
        if member.removed is not None:
            parts["removed"] = digest_of_json(asdict(member.removed))
        keys.append(TrainingKey(parts))
    return keys


def keys_after_stages(
    context: RunContext, members: Sequence[Candidate], against: Sequence[Structure], setting: int, round_index: int
) -> list[tuple[str, ...]]:
    """The digests of the keys of members after every stage."""
    starts = [parent or FRESH for parent in keys_of_parents(context.directory, members, setting)]
    found: list[list[str]] = []
    for stage in range(len(context.stages(setting))):
        keys = training_keys(context, members, against, setting, round_index, stage, starts)
        starts = [key.digest for key in keys]
        found.append(starts)
    return list(zip(*found, strict=True))


def evaluation_key(trained: str, spec: Spec, with_curves: bool) -> str:
    """What an evaluation of a member depends on, given the digest of its training key; curves are of relevance."""
    evaluated = selected(Spec, lambda mark: "evaluation" in mark.affects)
    options = spec.model_dump(mode="json", by_alias=True, include=evaluated)
    named = [("evidence_estimators", spec.evidence.estimators), ("metrics", spec.metrics)]
    packages = sorted({package_text(registry().of_kind(kind)[each.type]) for kind, listed in named for each in listed})
    return digest_of_json({"trained": trained, "evaluation": options, "plugins": packages, "curves": with_curves})


def common_parts(context: RunContext) -> dict[str, str]:
    """The parts that all members of a run have in common."""
    planned = context.plan.execution
    return {
        "data": context.study.dataset.digest,
        "dtype": planned.dtype,
        "device": planned.device,
        "torch": torch.__version__,
        "mode": "compiled" if planned.compile else "eager",
    }


def settings_part(spec: Spec, stage: int, stages: int, relaxed: bool) -> str:
    """Digest of the settings of one of several stages that relaxed or discrete members depend on."""
    kept = selected(Spec, lambda mark: mark.in_settings and (relaxed or not mark.relaxed))
    dumped = spec.model_dump(mode="json", by_alias=True, include=kept)
    return digest_of_json([dumped, stage, stages])


def functions_part(graph: Graph, member: Candidate, spec: Spec) -> list[object]:
    """What a member's functions are, edge by edge, and the shapes of the nodes between them.

    Their order counts where parameters of all are laid out in it: of relaxed members, of a joint posterior, and in
    common coordinates.
    """
    chosen = chosen_functions(graph, member)
    relaxed = member.structure is None
    shapes = graph.node_shapes({} if member.structure is None else dict(member.structure.shapes))
    joint = weight_family(spec).joint
    together = not relaxed and not joint and may_be_whitened_together(graph, chosen, shapes)
    ordered = relaxed or joint or together
    sharing = functions_by_share(graph)
    edges = []
    for edge, functions in zip(graph.edges, chosen, strict=True):
        described = []
        for function in functions:
            first = sharing[function.share] if function.share is not None else []
            owner = [first[0][0].key, described_function(first[0][1]), len(first) > 1] if first else None
            described.append([described_function(function), owner])
        space = [edge.space, edge.smallest, [each.name for each in edge.functions]] if relaxed else None
        edges.append([edge.key, space, described if ordered else sorted(described, key=digest_of_json)])
    what: list[object] = [edges, {node: list(shape) for node, shape in shapes.items()}]
    return [*what, "whitened together"] if together else what


def may_be_whitened_together(
    graph: Graph, chosen: Sequence[Sequence[GraphFunction]], shapes: Mapping[str, Shape]
) -> bool:
    """Whether a structure may be linear in the weights of several functions that are trained in common coordinates.

    Whether they are depends on whether other structures are possible.
    """
    ends = [
        edge.target
        for edge, functions in zip(graph.edges, chosen, strict=True)
        for function in functions
        if function.plugin.weight_shapes(function.options, shapes[edge.source], shapes[edge.target])
    ]
    return whitens_together(graph) and len(ends) > 1 and set(ends) == {OUTPUT}


def described_function(function: GraphFunction) -> list[object]:
    """Name, type and options of a basis function."""
    return [function.name, function.plugin.type, function.options.model_dump(mode="json")]


def chosen_functions(graph: Graph, member: Candidate) -> list[list[GraphFunction]]:
    """For every edge the functions that a member has, or may choose, in spec order."""
    left = member.structure or member.open
    names = None if left is None else dict(left.edges)
    return [
        [function for function in edge.functions if names is None or function.name in names[edge.key]]
        for edge in graph.edges
    ]


def plugins_part(graph: Graph, member: Candidate, spec: Spec) -> str:
    """Packages and versions of the plugins that a member is trained with; of other packages also their source."""
    installed = registry()
    used = [
        installed.of_kind("basis_functions")[function.plugin.type]
        for functions in chosen_functions(graph, member)
        for function in functions
    ]
    used.append(installed.of_kind("likelihoods")[spec.model.likelihood.type])
    used.append(installed.of_kind("criteria")[spec.criterion.type])
    used.append(installed.of_kind("inner_optimizers")[spec.optimizer.inner.type])
    used.append(installed.of_kind("hypergradients")[spec.optimizer.outer.type])
    if member.removed is not None:
        used.append(installed.of_kind("relevances")[member.removed.criterion])
    if member.structure is None:
        used.append(installed.of_kind("structure_distributions")[spec.prior.structure.type])
    return ", ".join(sorted({package_text(each) for each in used}))


def package_text(registration: Registration) -> str:
    """`package version`, for another package than structflow with the beginning of its source's hash."""
    text = f"{registration.origin} {registration.version or 'without a version'}"
    module = registration.plugin.__module__
    return text if module.startswith(f"{PROJECT}.") else f"{text} ({source_digest(module.partition('.')[0])})"
