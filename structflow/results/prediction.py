"""Predictions from trained structures: moments of y and draws of it, in original units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from ..data.dataset import Dataset
from ..distributions.counter_noise import member_key
from ..errors import CallError
from ..evidence.prediction import MOST_PREDICTED_ROWS, has_closed_form, predict
from ..evidence.trained import TrainedPopulation
from ..runner.context import RunContext
from ..runner.evaluate import load_evaluated
from ..runner.populations import part_of
from ..runner.select import canonical
from ..store.records import StructureJson
from .models import PrunedNetwork, RankingEntry

NEGLIGIBLE = 1e-9
"""Structures less probable than this are left out of a mixture."""


@dataclass(frozen=True)
class Prediction:
    """y for every row, in the target's original units.

    `mean` and `standard_deviation` are (rows, targets), `samples` (rows, targets, samples). For classes there is a
    column for each in place of the targets: the mean is its probability, a sample is 1 for the class drawn and 0
    for the others. For two labels the mean is the probability of the second in the order of the data.
    """

    mean: np.ndarray
    standard_deviation: np.ndarray
    samples: np.ndarray


@dataclass(frozen=True)
class TrainedStructure:
    """A structure with its probability in a mixture, trained: a population of one, all of whose weights are sampled."""

    structure: StructureJson
    probability: float
    trained: TrainedPopulation

    def to(self, device: str) -> TrainedStructure:
        """The same on a device."""
        trained = self.trained
        parameters = trained.parameters.map(lambda value: value.to(device))
        fitted = None if trained.fitted is None else trained.fitted.to(device)
        moved = replace(trained, parameters=parameters, x=trained.x.to(device), y=trained.y.to(device), fitted=fitted)
        return replace(self, trained=moved)


@dataclass(frozen=True)
class Predictor:
    """p(y | x, data) = Σ_k p_k ∫ p(y | x, w) q_k(w) dw over trained structures k, whose p_k add up to 1.

    `scaling` holds names, units and labels of the data, but no rows. Everything is in memory and can be pickled.
    """

    scaling: Dataset
    seed: int
    parts: tuple[TrainedStructure, ...]

    def to(self, device: str) -> Predictor:
        """The same on a device."""
        return replace(self, parts=tuple(part.to(device) for part in self.parts))

    def predict(self, inputs: object, samples: int = 256) -> Prediction:
        """Predict y for inputs (rows, *input_shape) in original units.

        Mean and standard deviation average over `samples` draws of the weights of each structure. A draw of y takes
        one structure and one set of its weights for all rows, and noise for each row. All follows from the seed of
        the run: the first draws are the same for any number of them, and the first rows for any rows after them.
        """
        if samples < 1:
            raise CallError(f"samples is {samples}; it must be at least 1")
        x = torch.from_numpy(self.scaling.transform_inputs(inputs)).to(self.parts[0].trained.x.device)
        generators = [generator_of(self.seed, number) for number in range(samples)]
        thresholds = np.cumsum([part.probability for part in self.parts])[:-1]
        chosen = [int((generator.random() >= thresholds).sum()) for generator in generators]
        pieces = [
            self._predict_rows(x[begin : begin + MOST_PREDICTED_ROWS], generators, chosen)
            for begin in range(0, max(1, len(x)), MOST_PREDICTED_ROWS)
        ]
        mean, deviation, draws = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
        if self.scaling.target_kind != "continuous":
            return Prediction(mean, deviation, draws)
        scale, shift = self.scaling.target_scale, self.scaling.target_shift
        return Prediction(mean * scale + shift, deviation * scale, draws * scale[:, None] + shift[:, None])

    def _predict_rows(
        self, x: Tensor, generators: Sequence[np.random.Generator], chosen: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """E y = E E[y | w], Var y = E (Var[y | w] + E[y | w]²) − (E y)², and the draws, in prepared units."""
        samples = len(generators)
        mean = square = x.new_zeros(())
        draws: list[np.ndarray] = [np.empty(0)] * samples
        for position, part in enumerate(self.parts):
            likelihood = part.trained.bound.likelihood
            own = {name: value[0] for name, value in part.trained.parameters.theta.likelihood.items()}
            moments = vmap(likelihood.moments, (None, 0))
            begin = 0
            known = closed_moments(part.trained, x)
            if known is not None:
                mean = mean + known[0] * part.probability
                square = square + (known[1] + known[0].square()) * part.probability
            with torch.no_grad():
                for output in part.trained.outputs(x, samples, "predict"):
                    f = output.mean[0]
                    if known is None:
                        means, variances = moments(own, f)
                        mean = mean + means.sum(0) * (part.probability / samples)
                        square = square + (variances + means.square()).sum(0) * (part.probability / samples)
                    for number in range(begin, begin + len(f)):
                        if chosen[number] == position:
                            draws[number] = likelihood.draw(own, f[number - begin], generators[number])
                    begin += len(f)
        deviation = (square - mean.square()).clamp(min=0).sqrt()
        return mean.cpu().numpy(), deviation.cpu().numpy(), np.stack(draws, axis=-1)


def closed_moments(trained: TrainedPopulation, x: Tensor) -> tuple[Tensor, Tensor] | None:
    """E y and Var y of the one member of a population, (rows, …), where they are known in closed form."""
    if not has_closed_form(trained):
        return None
    found = predict(trained, x, None, 1)
    return found.mean[0], found.variance[0]


def generator_of(seed: int, number: int) -> np.random.Generator:
    """What a draw of y is made with besides the weights: its own stream of the run's seed."""
    first, second = member_key(f"{seed}/draw/{number}")
    return np.random.Generator(np.random.Philox(key=first << 32 | second))


