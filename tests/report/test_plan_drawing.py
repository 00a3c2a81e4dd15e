"""What `structflow plan` draws of each regime."""

from __future__ import annotations

import pytest
import studies

from structflow.report.plan_drawing import draw_rounds
from structflow.report.text import print_plan

MODEL = studies.model([studies.EDGE, studies.LAST, studies.SKIP], h={"shape": [2]})


def drawn(regime, **sections) -> list[str]:
    (setting,) = studies.plan(studies.spec(model=MODEL, regime=regime, **sections)).settings
    return draw_rounds(setting)


def test_one_round():
    """2 activations × 2 = 4 structures, 2 restarts; nothing decides before the first round."""
    assert drawn({"type": "enumeration"}) == [
        "  ╭─ enumerate ────────────────────╮",
        "  │ discrete: 8 members in 1 batch │",
        "  │ 30 steps                       │",
        "  ╰────────────────────────────────╯",
        "    │",
        "    ▼ the best restart of every structure is evaluated with fresh noise",
    ]


@pytest.mark.parametrize(("most", "ending"), [(24, "24 members in 2 batches"), (12, "in 2 batches of up to 12")])
def test_the_size_of_batches_is_drawn_where_it_divides_them(most, ending):
    """Two shapes of a node are two batches anyway: one of 24 members would not have been possible."""
    (setting,) = studies.plan({**studies.wide(), "compute": {"compile": False, "members_per_batch": most}}).settings
    assert draw_rounds(setting)[1].strip(" │").endswith(ending)


def test_a_path_shows_the_metaparameters_of_its_rounds_and_who_decides():
    regime = {"type": "growth", "form": "continuous", "points": 2}
    stages = [{}, {"optimizer": {"inner": {"steps": 5}}}]
    assert drawn(regime, stages=stages, compute={"compile": False, "members_per_batch": 3}) == [
        "  ╭─ path-0 ────────────────────────────────────────╮",
        "  │ relaxed: 2 members in 1 batch                   │",
        "  │ stage 0: 30 steps → stage 1: 5 steps            │",
        "  │ c_reg = 100, c_prior = 100                      │",
        "  ╰─────────────────────────────────────────────────╯",
        "    │ growth decides from all records so far",
        "    ▼",
        "  ╭─ path-1 ────────────────────────────────────────╮",
        "  │ relaxed: 2 members in 1 batch                   │",
        "  │ stage 0: 30 steps → stage 1: 5 steps            │",
        "  │ c_reg = 1, c_prior = 1                          │",
        "  ╰─────────────────────────────────────────────────╯",
        "    │ growth decides from all records so far; passes through when done",
        "    ▼",
        "  ╭─ discretise ────────────────────────────────────╮",
        "  │ discrete: ≤ 8 members in ≤ 6 batches of up to 3 │",
        "  │ stage 0: 30 steps → stage 1: 5 steps            │",
        "  ╰─────────────────────────────────────────────────╯",
        "    │",
        "    ▼ the best restart of every structure is evaluated with fresh noise",
    ]


def test_rounds_that_differ_in_numbers_only_are_drawn_once():
    """Growth over 5 shapes and 4 choices of functions has 16 rounds; 15 of them can pass through."""
    widths = {"shape": {"choose": [[1], [2], [3], [4], [5]]}}
    model = studies.model([studies.EDGE, studies.LAST, studies.SKIP], h=widths)
    (setting,) = studies.plan(studies.spec(model=model, regime="growth")).settings
    lines = draw_rounds(setting)
    assert len(setting.rounds) == 16
    assert [line.split()[1] for line in lines if line.startswith("  ╭")] == ["grow-0", "grow-1", "grow-15"]
    assert "    ┆ 13 rounds like it: grow-2 to grow-14" in lines


def test_every_line_of_a_box_is_equally_wide():
    for regime in ("enumeration", "evidence", "growth", "pruning"):
        widths = {len(line) for line in drawn({"type": regime}) if line[2] in "╭│╰" and line.endswith(("╮", "│", "╯"))}
        assert len(widths) == 1


def test_settings_that_are_planned_alike_are_drawn_once(capsys):
    """Seven seeds: five are named, and one drawing serves all."""
    print_plan(studies.plan({**studies.spec(model=MODEL), "sweep": [{"seed": list(range(7))}]}))
    shown = capsys.readouterr().out
    assert shown.startswith("4 structures; 56 members in 28 tasks\n")
    assert "setting: seed 4\nand 2 settings more, each:\n  ╭─ enumerate" in shown
    assert shown.count("╭") == 1
    print_plan(studies.plan(studies.spec(model=MODEL, regime="pruning")))
    assert "at most 14 members" in capsys.readouterr().out  # 3 relaxed rounds of 2, then 4 structures of 2
