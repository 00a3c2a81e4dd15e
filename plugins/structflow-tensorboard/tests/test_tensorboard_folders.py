"""Names of folders, the choice of members, and curves that aren't finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from structflow.plugins import TrackedMember
from structflow_tensorboard.events import write_curve
from structflow_tensorboard.folders import member_folder, safe_name, setting_folder
from structflow_tensorboard.ranking_table import ranking_table
from structflow_tensorboard.tracker import best_members


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("x->h dense:tanh; h 20", "x->h dense:tanh; h 20"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("..", "%2E."),
        ("a\nb", "a%0Ab"),
        ("µ", "µ"),
        ("µ" * 100, "µ" * 100),
        ("a" * 201, "a" * 187 + " a92efd821093"),
    ],
)
def test_names_are_those_of_one_folder(text: str, name: str) -> None:
    assert safe_name(text) == name
    assert len(safe_name(text).encode()) <= 200


def test_long_names_that_begin_alike_differ() -> None:
    assert safe_name("µ" * 150 + "a") != safe_name("µ" * 150 + "b")
    assert len(safe_name("µ" * 150 + "a").encode()) <= 200


def test_folders_say_what_is_in_them() -> None:
    member = TrackedMember({"x->h": ["dense:tanh"], "h": [20]}, "", 3)
    assert member_folder(Path("log"), "enumerate", member) == Path("log/enumerate/x->h dense:tanh; h 20/restart3")
    assert member_folder(Path("log"), "grow", TrackedMember(None, "relaxed", 0)) == Path("log/grow/relaxed/restart0")
    assert setting_folder(Path("log"), 1, {"seed": 3, "objective.c_reg": 0.5}) == Path(
        "log/setting1 seed 3, objective.c_reg 0.5"
    )


def test_the_best_come_first_and_folds_are_left_out() -> None:
    scores = [1.0, None, 3.0, 3.0, 2.0]
    members = [TrackedMember({}, name, 0, score=score) for name, score in zip("abdce", scores, strict=True)]
    members.insert(0, TrackedMember({}, "a", 0, fold=1, score=9.0))
    assert best_members(tuple(members), 3) == [4, 3, 5]
    assert best_members(tuple(members), 9) == [4, 3, 5, 1, 2]


def test_curves_keep_the_last_point_and_what_is_finite() -> None:
    class Writer:
        points: list[tuple[str, float, int]] = []  # noqa: RUF012

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            self.points.append((tag, value, step))

    writer = Writer()
    write_curve(writer, "bound", np.arange(10, 16), np.array([1.0, 2, np.nan, 4, np.inf, 6]), 2)
    assert writer.points == [("bound", 1.0, 10), ("bound", 6.0, 15)]


def test_a_ranking_of_nobody_says_so() -> None:
    assert ranking_table([], "evidence") == "all members diverged"
