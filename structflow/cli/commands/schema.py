"""`structflow schema`: the JSON schema of specs, for editors, and of what a run stores."""

from __future__ import annotations

import click

from ..options import print_json


@click.command()
@click.option(
    "--of",
    "what",
    type=click.Choice(["spec", "decide", "train", "select", "evaluate", "summary"]),
    default="spec",
    show_default=True,
    help="Specs, the record of a kind of task, or `show --json`.",
)
def command(what: str) -> None:
    """Print the JSON schema of specs, with the installed plugins' keys, of a record of a run, or of its summary."""
    if what == "spec":
        from ...spec.schema import json_schema

        print_json(json_schema())
    elif what == "summary":
        from ...results.models import Summary

        print_json(Summary.model_json_schema(mode="serialization"))
    else:
        from ...store.records import KINDS

        print_json(KINDS[what].model_json_schema(mode="serialization"))
