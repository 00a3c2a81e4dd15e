"""`structflow plugins`: what is installed and what is broken, with the reason."""

from __future__ import annotations

import click

from ...options import json_option, print_json
from .kind_option import one_kind
from .new import new

SHOWN = ("kind", "type", "origin", "version", "hook", "interface", "description")
"""What `--json` says of a plugin."""


@click.group(invoke_without_command=True)
@json_option
@click.option("--kind", callback=one_kind, help="Only plugins of this kind, such as basis_function.")
@click.pass_context
def command(context: click.Context, as_json: bool, kind: str | None) -> None:
    """List the plugins that specs can use, and the packages that are disabled or broken.

    A broken package is no failure of the command, which ends with code 0. The environment variable STRUCTFLOW_PLUGINS
    names the packages that may be imported, with commas between them; unset, all of them are.
    """
    if context.invoked_subcommand is not None:
        return
    from ....plugins.contract import INTERFACE
    from ....plugins.registry import registry

    found = registry()
    plugins = [each for name, known in found.kinds.items() if kind in (None, name) for each in known.values()]
    if as_json:
        packages = [vars(package) for package in found.packages]
        broken = [{"origin": each.origin, "status": "broken", "reason": each.reason} for each in found.broken]
        listed = [{**{key: getattr(each, key) for key in SHOWN}, "status": "loaded"} for each in plugins]
        print_json({"interface": INTERFACE, "plugins": listed, "packages": packages, "broken": broken})
        return
    from ....report.plugin_table import print_plugins

    print_plugins(plugins, found, INTERFACE)


command.add_command(new)
