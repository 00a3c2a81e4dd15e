"""`structflow doctor`: whether this machine is ready."""

from __future__ import annotations

import click

from ..options import json_option, print_json


@click.command()
@json_option
def command(as_json: bool) -> int:
    """Check what structflow needs from this machine."""
    from ...runner.doctor import examine

    findings = examine()
    if as_json:
        print_json(
            [{"check": each.check, "ok": each.ok, "found": each.found, "remedy": each.remedy} for each in findings]
        )
    else:
        from ...report.text import print_findings

        print_findings(findings)
    return 0 if all(each.ok for each in findings) else 1
