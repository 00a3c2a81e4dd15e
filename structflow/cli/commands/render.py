"""`structflow render`: a spec with every default filled in."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..options import set_option, spec_argument


@click.command()
@spec_argument
@set_option
def command(spec: Path, overrides: tuple[str, ...]) -> None:
    """Print SPEC with every default filled in."""
    from ...spec.load import load_spec
    from ...spec.render import render_spec
    from ..encoding import shows_everything

    click.echo(render_spec(load_spec(spec, overrides), ascii_only=not shows_everything(sys.stdout)), nl=False)
