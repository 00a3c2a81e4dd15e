"""`structflow plugins`: what is installed and what is broken, with the reason."""

from __future__ import annotations

from typing import Any

import click

from ...options import json_option, print_json
from .kind_option import one_kind
from .new import new


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
    plugins: list[dict[str, Any]] = [
        {
            "kind": registration.kind,
            "type": registration.type,
            "origin": registration.origin,
            "version": registration.version,
            "hook": registration.hook,
            "interface": registration.interface,
            "description": registration.description,
            "status": "loaded",
        }
        for name, registrations in found.kinds.items()
        for registration in registrations.values()
        if kind in (None, name)
    ]
    packages = [vars(package) for package in found.packages]
    broken = [{"origin": each.origin, "status": "broken", "reason": each.reason} for each in found.broken]
    if as_json:
        print_json({"interface": INTERFACE, "plugins": plugins, "packages": packages, "broken": broken})
        return
    from ....report.plugin_table import print_plugins

    print_plugins(plugins, packages, broken, INTERFACE)


command.add_command(new)
