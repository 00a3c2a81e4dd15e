"""`structflow run`: carry out a spec, or continue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import cluster_options, set_option, spec_argument

if TYPE_CHECKING:
    from ...spec.models import Spec


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
    from .. import note_run_path
    from ..carry_out import carry_out_study

    def run_path(parsed: Spec) -> Path:
        return note_run_path(output or default_directory(parsed))

    if output is not None:
        note_run_path(output)
    where = cluster_of(workers, scheduler, cluster)
    with reading_bar(quiet):
        study = load_study(spec, overrides, run_path)
    written = spec.read_text(encoding="utf-8")
    return carry_out_study(study, run_path(study.spec), written, where, quiet)
