"""`structflow predict`: predictions for new rows."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import run_argument


@click.command()
@run_argument
@click.argument("table", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="CSV file to write.")
@click.option("--best", is_flag=True, help="The best structure alone instead of the mixture over all.")
@click.option("--samples", type=click.IntRange(min=1), default=256, show_default=True, help="Samples of the posterior.")
def command(run: Path, table: Path, output: Path, best: bool, samples: int) -> None:
    """Predict the rows of TABLE, a CSV file with the training table's input columns."""
    from ...results.predict_table import predict_table

    rows = predict_table(run, table, output, best, samples)
    click.echo(f"wrote {rows} predictions to {output}")
