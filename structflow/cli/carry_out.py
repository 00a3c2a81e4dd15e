"""What `run` and `resume` share: a study is run with a progress bar and its ranking printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import warn

if TYPE_CHECKING:
    from ..runner.cluster_options import ClusterOptions
    from ..spec.study import Study


def carry_out_study(study: Study, path: Path, written: str | None, where: ClusterOptions | None, quiet: bool) -> int:
    """Carry out a study in the run directory `path`; returns the exit code."""
    from ..report.progress import progress_bar
    from ..report.text import print_summary
    from ..results.expected_estimates import expected_gaps
    from ..results.run import run_opened
    from ..runner.driver import opened
    from ..store.names import RUN

    with opened(study, path, written, where) as held:
        place = held.place
        if place is not None and place.dashboard is not None and not quiet:
            click.echo(f"Dask dashboard: {place.dashboard}", err=True)
        if place is not None and not quiet:
            warn(expected_gaps(study))
            for change in held.directory.read_start_file(RUN).get("extended_by", ()):
                click.echo(f"extending the run in {path} by {change}", err=True)
        with progress_bar(held.directory, held.plan, quiet) as listener:
            finished = run_opened(study, held, listener)
    if not quiet:
        print_summary(finished.summary, most=10)
        click.echo(f"stored in {path}; show it again with: structflow show {path}")
    return 0 if finished.summary.is_whole else 1
