"""`structflow show`: the ranking of a run."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import json_option, print_json, run_argument


@click.command()
@run_argument
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="Structures to show.")
@json_option
def command(run: Path, top: int, as_json: bool) -> None:
    """Show what the run in directory RUN found."""
    from ...results.read import read_summary

    summary = read_summary(run)
    if as_json:
        print_json(summary.model_dump(mode="json"))
        return
    from ...report.text import print_summary

    print_summary(summary, top)
    if summary.certificate is not None:
        from ...report.certificate_table import certificate_line

        click.echo(certificate_line(summary.certificate))
