"""`structflow plot`: a figure of a run."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import run_argument


@click.command()
@run_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Image file; by default ranking.png in RUN.")
def command(run: Path, output: Path | None) -> None:
    """Draw the ranking of the run in directory RUN."""
    from ...report.figure import save_ranking_figure
    from ...results.read import read_summary

    target = output if output is not None else run / "ranking.png"
    save_ranking_figure(read_summary(run), run, target)
    click.echo(f"wrote {target}")
