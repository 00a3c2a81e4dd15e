"""`structflow schema`: the JSON schema of specs, for editors."""

from __future__ import annotations

import click

from ..options import print_json


@click.command()
def command() -> None:
    """Print the JSON schema of specs, with the installed plugins' keys."""
    from ...spec.schema import json_schema

    print_json(json_schema())
