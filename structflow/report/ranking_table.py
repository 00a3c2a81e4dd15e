"""The table of ranked structures, laid out for the width of the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from ..results.marginals import choice_label
from ..results.models import ConvergenceReport, RankingEntry, SettingResults, UnrankedStructure
from ..results.read import structure_name
from ..words import counted
from .criterion import has_noise, score_label
from .numbers import shown, with_error

SHORT = {"log_likelihood": "log lik.", "calibration_error": "calib."}
"""Shorter titles of metrics."""

LEFT_OUT = ("mae",)
"""Metrics that the table never shows."""

LEFT_OUT_WHERE_NARROW = ("mae", "calibration_error")
"""Metrics that it doesn't show where they would not fit."""

MARKS: dict[bool | None, tuple[str, str]] = {
    False: ("*", "not converged, more steps would raise it"),
    None: ("?", "whether more steps would raise it isn't known"),
}
"""Signs beside scores by whether a structure has converged, and what they mean."""

LONGEST_LINE = 28
"""Characters of a stacked choice that aren't folded, as long as there is another layout."""


@dataclass(frozen=True)
class Layout:
    """What a table shows: some metrics, and the choices of a structure side by side or `stacked` in one column."""

    left_out: tuple[str, ...]
    stacked: bool


LAYOUTS = (
    Layout(LEFT_OUT, stacked=False),
    Layout(LEFT_OUT_WHERE_NARROW, stacked=False),
    Layout(LEFT_OUT, stacked=True),
    Layout(LEFT_OUT_WHERE_NARROW, stacked=True),
)
"""The layouts, of which the first one that fits is used, else the last."""


