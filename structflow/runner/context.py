"""What every task of a run needs, read from the run directory: settings, data, graph and plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..data.dataset import Dataset
from ..evidence.trained import TrainedPopulation
from ..model.population import Population, build_population
from ..objective.bound import Bound
from ..objective.noise import member_keys
from ..plan.batching import Batch
from ..plan.plan import Plan
from ..plugins import Candidate, Likelihood, metaparameter_at
from ..plugins.registry import registry
from ..spec.build_graph import build_graph
from ..spec.models import Spec
from ..spec.study import Setting, Study
from ..store.digest import canonical_json
from ..store.run_directory import RunDirectory
from ..train.trainer import Execution

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class RunContext:
    """A run that is being carried out."""

    directory: RunDirectory
    study: Study
    plan: Plan

    @property
    def execution(self) -> Execution:
        """Device, dtype and mode of training."""
        planned = self.plan.execution
        return Execution(torch.device(planned.device), DTYPES[planned.dtype], planned.compile)

    def stages(self, setting: int) -> tuple[Spec, ...]:
        """The specs of the stages of one setting."""
        return self.study.settings[setting].stages

    def likelihood(self, spec: Spec) -> Likelihood:
        """The likelihood of a spec for the prepared targets."""
        options = spec.model.likelihood
        plugin = registry().get("likelihoods", options.type)
        likelihood: Likelihood = plugin(options, self.study.dataset.target_scale)
        return likelihood

    def population(self, batch: Batch, spec: Spec) -> Population:
        """The population of a batch under a spec."""
        graph = self.study.graph
        scale = spec.prior.weights.scale_by_structure
        return build_population(graph, graph.node_shapes(dict(batch.shapes)), batch.members, batch.capacities, scale)

    def bound(self, population: Population, spec: Spec, integrate: bool = True) -> Bound:
        """The objective of a population under a spec."""
        structure = spec.prior.structure
        family = registry().get("structure_distributions", structure.type)
        start = metaparameter_at(structure.temperature, 0, spec.optimizer.inner.steps, 0, 1)
        return Bound(population, self.likelihood(spec), family, spec.prior, spec.posterior, start, integrate)

    def keys(self, members: tuple[Candidate, ...], setting: int, round_index: int, stage: int) -> Any:
        """Philox keys of members, (M, 2): of (seed, canonical structure, restart, fold, stage) and nothing else."""
        spec = self.stages(setting)[stage]
        name = f"{self.plan.settings[setting].rounds[round_index].name}/{stage}"
        texts = []
        for member in members:
            structure = "relaxed" if member.structure is None else member.structure.canonical
            texts.append(canonical_json([spec.seed, structure, member.restart, 0, name]))
        return member_keys(texts)

    def trained(
        self,
        bound: Bound,
        parameters: dict[str, torch.Tensor],
        members: tuple[Candidate, ...],
        setting: int,
        round_index: int,
    ) -> TrainedPopulation:
        """Members after their last stage, in float64 on the device, for evaluation on the training rows."""
        stages = self.stages(setting)
        spec, last = stages[-1], len(stages) - 1
        device = self.execution.device
        x, y = (torch.from_numpy(array).to(device) for array in self.study.dataset.train())
        steps = spec.optimizer.inner.steps
        c_temp = metaparameter_at(spec.prior.structure.temperature, steps - 1, steps, last, len(stages))
        moved = {name: value.to(device, torch.float64) for name, value in parameters.items()}
        return TrainedPopulation(bound, moved, self.keys(members, setting, round_index, last), x, y, c_temp)


@lru_cache(maxsize=2)
def open_context(path: str) -> RunContext:
    """The context of a run directory; read once a process."""
    directory = RunDirectory(Path(path))
    dataset = Dataset.load(directory.data)
    settings = tuple(
        Setting(stored["values"], tuple(Spec.model_validate(stage) for stage in stored["stages"]))
        for stored in directory.read_json("settings.json")
    )
    spec = settings[0].stages[0]
    likelihood = registry().get("likelihoods", spec.model.likelihood.type)
    output_shape = likelihood.output_shape(spec.model.likelihood, dataset.n_targets, dataset.n_classes)
    graph = build_graph(spec, dataset.input_shape, output_shape)
    study = Study(spec, settings, dataset, graph, graph.structure_space())
    return RunContext(directory, study, Plan.from_json(directory.read_json("plan.json")))
