"""`structflow plot`: a figure of a run."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import run_argument


@click.command()
@run_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Image file; by default ranking.png, structure.png or relevance.png in RUN.",
)
@click.option("--structure", "draw", is_flag=True, help="Draw the graph of one structure in place of the ranking.")
@click.option("--relevance", "curves", is_flag=True, help="Draw quality against the share of weights removed.")
@click.option("--rank", type=click.IntRange(min=1), default=1, help="Which structure is drawn; default 1.")
def command(run: Path, output: Path | None, draw: bool, curves: bool, rank: int) -> None:
    """Draw the ranking of the run in directory RUN, or one of its structures."""
    if draw and curves:
        raise click.UsageError("got --structure and --relevance; they are two figures, ask for one at a time")
    from ...store.own_output import refuse_own_file

    target = output or run / ("structure.png" if draw else "relevance.png" if curves else "ranking.png")
    refuse_own_file(run, target)
    if draw:
        from ...report.structure_drawing import save_structure_figure, structure_drawing
        from ...results.run import Run

        save_structure_figure(structure_drawing(Run(run), rank), target)
    elif curves:
        from ...report.relevance import save_relevance_figure
        from ...results.read import read_summary

        save_relevance_figure(read_summary(run), run, rank, target)
    else:
        from ...report.figure import save_ranking_figure
        from ...results.read import read_summary

        save_ranking_figure(read_summary(run), run, target)
    click.echo(f"wrote {target}")