@dataclass(frozen=True)
class RankingTable:
    """The first `most` structures of a ranking of `possible` ones, one row each; below them those without a rank."""

    found: SettingResults
    most: int
    possible: int

    @property
    def entries(self) -> Sequence[RankingEntry]:
        """The structures that have a row."""
        return self.found.ranking[: self.most]

    @property
    def shown(self) -> Sequence[RankingEntry | UnrankedStructure]:
        """These and as many that have no rank."""
        return [*self.entries, *self.found.unranked[: self.most]]

    @property
    def choices(self) -> list[str]:
        """Edges and nodes whose choices differ between the rows."""
        return [key for key in self.entries[0].structure if len(set(self.labels(key))) > 1]

    @property
    def rows(self) -> str:
        """Which rows of the data the metrics are of."""
        return "test" if self.entries[0].metrics["test"] else "train"

    def labels(self, key: str) -> list[str]:
        """What each structure of the table chose for one edge or node."""
        return [choice_label(key, entry.structure[key]) for entry in self.shown]

    def metrics(self, layout: Layout) -> list[str]:
        """Names of the metrics that a layout shows."""
        return [name for name in self.entries[0].metrics[self.rows] if name not in layout.left_out]

    def print(self, console: Console) -> None:
        """Print the table in the first layout that fits, and below it what its words and signs mean."""
        layout = next((each for each in LAYOUTS if self.fits(each, console)), LAYOUTS[-1])
        console.print(self.table(layout))
        common = [f"{key} {self.labels(key)[0]}" for key in self.common_choices()]
        if common:
            console.print(f"in all rows shown: {', '.join(common)}", highlight=False)
        console.print("; ".join(self.legend(layout)), highlight=False)

    def fits(self, layout: Layout, console: Console) -> bool:
        """Whether nothing is cut or folded in a layout but the lines of stacked choices."""
        widths = Measurement.get(console, console.options.update(max_width=10_000), self.table(layout))
        return (widths.minimum if layout.stacked else widths.maximum) <= console.width

    def common_choices(self) -> Iterator[str]:
        """Edges and nodes that are the same in all rows shown, and not in the whole ranking."""
        for key in self.entries[0].structure:
            everyone: list[RankingEntry | UnrankedStructure] = [*self.found.ranking, *self.found.unranked]
            everywhere = {choice_label(key, entry.structure[key]) for entry in everyone}
            if len(everywhere) > 1 and key not in self.choices:
                yield key

    def table(self, layout: Layout) -> Table:
        """The table in one layout."""
        table = Table(
            caption=self.caption(), caption_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False
        )
        table.add_column("rank", justify="right", no_wrap=True)
        if layout.stacked:
            names = (structure_name(entry.structure, self.choices, "\n") for entry in self.shown)
            longest = max(len(line) for name in names for line in name.split("\n"))
            table.add_column("structure", overflow="fold", min_width=min(LONGEST_LINE, longest))
        else:
            for key in self.choices:
                table.add_column(key, overflow="fold", min_width=min(12, max(map(len, self.labels(key)))))
        titles = (f"{self.rows}\n{SHORT.get(name, name)}" for name in self.metrics(layout))
        score = score_label(self.found.criterion) + ("\n± s.e." if has_noise(self.found.criterion) else "")
        for title in (score, "prob.", "agree", *titles):
            table.add_column(title, justify="right", no_wrap=True)
        for entry in self.entries:
            table.add_row(
                f"{entry.rank}{'=' if entry.tied_with_best else ''}",
                *self.structure_cells(entry, layout),
                score_text(entry, self.found.criterion) + mark_of(entry).rjust(2 * any(map(mark_of, self.entries))),
                f"{entry.probability:.3f}",
                f"{entry.restart_agreement:.0%}",
                *(shown(entry.metrics[self.rows][name]) for name in self.metrics(layout)),
            )
        for unranked in self.found.unranked[: self.most]:
            table.add_row("–", *self.structure_cells(unranked, layout), "–", "–")
        return table

    def structure_cells(self, entry: RankingEntry | UnrankedStructure, layout: Layout) -> list[str]:
        """What a structure chose: a cell for each choice, or one cell with a line for each."""
        if layout.stacked:
            return [structure_name(entry.structure, self.choices, "\n")]
        return [choice_label(key, entry.structure[key]) for key in self.choices]

    def caption(self) -> str:
        """How many structures are shown of how many."""
        shown_of = f"{len(self.entries)} of {counted(len(self.found.ranking), 'structure')}"
        if self.found.unranked:
            return f"{shown_of} with a rank, and {len(self.found.unranked)} without one; {self.possible:,} are possible"
        if len(self.found.ranking) < self.possible:
            return f"{shown_of} in the ranking; {self.possible:,} are possible"
        return shown_of

    def legend(self, layout: Layout) -> Iterator[str]:
        """What the words and signs of the table mean, those that occur in it."""
        yield "nats ± standard error" if has_noise(self.found.criterion) else "nats"
        if any(entry.score_se is None for entry in self.entries):
            yield "?: not known"
        if any(entry.tied_with_best for entry in self.entries):
            yield "=: ties with the best"
        yield from legend_of_marks(self.entries)
        yield "agree: share of restarts within one nat of the best"
        if "calibration_error" in self.metrics(layout):
            yield "calib.: calibration error"
        if self.found.unranked:
            yield "–: no rank"
        if any(label == "∅" for key in self.choices for label in self.labels(key)):
            yield "∅: none, or without effect"


def legend_of_marks(entries: Sequence[ConvergenceReport]) -> Iterator[str]:
    """What the signs beside the scores of these structures mean."""
    for sign, meaning in MARKS.values():
        if sign in map(mark_of, entries):
            yield f"{sign}: {meaning}"


def mark_of(entry: ConvergenceReport) -> str:
    """The sign of a structure that has not converged, or may not have."""
    return MARKS.get(entry.converged, ("", ""))[0]


def score_text(entry: RankingEntry, criterion: str) -> str:
    """The score with its Monte Carlo error, where the criterion has one: a point has no noise."""
    score = f"{entry.score:.2f}"
    return with_error(score, entry.score_se) if has_noise(criterion) else score