def mixture_of(context: RunContext, ranking: Sequence[RankingEntry]) -> Predictor:
    """The mixture over the structures of a ranking, weighted by their posterior probability."""
    if not ranking:
        raise CallError(
            f"the run {context.directory.name} has no ranking to predict with: no structure has a rank, and its "
            "warnings say why"
        )
    kept = [entry for entry in ranking if entry.probability > NEGLIGIBLE]
    total = sum(entry.probability for entry in kept)
    return predictor_of(context, kept, [entry.probability / total for entry in kept])


def predictor_of(
    context: RunContext, entries: Sequence[RankingEntry | PrunedNetwork], probabilities: Sequence[float]
) -> Predictor:
    """The mixture over ranked structures or pruned networks with these probabilities, which add up to one."""
    trained = trained_structures(context, entries)
    parts = tuple(
        TrainedStructure(entry.structure, probability, found)
        for entry, probability, found in zip(entries, probabilities, trained, strict=True)
    )
    dataset, none = context.study.dataset, np.zeros(0, dtype=np.int64)
    scaling = replace(
        dataset,
        inputs=dataset.inputs[:0],
        targets=dataset.targets[:0],
        train_rows=none,
        test_rows=none,
        stream=None,
    )
    return Predictor(scaling, context.stages(0)[-1].seed, parts)


def trained_structures(context: RunContext, entries: Sequence[RankingEntry | PrunedNetwork]) -> list[TrainedPopulation]:
    """Ranked structures or pruned networks as they were evaluated, each a population of its own without its rows."""
    wanted = {
        canonical(entry.structure, isinstance(entry, PrunedNetwork)): number for number, entry in enumerate(entries)
    }
    found: dict[int, TrainedPopulation] = {}
    for evaluated in load_evaluated(context, 0):
        for number, member in enumerate(evaluated.sampled.bound.population.members):
            key = "" if member.structure is None else canonical(member.structure.as_dict(), member.is_pruned)
            if key in wanted:
                alone = part_of(context, evaluated.task, evaluated.sampled, [number], integrate=False)
                found[wanted[key]] = replace(alone.with_curvature(), x=alone.x[:0], y=alone.y[:0])
    return [found[number] for number in range(len(entries))]
