"""Tables for the terminal."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

from pydantic import JsonValue
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..plan.plan import Plan, SettingPlan
from ..results.marginals import marginal_probabilities
from ..results.models import (
    Extension,
    RankingEntry,
    RelaxedResult,
    SampledRows,
    SettingResults,
    StageSummary,
    Summary,
)
from ..results.read import RunRow
from ..results.unranked import unranked_warning
from ..runner.doctor import Finding
from ..words import counted
from .estimates_table import estimates_table
from .narrow import NumberTable
from .numbers import shown, with_error
from .plan_drawing import draw_rounds
from .pruned_table import print_pruned_table
from .ranking_table import SHORT, RankingTable
from .relevance import relevance_table, removal_cells, removal_titles

WIDTH = 160
"""Columns of output that goes to a file or a pipe."""

MOST_CURVES = 3
"""Structures whose curves of removed weights are listed."""

MOST_SETTINGS = 5
"""Settings of one plan whose values are listed."""

STAGE_COLUMNS = {
    "bound": "best bound",
    "c_param": "C_param",
    "c_struct": "C_struct\nrounded",
    "c_struct_differential": "C_struct\ndifferential",
    "relative_density": "−Σ ln ρ",
}
"""Titles of what is shown of every stage."""


def print_summary(summary: Summary, most: int) -> None:
    """The ranking, what it says of every choice, the relaxed result and warnings."""
    console = terminal()
    structures = counted(summary.n_structures, "structure")
    console.print(f"run {summary.run}: {summary.status}, {structures}, {summary.seconds:.0f} s")
    if summary.rows is not None:
        console.print(estimated_rows(summary.rows))
    if summary.extension is not None:
        print_extension(console, summary.extension)
    if summary.settings and (summary.ranking or summary.unranked):
        console.print(setting_title(summary.settings[0].values))
    print_found(console, summary, most, summary.n_structures)
    for entry in summary.relevance[:MOST_CURVES]:
        console.print(relevance_table(entry))
    if summary.relaxed is not None:
        print_relaxed(console, summary.relaxed)
    print_stages(console, summary.stages)
    for setting in summary.settings[1:]:
        if setting.ranking or setting.unranked:
            console.print(f"\n{setting_title(setting.values)}")
        print_found(console, setting, min(most, 3), summary.n_structures, choices=False)
    told = headlines(summary)
    for warning in summary.warnings:
        if not warning.endswith(told):
            console.print(Text("warning:", "yellow"), warning)


def print_found(console: Console, found: SettingResults, most: int, possible: int, choices: bool = True) -> None:
    """The structures of one setting, of `possible` ones: those without a rank, the ranking, and pruned networks."""
    print_unranked(console, found, most)
    if found.ranking:
        RankingTable(found, most, possible).print(console)
        if len(found.ranking[0].evidence) > 1:
            estimates_table(found.ranking, most, found.unranked).print(console)
        if choices:
            print_choices(console, found.ranking, len(found.ranking) < possible)
        print_robustness(console, found.ranking[0])
    if found.pruned:
        console.print()
        print_pruned_table(console, found.pruned, most)


def headlines(summary: Summary) -> tuple[str, ...]:
    """What was said above the rankings about structures without a rank, and isn't repeated among the warnings."""
    found = (unranked_warning(each.unranked, each.ranking) for each in summary.each_setting)
    return tuple(filter(None, found))


def print_unranked(console: Console, found: SettingResults, most: int) -> None:
    """Before a ranking, which structures aren't in it and why; where there is none, what other estimators say."""
    unranked = found.unranked
    headline = unranked_warning(unranked, found.ranking)
    if headline is not None:
        console.print(Text("warning:", "bold yellow"), headline)
    if not found.ranking and any(entry.evidence for entry in unranked):
        estimates_table([], most, unranked).print(console)
        if len(unranked) > most:
            console.print(
                f"{most:,} of {len(unranked):,} structures without a rank are shown; structflow show --json lists all"
            )


def print_extension(console: Console, extension: Extension) -> None:
    """What changed since the run was started before, how many members were trained then, and why the others are."""
    for change in extension.changes:
        console.print(f"extended by {change}", highlight=False)
    reasons = "".join(f"; {number:,}: {reason}" for reason, number in extension.reasons.items())
    console.print(f"{extension.taken_over:,} of {extension.members:,} members were trained before{reasons}")


def estimated_rows(rows: SampledRows) -> str:
    """How many rows of a table larger than memory stand for all of them."""
    on = rows.estimated_on
    held_out = f", test metrics on {on['test']:,} of {rows.test:,}" if rows.test else ""
    return f"evidence and metrics are estimated on {on['train']:,} of {rows.train:,} training rows{held_out}"


def setting_title(values: Mapping[str, JsonValue]) -> str:
    """The values of one setting of a sweep."""
    return "setting: " + ", ".join(f"{key} {json.dumps(value)}" for key, value in values.items())


def print_choices(console: Console, ranking: Sequence[RankingEntry], all_keys: bool) -> None:
    """The probabilities of the values of every choice, over all structures ranked; by default of those that differ."""
    for key, chances in marginal_probabilities(ranking).items():
        if all_keys or len(chances) > 1:
            parts = [f"{label} {chance:.3f}" for label, chance in list(chances.items())[:5]]
            line = f"{key}: " + ", ".join(parts)
            console.print(fill(line, console.width, initial_indent="  ", subsequent_indent="    "))


