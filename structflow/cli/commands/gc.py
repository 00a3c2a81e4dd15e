"""`structflow gc`: remove what nobody needs any more."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import json_option, print_json, run_argument


@click.command()
@run_argument
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@json_option
def command(run: Path, dry_run: bool, as_json: bool) -> int:
    """Remove from RUN unfinished files, attempts that no record names, and checkpoints of what is finished.

    Nothing that a result depends on is touched, nor anything that structflow didn't make.
    """
    from ...results.read import refuse_no_run
    from ...store.revisions import leftovers_of_all
    from ...store.run_directory import RunDirectory
    from ...store.run_lock import locked

    refuse_no_run(run)
    with locked(run):
        found = leftovers_of_all(RunDirectory(run))
        if not dry_run:
            for each in found:
                each.remove()
    if as_json:
        print_json(
            {
                "removed": not dry_run,
                "files": [{"path": str(each.path.relative_to(run)), "bytes": each.size} for each in found],
            }
        )
        return 0
    for each in found:
        click.echo(f"{'would remove' if dry_run else 'removed'} {each.path} ({each.size:,} bytes)")
    if not found:
        click.echo("nothing to remove")
    return 0
