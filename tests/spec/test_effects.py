"""Every key of the spec says what it affects, and what is made of that."""

from __future__ import annotations

import pytest

from structflow.runner.changes import meaning_of
from structflow.spec.effects import Effect, effect_at, effects, fixed_keys, selected
from structflow.spec.key_path import format_path, parse_path
from structflow.spec.models import Spec


def test_every_key_says_what_it_affects() -> None:
    silent = [format_path(path) for path, mark in effects(Spec) if mark is None]
    assert silent == []


def test_a_key_without_a_mark_is_found() -> None:
    """`extra` isn't marked, nor is the model around it; all other keys are."""

    class Longer(Spec):
        extra: int = 0

    assert [path for path, mark in effects(Longer) if mark is None] == [("extra",)]


def test_what_stages_and_sweeps_keep_fixed() -> None:
    in_sweeps = ["structflow", "name", "data", "model", "trackers", "stages", "sweep"]
    also_in_stages = ["seed", "regime", "optimizer.restarts", "compute.dtype"]
    assert list(fixed_keys(Spec, lambda mark: mark.swept)) == in_sweeps
    assert sorted(fixed_keys(Spec, lambda mark: mark.per_stage)) == sorted([*in_sweeps, *also_in_stages])


def test_settings_of_a_training_key() -> None:
    """What has a part of its own in the key, such as dtype, and what only evaluation needs, isn't among them."""

    def names(relaxed: bool) -> dict[str, object]:
        return {**selected(Spec, lambda mark: mark.in_settings and (relaxed or not mark.relaxed))}

    assert list(names(relaxed=True)) == ["seed", "model", "prior", "posterior", "objective", "criterion", "optimizer"]
    discrete = names(relaxed=False)
    assert discrete["model"] == {"likelihood": True}
    assert discrete["optimizer"] == {"inner": True, "outer": True}
    assert discrete["prior"] == discrete["posterior"] == {"weights": True}
    assert not {"c_comb", "against", "against_form"} & set(discrete["objective"])  # type: ignore[call-overload]


def test_what_is_evaluated() -> None:
    assert list(selected(Spec, lambda mark: "evaluation" in mark.affects)) == [
        "seed", "evidence", "metrics", "robustness", "relevance",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "meaning"),
    [
        ("name", "without effect"),
        ("trackers[0].path", "without effect"),
        ("data.path", "without effect"),
        ("compute.checkpoint_seconds", "without effect"),
        ("compute.members_per_batch", "extension"),
        ("compute.dtype", "another study"),
        ("optimizer.restarts", "extension"),
        ("optimizer.inner.steps", "another study"),
        ("evidence.estimators[1].k", "extension"),
        ("relevance.shares", "extension"),
        ("model.edges[1].basis[0].degree", "extension"),
        ("model.edges[1].choose", "extension"),
        ("model.edges[1].to", "another study"),
        ("model.edges", "another study"),
        ("model.nodes['h.1'].shape.choose[2]", "extension"),
        ("model.nodes.z", "another study"),
        ("model.likelihood.noise", "another study"),
        ("regime.type", "another study"),
        ("regime.structures", "extension"),
        ("regime.criterion.type", "extension"),
        ("sweep[0]", "extension"),
        ("stages[0]", "another study"),
        ("seed", "another study"),
    ],
)
def test_what_a_change_means_for_a_run(path: str, meaning: str) -> None:
    assert meaning_of(parse_path(path) or ()) == meaning


def test_the_innermost_mark_counts() -> None:
    """`prior` affects training; within it the structure's prior affects relaxed members alone."""
    weights, structure = (effect_at(Spec, ("prior", name, "type")) for name in ("weights", "structure"))
    assert weights == Effect(("training",))
    assert structure == Effect(("training",), relaxed=True)
    assert effect_at(Spec, ("no", "such", "key")) is None
