"""`structflow verify`: is everything in a run still what was written?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ..options import cluster_options, json_option, print_json, run_argument


@click.command()
@run_argument
@click.option("--repair", "should_repair", is_flag=True, help="Recompute what is damaged from what is intact.")
@cluster_options
@json_option
def command(
    run: Path, should_repair: bool, workers: int | None, scheduler: str | None, cluster: Path | None, as_json: bool
) -> int:
    """Check every file of RUN against the hashes it was written with; exit code 3 where one differs."""
    from ...results.repair import advice, inspect, lines_of, repair
    from ...runner.cluster_options import cluster_of

    found = inspect(run)
    if as_json and not should_repair:
        print_json({"intact": not found, "damage": [asdict(each) for each in found]})
        return 3 if found else 0
    for line in lines_of(found):
        click.echo(f"damaged: {line}")
    if not found:
        click.echo(f"{run} is intact")
        return 0
    if not should_repair:
        click.echo(advice(found, run))
        return 3
    done = repair(run, cluster_of(workers, scheduler, cluster), lambda progress: None)
    left = inspect(run)
    if as_json:
        print_json({"intact": not left, "repaired": done, "damage": [asdict(each) for each in left]})
    else:
        click.echo(f"done again: {', '.join(done) if done else 'the results, from the records'}")
    return 3 if left else 0
