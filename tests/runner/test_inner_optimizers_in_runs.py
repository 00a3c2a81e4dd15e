"""Inner optimisers and numbers of steps from the spec to the ranking."""

from __future__ import annotations

import numpy as np
import pytest
import studies

from structflow.errors import SpecError

MAP = {"criterion": "map", "prior": {"weights": {"precision": 1.0}}}


def run(folder, inner, **sections):
    optimizer = {"inner": inner, "restarts": 2}
    return studies.run(studies.spec(**{**MAP, "optimizer": optimizer, **sections}), folder)


def scores(found):
    return {entry["structure"]["x->h"][0]: entry["score"] for entry in found.ranking}


@pytest.mark.parametrize(
    "compiled", [pytest.param(False, marks=pytest.mark.thorough), pytest.param(True, marks=pytest.mark.slow)]
)
def test_lbfgs_ends_where_a_thousand_steps_of_adam_do(tmp_path, compiled):
    """log p(y, w) of a network of tanh: 100 steps come within 0.01 nats of 1,500 of Adam, and 100 of Adam don't."""
    inner = {
        "adam": {"steps": 1500, "lr": 0.02},
        "few": {"steps": 100, "lr": 0.02},
        "lbfgs": {"type": "lbfgs", "steps": 100},
    }
    found = {
        name: scores(run(tmp_path / name, each, compute={"compile": compiled, "dtype": "float64"}))["dense:tanh"]
        for name, each in inner.items()
    }
    assert found["lbfgs"] == pytest.approx(found["adam"], abs=0.01)
    assert found["few"] < found["adam"] - 0.05


def test_rounds_have_their_numbers_of_steps(tmp_path):
    """By kind, and by the name of the round; plan, records and the trajectory agree."""
    steps = {"relaxed": 12, "discrete": 7}
    sections = {"regime": "evidence", "criterion": "evidence", "prior": {}}
    found = run(tmp_path / "run", {"steps": steps}, **sections)
    assert [each.steps for each in found.context.plan.settings[0].rounds] == [(12,), (7,)]
    seen = set()
    for name in studies.records(found.path):
        if name.endswith("-train"):
            for member in studies.trained(found, name):
                seen.add((member.candidate.structure is None, int(member.arrays["trajectory/steps"][-1])))
    assert seen == {(True, 11), (False, 6)}
    first = found.context.plan.settings[0].rounds[0].name
    again = run(tmp_path / "named", {"steps": {first: 12, "discrete": 7}}, **sections)
    np.testing.assert_allclose(list(scores(again).values()), list(scores(found).values()), rtol=0)


@pytest.mark.parametrize(
    ("inner", "path", "words"),
    [
        ({"steps": {"relaxed": 5}}, "optimizer.inner.steps", "no number of steps for enumerate"),
        ({"steps": {"discrete": 5, "grow-0": 5}}, "optimizer.inner.steps.grow-0", "no round is named 'grow-0'"),
        ({"type": "lbfgs", "batch_size": 5}, "optimizer.inner.batch_size", "gradients of the same rows"),
        ({"type": "adam", "momentum": 0.9}, "optimizer.inner.momentum", "unknown key 'momentum'"),
    ],
)
def test_what_does_not_fit_is_said(inner, path, words):
    with pytest.raises(SpecError) as caught:
        studies.study(studies.spec(optimizer={"inner": inner}))
    assert [(problem.path, words in problem.message) for problem in caught.value.problems] == [(path, True)]


@pytest.mark.parametrize(("outer", "words"), [("greedy", "have no sizes"), ("reversible", "plain gradient steps")])
def test_hypergradients_say_what_steps_they_need(outer, words):
    with pytest.raises(SpecError) as caught:
        studies.study(studies.spec(optimizer={"inner": {"type": "lbfgs", "steps": 60}, "outer": outer}))
    assert words in caught.value.problems[0].message


def test_a_momentum_of_nothing_is_ignored():
    """Specs were once written out with `momentum: 0` under Adam."""
    old = studies.study(studies.spec(optimizer={"inner": {"type": "adam", "momentum": 0.0}})).spec
    assert old == studies.study(studies.spec(optimizer={"inner": {}})).spec
