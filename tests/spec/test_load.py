"""Loading: sweeps and stages, the data's shapes, the hash, bad input of every kind, and what it costs."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structflow.errors import SpecError
from structflow.spec.document import parse_document
from structflow.spec.load import check_document, load_spec, load_study, spec_from_mapping, spec_of, study_from_mapping
from structflow.spec.spec_hash import spec_hash

from .examples import TEXT, example


def test_a_study_has_everything(tmp_path: Path):
    file = tmp_path / "example.yaml"
    file.write_text(TEXT)
    study = load_study(file, ["optimizer.restarts=3"])
    assert study.spec.optimizer.restarts == 3
    assert study.dataset.n_train == 20
    assert study.graph.nodes == ("x", "h", "y")
    assert study.graph.shapes == {"x": ((2,),), "h": ((3,),), "y": ((1,),)}
    assert study.space.count == 2
    assert [setting.values for setting in study.settings] == [{}]
    assert [len(setting.stages) for setting in study.settings] == [1]
    assert load_spec(file, ["optimizer.restarts=3"]) == study.spec


def test_relative_paths_start_at_the_folder_of_the_spec(tmp_path: Path):
    (tmp_path / "table.csv").write_text("a,b,c\n1,2,3\n2,3,5\n4,5,9\n7,1,8\n")
    data = {"source": "csv", "path": "table.csv", "target": ["c"]}
    assert study_from_mapping(example(data=data), tmp_path).graph.shapes["x"] == ((2,),)


def test_classes_give_the_output_its_shape(tmp_path: Path):
    (tmp_path / "table.csv").write_text("a,b,c\n1,2,u\n2,3,v\n4,5,w\n7,1,u\n")
    data = {"source": "csv", "path": "table.csv", "target": ["c"]}
    spec = example(data=data)
    spec["model"]["likelihood"] = "categorical"
    assert study_from_mapping(spec, tmp_path).graph.shapes["y"] == ((3,),)


def test_sweep_blocks_are_crossed_in_row_major_order():
    sweep = [{"objective.c_reg": [1, 2], "objective.c_prior": [1, 2]}, {"seed": [7, 8]}]
    study = study_from_mapping(example(sweep=sweep), Path())
    values = [setting.values for setting in study.settings]
    assert values == [{"objective.c_reg": c, "objective.c_prior": c, "seed": seed} for c in (1, 2) for seed in (7, 8)]
    assert json.loads(json.dumps(values)) == values
    assert [setting.stages[0].seed for setting in study.settings] == [7, 8, 7, 8]
    assert study.spec.sweep
    assert not study.settings[0].stages[0].sweep


def test_stages_override_the_sweep_one_by_one():
    stages = [{"optimizer": {"inner": {"steps": 10}}}, {"optimizer.inner.samples": 2}]
    study = study_from_mapping(example(stages=stages, sweep=[{"optimizer.inner.steps": [5, 6]}]), Path())
    inner = [[stage.optimizer.inner for stage in setting.stages] for setting in study.settings]
    assert [[(each.steps, each.samples) for each in stages] for stages in inner] == [
        [(10, 1), (5, 2)],
        [(10, 1), (6, 2)],
    ]


def test_the_conflicts_of_a_swept_value_stand_at_the_value():
    sweep = [{"objective.c_prior": [1, 0.5]}]
    with pytest.raises(SpecError) as raised:
        study_from_mapping(example(sweep=sweep), Path())
    assert [problem.path for problem in raised.value.problems] == ["sweep[0].objective.c_prior[1]"]


def test_problems_of_the_data_do_not_hide_those_of_the_graph():
    spec = example(data={"source": "csv", "path": "nowhere.csv", "target": ["a"]})
    spec["model"]["edges"][0]["to"] = "k"
    with pytest.raises(SpecError) as raised:
        study_from_mapping(spec, Path())
    assert {problem.path for problem in raised.value.problems} >= {"data.path", "model.edges[0].to"}


def test_many_structures_are_counted_at_once():
    spec = example()
    spec["model"]["edges"][0] |= {"choose": "any", "basis": [{"type": "polynomial", "degree": i} for i in range(40)]}
    start = time.process_time()
    with pytest.raises(SpecError, match="exceeds max_structures"):
        study_from_mapping(spec, Path())
    assert time.process_time() - start < 1


class TestHash:
    def test_writing_makes_no_difference(self):
        text = TEXT.replace("name: example\n", "") + "name: example # a comment\nseed: 0\nobjective: {c_reg: 1.0}\n"
        text = text.replace("to: y,", "to: y, choose: all,") + "prior: {weights: {learned: true}}\n"
        assert spec_hash(spec_of_text(text)) == spec_hash(spec_of_text(TEXT))

    @pytest.mark.parametrize(
        "change", ["seed: 1\n", "objective: {c_reg: 2, c_prior: 2}\n", "sweep: [{seed: [1, 2]}]\n"]
    )
    def test_meaning_does(self, change):
        assert spec_hash(spec_of_text(TEXT + change)) != spec_hash(spec_of_text(TEXT))

    def test_whole_numbers_in_a_sweep_are_equal(self):
        one, other = (spec_of_text(TEXT + f"sweep: [{{seed: [{value}]}}]\n") for value in ("1", "1.0"))
        assert spec_hash(one) == spec_hash(other)


def spec_of_text(text: str | bytes):
    return spec_of(check_document(parse_document(text.encode() if isinstance(text, str) else text), ()))


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_read(content):
    with pytest.raises(SpecError):
        spec_of_text(content)


@settings(deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.integers(0, 3), st.text("{}[]:,-&*!|>'\"%@`#? \n\tx1.~", max_size=3))
def test_a_damaged_text_is_refused_or_read(start, length, inserted):
    text = TEXT[:start] + inserted + TEXT[start + length :]
    try:
        spec_of_text(text)
    except SpecError as error:
        assert error.problems  # noqa: PT017  # nothing needs to be raised


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["dense", "linear", "one", "any", "x", "h", "y", "type", "auto", "1", "yes", "enumeration"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "from", "to", "basis", "shape", "choose", "schedule", "values", "?"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)

FULL = example(
    objective={
        "c_reg": {"schedule": "linear", "from": 1, "to": 2},
        "c_train": 1,
        "c_prior": 1,
        "c_comb": 0,
        "against": [],
    },
    prior={"weights": {"precision": "shared", "learned": True}, "structure": {"type": "gumbel_softmax"}},
    optimizer={"inner": {"lr": 0.1, "steps": 5, "batch_size": 3}, "outer": "one_level", "restarts": 2},
    evidence={"estimators": ["elbo"], "samples": 3},
    compute={"compile": "auto", "members_per_batch": 2},
    regime="enumeration",
    stages=[{"optimizer": {"inner": {"steps": 3}}}],
    sweep=[{"seed": [1, 2]}],
)


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([path for path in places(FULL) if path]), ANYTHING, st.sampled_from(["put", "add", "remove"]))
def test_a_spec_changed_anywhere_is_refused_or_read(path, value, action):
    data = copy.deepcopy(FULL)
    *above, last = path
    container = data
    for key in above:
        container = container[key]
    if action == "remove":
        del container[last]
    elif action == "add" and isinstance(container[last], dict):
        container[last]["type"] = value
    elif action == "add" and isinstance(container[last], list):
        container[last].append(value)
    else:
        container[last] = value
    problems = problems_in(data)
    assert problems is None or problems
    for problem in problems or ():
        assert "pydantic" not in problem.message
        assert "Input should" not in problem.message


def problems_in(data):
    try:
        spec_hash(spec_from_mapping(data))
    except SpecError as error:
        return error.problems
    return None


def test_loading_imports_no_heavy_library_and_takes_little_time(tmp_path: Path):
    file = tmp_path / "example.yaml"
    file.write_text(TEXT)
    code = (
        "import sys, time; start = time.process_time()\n"
        "from structflow.spec.load import load_study\n"
        f"load_study({str(file)!r}); seconds = time.process_time() - start\n"
        "heavy = [name for name in ('torch', 'dask', 'zarr', 'matplotlib') if name in sys.modules]\n"
        "print(heavy, seconds); sys.exit(bool(heavy) or seconds > 2)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
