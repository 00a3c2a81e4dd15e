"""From a spec file to a study: document, overrides, spec, data, graph and the checks between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..data.dataset import Dataset
from ..data.prepare import prepare
from ..data.read import load_dataset
from ..errors import Problem, SpecError
from ..plugins import DataOptions, Shape, Table, TargetKind
from ..plugins.calling import Calling, broken_contract, checked_shape
from ..plugins.registry import registry
from .build_graph import check_graph
from .cross_checks import batch_problems, conflicts, cross_key_problems, stream_problems
from .document import Document
from .document_sources import document_from_mapping, read_document
from .graph import INPUT, OUTPUT, Graph
from .key_path import format_path
from .models import Spec
from .overrides import Override, apply_overrides, claimed, parse_override
from .settings import ResolvedSetting, resolve_settings
from .study import Study
from .validate import validate_data

Reader = Callable[[DataOptions, TargetKind, Path | None], Dataset]
"""From the `data` block, the kind of targets and an earlier run's directory to prepared data; raises `SpecError`."""

RunPath = Path | Callable[[Spec], Path] | None
"""The directory of a run, or how it follows from the spec."""


def load_study(path: str | Path, overrides: Iterable[str] = (), run: RunPath = None) -> Study:
    """The study of a spec file, with `key=value` overrides; raises `SpecError` with every problem found.

    `run` is the directory of a run that may be continued, or gives it for the spec: a table larger than memory isn't
    passed over again where it is unchanged.
    """
    return study_of(check_document(read_document(path), overrides), source_reader(Path(path).parent), run)


def study_from_mapping(
    mapping: Mapping[str, Any], base: Path, overrides: Iterable[str] = (), run: RunPath = None
) -> Study:
    """The study of a spec in memory, whose relative paths start at `base`; `run` as in `load_study`."""
    return study_of(check_document(document_from_mapping(mapping), overrides), source_reader(base), run)


def study_from_table(mapping: Mapping[str, Any], table: Table, overrides: Iterable[str] = ()) -> Study:
    """The study of a spec in memory on rows in memory; its `data` block, if any, holds `split` and `standardize`.

    Columns that never vary are kept, shifted to 0.
    """
    document = document_from_mapping({**mapping, "data": {**mapping.get("data", {}), "source": "memory"}})
    checked = check_document(document, overrides)
    return study_of(checked, lambda options, target, run: prepare(table, options, target, keep_constant=True))


def load_spec(path: str | Path, overrides: Iterable[str] = ()) -> Spec:
    """The spec of a file, checked as far as that can be done without reading the data."""
    return spec_of(check_document(read_document(path), overrides))


def spec_from_mapping(mapping: Mapping[str, Any], overrides: Iterable[str] = ()) -> Spec:
    """The spec of a mapping, checked as far as that can be done without reading the data."""
    return spec_of(check_document(document_from_mapping(mapping), overrides))


@dataclass(frozen=True)
class CheckedDocument:
    """A document whose spec, settings and stages are valid one by one."""

    document: Document
    overrides: Sequence[Override]
    spec: Spec
    settings: tuple[ResolvedSetting, ...]

    def error(self, problems: Iterable[Problem]) -> SpecError:
        """The error for problems that were found later."""
        return self.document.error([claimed(problem, self.overrides) for problem in problems])


def check_document(document: Document, overrides: Iterable[str]) -> CheckedDocument:
    """Apply the overrides and validate the spec with all its settings; raises `SpecError`."""
    document, applied = overridden(document, overrides)
    spec, problems = validate_data(document.data)
    settings: tuple[ResolvedSetting, ...] = ()
    if spec is not None:
        settings, problems = resolve_settings(spec, document.data)
    if spec is None or problems:
        raise document.error([claimed(problem, applied) for problem in problems])
    return CheckedDocument(document, applied, spec, settings)


def overridden(document: Document, texts: Iterable[str]) -> tuple[Document, list[Override]]:
    """The document with `--set` overrides applied; what they set has no line."""
    parsed: list[Override] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            parsed.append(parse_override(text))
        except SpecError as error:
            problems += error.problems
    try:
        data, applied = apply_overrides(document.data, parsed)
    except SpecError as error:
        problems += error.problems
    if problems:
        raise SpecError(problems, document.file)
    elsewhere = frozenset(format_path(override.target) for override in applied)
    return replace(document, data=data, elsewhere=elsewhere), applied


def spec_of(checked: CheckedDocument) -> Spec:
    """The spec, once everything has been checked that needs no data."""
    _, problems = check_graph(checked.spec, {})
    problems += stage_problems(checked.settings, None, None)
    if problems:
        raise checked.error(problems)
    return checked.spec


def study_of(checked: CheckedDocument, reader: Reader, run: RunPath = None) -> Study:
    """The study, once everything has been checked; problems of the data don't hide those of the graph."""
    dataset, problems = read_data(checked.spec, reader, run(checked.spec) if callable(run) else run)
    graph, graph_problems = check_graph(checked.spec, data_shapes(checked.spec, dataset))
    problems += graph_problems + stage_problems(checked.settings, graph, dataset)
    if problems or dataset is None or graph is None:
        raise checked.error(problems)
    settings = tuple(resolved.setting() for resolved in checked.settings)
    return Study(checked.spec, settings, dataset, graph, graph.structure_space())


def source_reader(base: Path) -> Reader:
    """Reads with the plugin that the `data` block names; relative paths start at `base`."""

    def read(options: Any, target: TargetKind, run: Path | None) -> Dataset:
        return load_dataset(registry().get("data_sources", options.source), options, base, target, run)

    return read


def read_data(spec: Spec, reader: Reader, run: Path | None) -> tuple[Dataset | None, list[Problem]]:
    """The prepared data, or None and what is wrong with them."""
    likelihood = registry().get("likelihoods", spec.model.likelihood.type)
    try:
        return reader(spec.data, likelihood.target, run), []
    except SpecError as error:
        return None, list(error.problems)


def data_shapes(spec: Spec, dataset: Dataset | None) -> dict[str, Shape]:
    """The shapes of the input and the output node; empty without data."""
    if dataset is None:
        return {}
    return {INPUT: dataset.input_shape, OUTPUT: output_shape(spec, dataset)}


def output_shape(spec: Spec, dataset: Dataset) -> Shape:
    """The shape of the output node that the likelihood asks for; raises `PluginError` where that isn't a shape."""
    options, method = spec.model.likelihood, "output_shape"
    likelihood = registry().get("likelihoods", options.type)
    with Calling(likelihood, method):
        shape = likelihood.output_shape(options, dataset.n_targets, dataset.n_classes)
    if shape == ():
        raise broken_contract(likelihood, method, "()", "at least one axis, such as (targets,)")
    return checked_shape(likelihood, method, shape)


def stage_problems(settings: Sequence[ResolvedSetting], graph: Graph | None, dataset: Dataset | None) -> list[Problem]:
    """What is wrong between the keys of any stage of any setting, at the places that set them."""
    space = graph.structure_space() if graph is not None else None
    found: list[Problem] = []
    for setting in settings:
        for stage in setting.stages:
            problems = cross_key_problems(stage.spec, len(setting.stages)) + conflicts(stage.spec, space)
            if dataset is not None:
                problems += batch_problems(stage.spec, dataset.n_train)
                problems += [] if dataset.stream is None else stream_problems(stage.spec)
            found += [stage.attributed(problem) for problem in problems]
    return list(dict.fromkeys(found))
