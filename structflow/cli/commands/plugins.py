"""`structflow plugins`: what is installed."""

from __future__ import annotations

import click

from ..options import json_option, print_json


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the plugins that specs can use, and those that are broken."""
    from ...plugins.registry import registry

    found = registry()
    rows = [
        {"kind": kind, "type": name, "origin": registration.origin, "status": "loaded"}
        for kind, registrations in found.kinds.items()
        for name, registration in registrations.items()
    ]
    broken = [{"origin": each.origin, "status": "broken", "reason": each.reason} for each in found.broken]
    if as_json:
        print_json({"plugins": rows, "broken": broken})
        return
    from ...report.text import print_plugins

    print_plugins(rows, broken)
