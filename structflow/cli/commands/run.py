"""`structflow run`: carry out a spec, or continue."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import cluster_options, set_option, spec_argument


@click.command()
@spec_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Run directory; by default runs/NAME.")
@cluster_options
@set_option
@click.option("--quiet", is_flag=True, help="No progress bar and no ranking.")
def command(
    spec: Path,
    output: Path | None,
    workers: int | None,
    scheduler: str | None,
    cluster: Path | None,
    overrides: tuple[str, ...],
    quiet: bool,
) -> int:
    """Carry out SPEC; the same command continues an unfinished run, and extends one to a SPEC that has more in it."""
    from ...report.progress import progress_bar, reading_bar
    from ...report.text import print_summary
    from ...results.read import is_whole
    from ...results.run import carried_out, default_directory, run_opened
    from ...runner.cluster_options import cluster_of
    from ...spec.load import load_study

    where = cluster_of(workers, scheduler, cluster)
    with reading_bar(quiet):
        study = load_study(spec, overrides, output or default_directory)
    path = output or default_directory(study.spec)
    written = spec.read_text(encoding="utf-8")
    with carried_out(study, path, written, where) as (directory, plan, place):
        if place is not None and place.dashboard is not None and not quiet:
            click.echo(f"Dask dashboard: {place.dashboard}", err=True)
        if place is not None and not quiet:
            for change in directory.read_json("run.json").get("extended_by", ()):
                click.echo(f"extending the run in {path} by {change}", err=True)
        with progress_bar(directory, plan, quiet) as listener:
            finished = run_opened(study, directory, plan, place, listener)
    if not quiet:
        print_summary(finished.summary, most=10)
        click.echo(f"stored in {path}; look again with: structflow show {path}")
    return 0 if is_whole(finished.summary) else 1
