"""`structflow render`: a spec with every default filled in."""

from __future__ import annotations

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

    click.echo(render_spec(load_spec(spec, overrides)), nl=False)
