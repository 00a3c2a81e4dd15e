"""`structflow predict`: predictions for new rows."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import run_argument


@click.command()
@run_argument
@click.argument("table")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="CSV file to write.")
@click.option("--best", is_flag=True, help="The best structure alone instead of the mixture over all.")
@click.option("--samples", type=click.IntRange(min=1), default=256, show_default=True, help="Samples of the posterior.")
@click.option(
    "--source",
    metavar="NAME",
    help="Data source that reads TABLE; by default the run's own, or the one for its ending.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set an option of the source, such as separator=';'.",
)
def command(
    run: Path, table: str, output: Path, best: bool, samples: int, source: str | None, overrides: tuple[str, ...]
) -> None:
    """Predict the rows of TABLE, which the run's data source reads as it read the training table.

    Only the input columns are needed; others are ignored.
    """
    from ...results.predict_table import predict_table

    rows = predict_table(run, table, output, best, samples, source, overrides)
    click.echo(f"wrote {rows} predictions to {output}")
