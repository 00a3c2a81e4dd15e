"""Options that several commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from .encoding import shows_everything

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

spec_argument: Decorator = click.argument("spec", type=click.Path(path_type=Path))
run_argument: Decorator = click.argument("run", type=click.Path(path_type=Path))
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
set_option: Decorator = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the spec; may be repeated."
)


def cluster_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where tasks run: `--workers`, `--scheduler` or `--cluster`."""
    for option in (
        click.option("--cluster", type=click.Path(path_type=Path), metavar="FILE", help="A cluster described in YAML."),
        click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler that runs already, as tcp://host:8786."),
        click.option(
            "--workers", type=click.IntRange(min=1, max=1024), help="Worker processes; by default this process only."
        ),
    ):
        function = option(function)
    return function


def warn(messages: Iterable[str]) -> None:
    """Print warnings on standard error, a line each."""
    for message in messages:
        click.echo(f"warning: {message}", err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output; as ASCII where its encoding can't hold all characters."""
    ascii_only = not shows_everything(sys.stdout)
    click.echo(json.dumps(value, indent=2, ensure_ascii=ascii_only, allow_nan=False))
