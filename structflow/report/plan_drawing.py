"""A plan as a drawing of its rounds: a box a round, arrows with what happens between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from ..plan.plan import RoundPlan, SettingPlan
from ..words import counted

MOST_ALIKE = 3
"""Rounds in a row that differ in numbers only, of which no more than this are drawn one by one."""

INDENT = "  "


def draw_rounds(setting: SettingPlan) -> list[str]:
    """The lines of the drawing of one setting's rounds, from first to last."""
    shown: list[RoundPlan | list[RoundPlan]] = []
    for _, group in groupby(setting.rounds, key=kind_of_round):
        rounds = list(group)
        if len(rounds) > MOST_ALIKE:
            shown += [rounds[0], rounds[1:-1], rounds[-1]]
        else:
            shown += rounds
    width = max(len(line) for each in setting.rounds for line in (each.name, *contents(each)))
    lines: list[str] = []
    for position, part in enumerate(shown):
        if isinstance(part, list):
            lines += [
                f"{INDENT}  ┆",
                f"{INDENT}  ┆ {len(part)} rounds like it: {part[0].name} to {part[-1].name}",
                f"{INDENT}  ┆",
            ]
            continue
        if position > 0:
            lines += arrow(setting.regime, part)
        lines += box(part, width)
    lines += [f"{INDENT}  │", f"{INDENT}  ▼ the best restart of every structure is evaluated with fresh noise"]
    return lines


def kind_of_round(each: RoundPlan) -> tuple[object, ...]:
    """What is equal for rounds that differ in numbers only."""
    return re.sub(r"\d+$", "", each.name), each.relaxed, each.exact, each.steps, tuple(each.metaparameters)


def arrow(regime: str, to: RoundPlan) -> list[str]:
    """What leads to a round."""
    decides = f"{regime} decides from all records so far" if regime else "decided from all records so far"
    skipped = "" if to.exact else "; passes through when done"
    return [f"{INDENT}  │ {decides}{skipped}", f"{INDENT}  ▼"]


def box(each: RoundPlan, width: int) -> list[str]:
    """A round in a frame that is `width` characters wide inside, its name in the upper edge."""
    title = f"╭─ {each.name} "
    lines = [f"{INDENT}{title}{'─' * (width + 3 - len(title))}╮"]
    lines += [f"{INDENT}│ {line.ljust(width)} │" for line in contents(each)]
    return [*lines, f"{INDENT}╰{'─' * (width + 2)}╯"]


def contents(each: RoundPlan) -> Iterator[str]:
    """Members and batches, stages with their steps, and metaparameters of a round."""
    bound = "" if each.exact else "≤ "
    kind = "relaxed" if each.relaxed else "discrete"
    divided = each.slots > 1 and each.members_per_batch < each.members
    size = f" of up to {each.members_per_batch:,}" if divided else ""
    yield f"{kind}: {bound}{counted(each.members, 'member')} in {bound}{counted(each.slots, 'batch')}{size}"
    yield stages(each.steps)
    if each.metaparameters:
        yield ", ".join(f"{key} = {value:.4g}" for key, value in each.metaparameters.items())


def stages(steps: Sequence[int]) -> str:
    """Stages in order, each with its steps."""
    if len(steps) == 1:
        return counted(steps[0], "step")
    return " → ".join(f"stage {index}: {counted(number, 'step')}" for index, number in enumerate(steps))
