"""What every task of a run needs, read from the run directory: settings, data, graph and plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from ..data.dataset import Dataset
from ..data.folds import FoldUnits, fold_units
from ..data.stream import Location
from ..data.training_rows import TrainingRows
from ..errors import StorageError
from ..evidence.trained import TrainedPopulation
from ..model.population import Population, build_population
from ..objective.bound import Bound, Distributions
from ..objective.divergence import AgainstSet
from ..objective.noise import member_keys
from ..objective.parameters import Parameters
from ..objective.structure import NOTHING
from ..plan.batching import Batch
from ..plan.plan import Plan
from ..plugins import Candidate, Likelihood, metaparameter_at
from ..plugins.calling import Calling
from ..plugins.registry import registry
from ..spec.build_graph import build_graph
from ..spec.criterion_calls import criterion_of, fold_count, fold_of_row, posterior_of
from ..spec.load import output_shape
from ..spec.models import Spec
from ..spec.round_spec import for_round
from ..spec.structures import Structure
from ..spec.study import Setting, Study
from ..store.digest import canonical_json
from ..store.names import LOCATION, PLAN, RUN, SETTINGS
from ..store.run_directory import RunDirectory
from ..train.minibatch_stream import MinibatchStream
from ..train.stage_inputs import Execution, TrainingData
from ..train.step import LevelName
from ..train.stream_order import StreamOrder
from .shared_records import decision_record

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class FoldWeights:
    """Weights of the training rows for each member, (M, rows) in float64: in L, and in Q and the score (`held_out`)."""

    learned: torch.Tensor
    held_out: torch.Tensor


@dataclass(frozen=True)
class RunContext:
    """A run that is being carried out."""

    directory: RunDirectory
    study: Study
    plan: Plan
    revision: int = 0
    """How often the run was extended before."""

    @property
    def execution(self) -> Execution:
        """Device, dtype and mode of training; what was trained on a GPU is read without one on the CPU."""
        planned = self.plan.execution
        device = planned.device if planned.device != "cuda" or torch.cuda.is_available() else "cpu"
        return Execution(torch.device(device), DTYPES[planned.dtype], planned.compile)

    def stages(self, setting: int) -> tuple[Spec, ...]:
        """The specs of the stages of one setting."""
        return self.study.settings[setting].stages

    def round_stages(self, setting: int, round_index: int) -> tuple[Spec, ...]:
        """The specs of the stages of one round: those of the setting, with what the round has of its own in place."""
        each = self.plan.settings[setting].rounds[round_index]
        return tuple(for_round(spec, each.name, each.relaxed, each.metaparameters) for spec in self.stages(setting))

    def against(self, setting: int, round_index: int) -> tuple[Structure, ...]:
        """The structures that the members of a round are repelled from."""
        against = decision_record(self.directory, setting, round_index).against
        return tuple(Structure.from_dict(dict(item)) for item in against)

    def likelihood(self, spec: Spec, units: FoldUnits | None = None) -> Likelihood:
        """The likelihood of a spec for the prepared targets, or for them in the units of a fold."""
        options = spec.model.likelihood
        plugin = registry().get("likelihoods", options.type)
        scale = self.study.dataset.target_scale
        with Calling(plugin, "__init__"):
            likelihood: Likelihood = plugin(options, scale if units is None else scale * units.target_scale)
        return likelihood

    def population(self, batch: Batch, spec: Spec) -> Population:
        """The population of a batch under a spec."""
        graph = self.study.graph
        scale = spec.prior.weights.scale_by_structure
        return build_population(graph, graph.node_shapes(dict(batch.shapes)), batch.members, batch.capacities, scale)

    def bound(
        self,
        population: Population,
        spec: Spec,
        integrate: bool = True,
        against: tuple[Structure, ...] = (),
        stage: int = 0,
        stages: int = 1,
    ) -> Bound:
        """The objective of a population under the spec of stage `stage` of `stages`.

        `against` are the structures that a round's decision adds to those of the spec.
        """
        structure = spec.prior.structure
        family = registry().get("structure_distributions", structure.type)
        start = metaparameter_at(structure.temperature, 0, spec.optimizer.inner.steps, 0, 1)
        posterior = posterior_of(spec)
        divergences = NOTHING
        if population.is_relaxed:
            visited = [self.study.space.equal_choices(structure) for structure in against]
            divergences = AgainstSet.of_spec(spec, visited, stage, stages)
        units = self.units_of_folds(population.members, spec)
        of_folds = None if units is None else {fold: self.likelihood(spec, each) for fold, each in units.items()}
        distributions = Distributions(self.likelihood(spec), family, spec.prior, posterior, start)
        return Bound(population, distributions, integrate, divergences, of_folds)

    def fold_of_row(self, spec: Spec) -> np.ndarray | None:
        """For every training row the fold from 1 that holds it out, or 0; None where the criterion holds out no row."""
        if fold_count(spec) == 0:
            return None
        dataset = self.study.dataset
        return fold_of_row(spec, dataset.n_train, dataset.labels())

    def fold_weights(self, members: tuple[Candidate, ...], spec: Spec) -> FoldWeights | None:
        """How the training rows weigh for members where rows are held out; None where none are.

        A member of fold k ≥ 1 learns from the other folds, whose m_k rows count m / m_k times, and is judged by fold k;
        fold 0 learns from all rows and is judged by none. Under a criterion of parts rows count once, and members are
        judged by those that they learn from.
        """
        fold_of_row = self.fold_of_row(spec)
        if fold_of_row is None:
            return None
        folds = np.array([member.fold for member in members]).reshape(-1, 1)
        held_out = (folds == fold_of_row) & (folds > 0)
        learned = ~held_out
        device = self.execution.device
        if criterion_of(spec).of_parts:
            once = torch.from_numpy(learned.astype(float)).to(device)
            return FoldWeights(once, once)
        scale = len(fold_of_row) / learned.sum(axis=1, keepdims=True)
        return FoldWeights(
            torch.from_numpy(learned * scale).to(device), torch.from_numpy(held_out.astype(float)).to(device)
        )

    def units_of_folds(self, members: Sequence[Candidate], spec: Spec) -> dict[int, FoldUnits] | None:
        """By fold the units of the rows that members of it learn from; None where all have those of the prepared data.

        Of fold 0, which learns from all rows, they are those of the prepared data.
        """
        fold_of_row, standardize = self.fold_of_row(spec), self.study.spec.data_options.standardize
        folds = sorted({member.fold for member in members})
        if fold_of_row is None or not any(folds) or criterion_of(spec).of_parts:
            return None
        if not (standardize.inputs or standardize.targets):
            return None
        dataset = self.study.dataset
        shape, targets = dataset.input_shape, dataset.n_targets
        found = {0: FoldUnits(np.zeros(shape), np.ones(shape), np.zeros(targets), np.ones(targets))}
        found.update({fold: fold_units(dataset, fold_of_row != fold, standardize) for fold in folds if fold > 0})
        return found

    def rows(self, members: Sequence[Candidate], spec: Spec) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets that members learn from and are judged by, in float64 on the device.

        They are the prepared training rows (rows, …), or where the members' bound has `own_rows` those in the units of
        each one's fold, (M, rows, …).
        """
        x, y = self.study.dataset.train()
        units = self.units_of_folds(members, spec)
        if units is not None:
            parts = {fold: (each.inputs(x), each.targets(y)) for fold, each in units.items()}
            x, y = (np.stack([parts[member.fold][side] for member in members]) for side in (0, 1))
        return torch.from_numpy(x).to(self.execution.device), torch.from_numpy(y).to(self.execution.device)

    @contextmanager
    def training_data(
        self, members: tuple[Candidate, ...], spec: Spec, stage: str, batch_size: int | None
    ) -> Iterator[TrainingData]:
        """The rows that members of a stage learn from, in the precision of training.

        Rows of a table larger than memory are read while this is open.
        """
        execution, dataset = self.execution, self.study.dataset
        x, y = (values.to(execution.dtype) for values in self.rows(members, spec))
        folds = self.fold_weights(members, spec)
        weights: dict[LevelName, torch.Tensor] = {}
        if folds is not None:
            weights = {"inner": folds.learned.to(execution.dtype), "outer": folds.held_out.to(execution.dtype)}
        own_rows = self.units_of_folds(members, spec) is not None
        data = TrainingData(x, y, weights, dataset.row_weight, own_rows=own_rows)
        if dataset.stream is None:
            yield data
            return
        rows, stream = TrainingRows(dataset), dataset.stream
        order = StreamOrder(spec.seed, stage, stream.chunk_train_rows, stream.buffer_chunks, batch_size or len(x))
        with MinibatchStream(order, rows.read, execution.dtype, execution.device) as minibatches:
            yield replace(data, stream=minibatches)

    def keys(self, members: tuple[Candidate, ...], setting: int, round_index: int, stage: int) -> np.ndarray:
        """Philox keys of members, (M, 2), made of their noise keys."""
        return member_keys(self.noise_keys(members, setting, round_index, stage))

    def noise_keys(self, members: Sequence[Candidate], setting: int, round_index: int, stage: int) -> list[str]:
        """Of every member (seed, canonical structure, restart, fold, round and stage) as text, and nothing else.

        The structure of a relaxed member is its open set, where that isn't everything.
        """
        spec = self.stages(setting)[stage]
        name = f"{self.plan.settings[setting].rounds[round_index].name}/{stage}"
        texts = []
        for member in members:
            structure = "relaxed" if member.structure is None else member.structure.canonical
            parts = [spec.seed, structure, member.restart, member.fold, name]
            texts.append(canonical_json(parts if member.open is None else [*parts, member.open.canonical]))
        return texts

    def trained(
        self,
        bound: Bound,
        parameters: Parameters,
        members: tuple[Candidate, ...],
        setting: int,
        round_index: int,
        stage: int | None = None,
    ) -> TrainedPopulation:
        """Members after a stage, by default the last, in float64 on the device, for evaluation on the training rows."""
        stages = self.round_stages(setting, round_index)
        last = len(stages) - 1 if stage is None else stage
        spec = stages[last]
        device = self.execution.device
        x, y = self.rows(members, spec)
        steps = spec.optimizer.inner.steps
        c_temp = metaparameter_at(spec.prior.structure.temperature, steps - 1, steps, last, len(stages))
        moved = parameters.map(lambda value: value.to(device, torch.float64))
        keys, row_weight = self.keys(members, setting, round_index, last), self.study.dataset.row_weight
        folds, shift = self.fold_weights(tuple(members), spec), self.study.dataset.target_shift
        learned = None if folds is None else folds.learned
        return TrainedPopulation(bound, moved, keys, x, y, c_temp, row_weight, shift, learned=learned)