def print_robustness(console: Console, entry: RankingEntry) -> None:
    """Metrics of one structure without and with noise, where the spec asks for some: a line a standard deviation."""
    rows = "test" if entry.metrics["test"] else "train"
    by_place = entry.robustness.get(rows)
    if not by_place:
        return
    names = list(next(found for by_deviation in by_place.values() for found in by_deviation.values()))
    lines = [["nothing", "", *(shown(entry.metrics[rows][name]) for name in names)]]
    for place, by_deviation in by_place.items():
        for deviation, found in by_deviation.items():
            lines.append([place, deviation, *(shown(found[name]) for name in names)])
    titles = ["noise on", "deviation", *(f"{rows}\n{SHORT.get(name, name)}" for name in names)]
    console.print()
    NumberTable(titles, lines, names=2, title=f"structure {entry.rank} under noise").print(console)


def print_relaxed(console: Console, relaxed: RelaxedResult) -> None:
    """q(Γ) of the best relaxed restart."""
    bound = "has no value" if relaxed.bound is None else with_error(f"{relaxed.bound:.2f}", relaxed.bound_se)
    console.print(f"relaxed: bound {bound}")
    for key, chances in relaxed.q_probability.items():
        ordered = sorted(chances.items(), key=lambda item: -item[1])
        console.print(f"  q({key}): " + ", ".join(f"{name} {chance:.3f}" for name, chance in ordered[:5]))


def print_stages(console: Console, stages: Sequence[StageSummary]) -> None:
    """Complexities at the end of every stage, of its member with the best bound: where there are several stages."""
    if len(stages) < 2:
        return
    removals = [stage.removal for stage in stages if stage.removal is not None]
    removes = len(removals) == len(stages)
    titles = [*STAGE_COLUMNS.values(), *(removal_titles(removals[0]) if removes else ())]
    rows = []
    for number, stage in enumerate(stages):
        several = sum(other.round == stage.round for other in stages) > 1
        name = f"{stage.round}/{stage.stage}" if several else stage.round
        factors = ", ".join(f"{key} {value:.4g}" for key, value in stage.metaparameters.items())
        cells = [shown(getattr(stage, key)) for key in STAGE_COLUMNS]
        cells += removal_cells(removals[number]) if removes else ()
        rows.append([f"{name} ({factors})" if factors else name, str(stage.members), *cells])
    NumberTable(["stage", "members", *titles], rows).print(console)


def print_plan(plan: Plan) -> None:
    """The rounds of every setting as a drawing, and what `auto` was decided to be; settings alike are drawn once."""
    console = terminal()
    bound = "" if plan.exact else "at most "
    tasks = len(list(plan.tasks()))
    least = "" if plan.n_structures_exact else "at most "
    members = f"{bound}{counted(plan.n_members, 'member')} in {counted(tasks, 'task')}"
    console.print(f"{least}{counted(plan.n_structures, 'structure')}; {members}")
    settings: dict[tuple[str, str], list[SettingPlan]] = {}
    for setting in plan.settings:
        settings.setdefault((setting.regime, repr(setting.rounds)), []).append(setting)
    for alike in settings.values():
        console.print()
        if len(plan.settings) > 1:
            for setting in alike[:MOST_SETTINGS]:
                console.print(setting_title(setting.values))
            if len(alike) > MOST_SETTINGS:
                console.print(f"and {len(alike) - MOST_SETTINGS} settings more, each:")
        for line in draw_rounds(alike[0]):
            console.print(line, highlight=False, soft_wrap=True)
    execution = plan.execution
    mode = "compiled" if execution.compile else "not compiled"
    console.print(f"\n{execution.device}, {execution.dtype}, {mode}, {execution.threads} thread(s) a task")
    console.print(f"about {plan.seconds:.0f} s; {plan.batch_bytes / 2**20:.0f} MiB for a batch")


def print_runs(rows: Sequence[RunRow], folder: Path) -> None:
    """One line a run."""
    console = terminal()
    if not rows:
        console.print(f"no runs in {folder}")
        return
    table = Table(box=SIMPLE, pad_edge=False)
    for title in ("run", "status", "structures", "best", "log evidence"):
        table.add_column(title)
    for row in rows:
        evidence = "" if row.log_evidence is None else f"{row.log_evidence:.2f}"
        table.add_row(row.run, row.status, str(row.n_structures or ""), row.best or "", evidence)
    console.print(table)
    for row in rows:
        if row.problem is not None:
            console.print(f"{row.run}: {row.problem}", soft_wrap=True)


def print_findings(findings: Sequence[Finding]) -> None:
    """One line a check."""
    console = terminal()
    for each in findings:
        mark = Text("ok ", "green") if each.ok else Text("no ", "red")
        console.print(mark, f"{each.check}: {each.found}")
        if each.remedy and (not each.ok or each.found.startswith("missing")):
            console.print(f"      → {each.remedy}")


def terminal() -> Console:
    """Standard output; wide where it isn't a terminal, so that tables in files and pipes aren't cut.

    Without markup: a name or a message may hold brackets.
    """
    console = Console(markup=False)
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(markup=False, width=WIDTH)
