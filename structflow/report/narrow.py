"""Tables of numbers with more columns than fit beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


@dataclass(frozen=True)
class NumberTable:
    """Rows of cells under titles; the first `names` columns say what a row is about. `title` stands above it once."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1
    title: str | None = None

    def print(self, console: Console) -> None:
        """Print it, in as many parts below each other as the width asks for, each with the columns of names."""
        start = self.names
        if self.title is not None:
            console.print(self.title, highlight=False)
        while start < len(self.titles):
            end = next(
                (end for end in range(len(self.titles), start + 1, -1) if self.fits(start, end, console)), start + 1
            )
            console.print(self.part(start, end))
            start = end

    def fits(self, start: int, end: int, console: Console) -> bool:
        """Whether the part with the columns from `start` to `end` is narrow enough."""
        unlimited = console.options.update(max_width=10_000)
        return Measurement.get(console, unlimited, self.part(start, end)).maximum <= console.width

    def part(self, start: int, end: int) -> Table:
        """The columns of names and those from `start` to `end`."""
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        chosen = [*range(self.names), *range(start, end)]
        for index in chosen:
            table.add_column(
                self.titles[index],
                justify="left" if index < self.names else "right",
                no_wrap=index != self.names - 1,  # where a name is too long even beside one column, it is folded
                overflow="fold",
            )
        for row in self.rows:
            table.add_row(*(row[index] for index in chosen))
        return table