def open_context(path: str) -> RunContext:
    """The context of a run directory; a process reads it once, and anew where another run is there now."""
    directory = RunDirectory(Path(path))
    directory.refuse_earlier_version()
    location = canonical_json(directory.read_sealed(LOCATION)) if directory.has(LOCATION) else None
    return context_of_revision(path, directory.identity, location)


@lru_cache(maxsize=2)
def context_of_revision(path: str, identity: tuple[int, int, int], location: str | None) -> RunContext:
    """The context of the run that was started at a path, as `RunDirectory.identity` tells it from others there.

    `location` is where the rows of a streamed table are found, as JSON.
    """
    directory = RunDirectory(Path(path))
    found = None if location is None else Location.model_validate_json(location)
    try:
        dataset = Dataset.load(directory.data, found)
    except StorageError as error:
        raise directory.cant_be_repaired(error) from error
    if dataset.digest != directory.read_start_file(RUN)["data_digest"]:
        raise StorageError(f"{directory.data} holds other data than {path} was started with; put its own file back")
    return context_of(directory, dataset)


def context_of(directory: RunDirectory, dataset: Dataset) -> RunContext:
    """The context of a run directory whose prepared data are at hand."""
    settings = tuple(
        Setting(stored["values"], tuple(Spec.model_validate(stage) for stage in stored["stages"]))
        for stored in directory.read_start_file(SETTINGS)
    )
    spec = settings[0].stages[0]
    graph = build_graph(spec, dataset.input_shape, output_shape(spec, dataset))
    study = Study(spec, settings, dataset, graph, graph.structure_space())
    revision = directory.read_start_file(RUN)["revision"]
    return RunContext(directory, study, Plan.from_json(directory.read_start_file(PLAN)), revision)
