"""`structflow list`: the runs in a folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ..options import json_option, print_json


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("runs"))
@json_option
def command(folder: Path, as_json: bool) -> None:
    """List the runs in FOLDER (runs by default)."""
    from ...results.read import list_runs

    rows = list_runs(folder)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    from ...report.text import print_runs

    print_runs(rows, folder)
