"""E1: three sub-models on a simplex. The bars are those that the project sets itself for temperature 0.2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import structflow
from structflow.report.simplex import restart_probabilities

SPEC = Path(__file__).parents[2] / "specs" / "e1-simplex.yaml"
SECOND = "tanh of x0"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> structflow.Run:
    return structflow.run(SPEC, tmp_path_factory.mktemp("e1") / "run", overrides=["compute.compile=false"])


@pytest.mark.thorough
def test_the_bound_is_maximised_at_temperature_one_fifth(run: structflow.Run) -> None:
    (last,) = run.context.stages(0)
    assert last.prior.structure.temperature == 0.2
    assert (last.objective.c_reg, last.objective.c_train, last.objective.c_prior) == (1, 1, 1)


def test_nine_tenths_of_the_mass_are_on_the_second_model(run: structflow.Run) -> None:
    best = run.summary["relaxed"]["q_probability"]["x->y"]
    assert best[SECOND] >= 0.9
    probabilities = restart_probabilities(run, "x->y")
    assert probabilities.shape == (20, 3)
    assert np.allclose(probabilities.sum(axis=1), 1.0)
    assert probabilities[:, list(best).index(SECOND)].mean() >= 0.9


def test_eighteen_of_twenty_restarts_round_to_the_second_model(run: structflow.Run) -> None:
    rounded = run.summary["relaxed"]["rounded"]
    assert len(rounded) == 20
    assert sum(structure == {"x->y": [SECOND]} for structure in rounded) >= 18


def test_the_ranking_begins_with_the_second_model(run: structflow.Run) -> None:
    first = run.ranking[0]
    assert first["structure"]["x->y"] == [SECOND]
    assert first["restart_agreement"] >= 0.9
