"""`structflow plan`: what a run would do."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import json_option, print_json, set_option, spec_argument, warn


@click.command()
@spec_argument
@set_option
@click.option("--workers", type=click.IntRange(min=1), help="Plan for this many worker processes.")
@json_option
def command(spec: Path, overrides: tuple[str, ...], workers: int | None, as_json: bool) -> None:
    """Print the stages and tasks of SPEC without training."""
    from ...report.progress import reading_bar
    from ...results.expected_estimates import expected_gaps
    from ...runner.driver import plan_study
    from ...spec.load import load_study

    with reading_bar(quiet=as_json):
        study = load_study(spec, overrides)
    plan = plan_study(study, threads=1 if workers else None)
    if as_json:
        print_json({**plan.as_json(), "warnings": expected_gaps(study)})
        return
    from ...report.text import print_plan

    print_plan(plan)
    warn(expected_gaps(study))
