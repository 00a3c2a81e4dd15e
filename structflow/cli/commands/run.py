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
    from ...report.progress import reading_bar
    from ...results.run import default_directory
    from ...runner.cluster_options import cluster_of
    from ...spec.load import load_study
    from ..carry_out import carry_out_study

    where = cluster_of(workers, scheduler, cluster)
    with reading_bar(quiet):
        study = load_study(spec, overrides, output or default_directory)
    written = spec.read_text(encoding="utf-8")
    return carry_out_study(study, output or default_directory(study.spec), written, where, quiet)
