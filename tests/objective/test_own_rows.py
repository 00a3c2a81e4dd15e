"""Members with rows of their own, in the units of their fold: each is what it is alone with those rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from handmade import make_bound, normal, perturbed, pick, rich_graph, stage_by_hand, start, structures

from structflow.data.dataset import Dataset
from structflow.data.folds import fold_units
from structflow.evidence.trained import TrainedPopulation
from structflow.model.population import Population, build_population
from structflow.objective.members import stack, unstack
from structflow.objective.noise import member_keys
from structflow.plugins import Candidate, StandardizeOptions
from structflow.train.metaparameters import MetaparameterTables
from structflow.train.minibatches import minibatch_rows
from structflow.train.stage_inputs import TrainingData

RICH = rich_graph()
ROWS = 5
SCALES = {0: 1.0, 1: 0.5, 2: 3.0}
"""What the targets of each fold are divided by."""


def members_of(candidates: Sequence[Candidate]) -> Population:
    return build_population(RICH, RICH.node_shapes(), candidates)


def keys_of(members: Population) -> np.ndarray:
    return member_keys([f"{member.structure}/{member.fold}" for member in members.members])


@pytest.mark.parametrize("noise", ["learned", 0.7])
@pytest.mark.parametrize("weights", [{"type": "point"}, {}, {"covariance": "full"}])
def test_a_member_is_what_it_is_alone_with_its_rows(weights: dict[str, str], noise: float | str) -> None:
    """Three structures in three folds, each with its rows and targets, and a noise in original units."""
    found = pick(structures(RICH), 1 if "covariance" in weights else 3, 0)
    members = members_of([Candidate(each, 0, fold=fold) for each in found for fold in SCALES])
    settings = {"likelihood_options": {"noise": noise}, "posterior": {"weights": weights}}
    bound = make_bound(members, fold_scales=SCALES, **settings)
    x, y = normal(members.size, ROWS, 3, seed=1), normal(members.size, ROWS, 1, seed=2)
    parameters, keys = perturbed(start(bound)), keys_of(members)
    together = TrainedPopulation(bound, bound.of_labels(parameters), keys, x, y, 0.5)
    (terms,) = together.sample_terms(4, "here")
    by_row = together.row_log_likelihood(4, "here")
    assert together.rows == ROWS
    for number, member in enumerate(members.members):
        alone = members_of([member])
        single = make_bound(alone, target_scale=[SCALES[member.fold]], **settings)
        own = TrainedPopulation(
            single,
            stack([unstack(bound.of_labels(parameters), bound)[number]], single),
            keys[[number]],
            x[number],
            y[number],
            0.5,
        )
        (expected,) = own.sample_terms(4, "here")
        torch.testing.assert_close(terms.log_likelihood[number], expected.log_likelihood[0])
        torch.testing.assert_close(terms.bound[number], expected.bound[0])
        torch.testing.assert_close(by_row[number], own.row_log_likelihood(4, "here")[0])
        rows = torch.tensor([3, 0])
        both = [each.weights.log_likelihood(each.weights.mean.unsqueeze(1), rows) for each in (together, own)]
        torch.testing.assert_close(both[0][number], both[1][0])


def test_a_fold_has_the_units_of_what_it_learns_from() -> None:
    """Mean 0 and variance 1 over those rows, whatever the others hold; a constant column keeps the table's unit."""
    raw = np.random.default_rng(0).normal(5.0, 3.0, size=(8, 2))
    raw[:6, 1] = 7.0  # constant where it is learned from
    targets = np.random.default_rng(1).normal(-2.0, 4.0, size=(8, 1))
    learned = np.arange(8) < 6

    def units(raw_inputs: np.ndarray, raw_targets: np.ndarray, **how: object) -> tuple[np.ndarray, np.ndarray]:
        shift, scale = raw_inputs.mean(axis=0), raw_inputs.std(axis=0)
        of_targets = raw_targets.mean(axis=0), raw_targets.std(axis=0)
        dataset = Dataset(
            (raw_inputs - shift) / scale, (raw_targets - of_targets[0]) / of_targets[1], np.arange(8),
            np.zeros(0, dtype=np.int64), shift, scale, *of_targets, (), ("a", "b"), ("y",), "continuous",
        )  # fmt: skip
        found = fold_units(dataset, learned, StandardizeOptions.model_validate(how))
        return found.inputs(dataset.inputs), found.targets(dataset.targets)

    x, y = units(raw, targets)
    np.testing.assert_allclose(x[learned, 0].mean(), 0, atol=1e-12)
    np.testing.assert_allclose(x[learned, 0].std(), 1)
    np.testing.assert_allclose(x[:, 1], raw[:, 1] - 7.0, atol=1e-12)
    np.testing.assert_allclose(y[learned].std(), 1)
    outlier, far = raw.copy(), targets.copy()
    outlier[7], far[7] = 1e3, 1e3  # of a row that is held out: nothing that is learned from moves
    other = units(outlier, far)
    np.testing.assert_allclose(other[0][learned], x[learned], atol=1e-9)
    np.testing.assert_allclose(other[1][learned], y[learned], atol=1e-9)
    together = units(raw, targets, inputs="together", targets=False)[0][learned]
    np.testing.assert_allclose([together.mean(), together.std()], [0, 1], atol=1e-12)


def test_minibatches_are_of_rows() -> None:
    """Of every member the same rows, with its weights of them."""
    members = members_of([Candidate(pick(structures(RICH), 1, 0)[0], 0, fold=fold) for fold in SCALES])
    bound = make_bound(members, posterior={"weights": {"type": "point"}}, fold_scales=SCALES)
    x, y, weights = normal(3, ROWS, 3, seed=1), normal(3, ROWS, 1, seed=2), normal(3, ROWS, seed=3)
    columns = torch.ones(2, 5, dtype=torch.float64)
    tables = MetaparameterTables(columns[:, 0], columns, torch.ones(2).bool())
    data = TrainingData(x, y, {"inner": weights}, own_rows=True)
    inputs = stage_by_hand(bound, perturbed(start(bound)), data, tables, 1, batch_size=2).inputs
    chosen = minibatch_rows(0, "stage", 1, ROWS, 2)
    at = inputs.at(1)
    assert torch.equal(at.x, x[:, chosen])
    assert torch.equal(at.y, y[:, chosen])
    assert float(at.factor) == ROWS / 2
    assert torch.equal(at.row_weights["inner"], weights[:, chosen])
    measured = inputs.of_measure(inputs.sources, 0)
    of_measure = minibatch_rows(0, "stage/measure", 0, ROWS, 2)
    assert torch.equal(measured.x, x[:, of_measure])
    assert torch.equal(measured.y, y[:, of_measure])


@pytest.mark.parametrize(("noise", "calls"), [("learned", 1), (0.7, 3)])
def test_a_likelihood_without_units_is_called_once_for_all_folds(noise: float | str, calls: int) -> None:
    """A learned noise is in prepared units, a fixed one in those of the target, which differ by fold."""
    members = members_of([Candidate(pick(structures(RICH), 1, 0)[0], 0, fold=fold) for fold in (*SCALES, 1)])
    bound = make_bound(members, likelihood_options={"noise": noise}, fold_scales=SCALES)
    assert bound.same_density == ([[0, 1, 2, 3]] if calls == 1 else [[0], [1, 3], [2]])
