"""Fault 16: whatever is planned and stored, no two tasks and no two attempts ever write to the same place.

Here a record is a file of its own, and `store/test_entries.py` shows that attempts at the same members share none. So
it is enough that tasks of a plan have different names, also where a file system takes `A` and `a` for the same, that
names lead nowhere else, and that every array has a part of its file to itself.
"""

from __future__ import annotations

import re
import zipfile

import hypothesis.extra.numpy as arrays_of
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from structflow.plan.plan import ExecutionPlan, Plan, RoundPlan, SettingPlan
from structflow.plan.tasks import Task
from structflow.runner.submission import Submission
from structflow.store.array_file import CONTENTS, save_arrays
from structflow.store.own_folder import OwnFolder

ROUNDS = st.builds(
    RoundPlan,
    name=st.text(max_size=5),
    relaxed=st.booleans(),
    members=st.integers(1, 99),
    exact=st.booleans(),
    members_per_batch=st.integers(1, 9),
    slots=st.integers(1, 12),
    steps=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
)
SETTINGS = st.builds(SettingPlan, values=st.just({}), rounds=st.lists(ROUNDS, min_size=1, max_size=3).map(tuple))
PLANS = st.builds(
    Plan,
    n_structures=st.integers(1, 9),
    settings=st.lists(SETTINGS, min_size=1, max_size=3).map(tuple),
    execution=st.just(ExecutionPlan("cpu", "float32", False, 1)),
    seconds=st.just(0.0),
    batch_bytes=st.just(1),
)


@given(PLANS)
@settings(max_examples=30, deadline=None)
def test_tasks_of_any_plan_have_places_of_their_own(plan):
    tasks = list(plan.tasks())
    names = [task.name for task in tasks]
    assert len({name.casefold() for name in names}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) and len(name) < 100 for name in names)
    submission = Submission("/run", "0123456789ab", {})
    keys = [submission.key_of(task) for task in tasks]
    assert [submission.name_of(key) for key in keys] == names
    before: set[str] = set()
    for task in tasks:
        assert {parent.name for parent in task.parents} <= before
        before.add(task.name)


@given(PLANS)
@settings(max_examples=20, deadline=None)
def test_a_plan_is_read_back_with_the_same_tasks(plan):
    assert list(Plan.from_json(plan.as_json()).tasks()) == list(plan.tasks())


NAMES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["../x", "/etc/x", "a\0b", "x" * 300, "", ".", "..", "a/b", "A", "a", "zarr.json"]),
)
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = st.dictionaries(NAMES, arrays_of.arrays(np.float64, SHAPES), max_size=4)


@given(ARRAYS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_array_has_a_part_of_its_file_to_itself(tmp_path_factory, arrays):
    """An entry for each, one behind the other, and no byte between them that isn't an entry's or its header's."""
    place = tmp_path_factory.mktemp("place")
    save_arrays(OwnFolder(place), "file.npz", arrays)
    with zipfile.ZipFile(place / "file.npz") as archive:
        entries = archive.infolist()
        assert [entry.filename for entry in entries] == [f"{number:04d}.npy" for number in range(len(arrays))] + [
            CONTENTS
        ]
        begin = 0
        for entry in entries:
            assert entry.header_offset == begin
            assert entry.compress_size == entry.file_size
            begin += 30 + len(entry.filename) + entry.file_size  # 30 bytes of a header, and no extra fields
        assert begin == archive.start_dir
    assert [path.name for path in place.iterdir()] == ["file.npz"]


def test_kinds_of_tasks_begin_their_keys():
    """The scheduler groups tasks by what precedes the first part with a digit in it."""
    from dask.utils import key_split

    submission = Submission("/run", "0123456789ab", {})
    kinds = ["decide", "train", "select", "evaluate"]
    assert [key_split(submission.key_of(Task(kind, 0))) for kind in kinds] == kinds
