"""`structflow resume`: continue a run from its directory alone."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import cluster_options, run_argument


@click.command()
@run_argument
@cluster_options
@click.option("--quiet", is_flag=True, help="No progress bar and no ranking.")
def command(run: Path, workers: int | None, scheduler: str | None, cluster: Path | None, quiet: bool) -> int:
    """Continue the unfinished run in directory RUN, with the spec and the data that it was started with."""
    from ...results.run import stored_study
    from ...runner.cluster_options import cluster_of
    from .. import note_run_path
    from ..carry_out import carry_out_study

    note_run_path(run)
    where = cluster_of(workers, scheduler, cluster)
    return carry_out_study(stored_study(run), run, None, where, quiet)
