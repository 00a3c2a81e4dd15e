"""`structflow plugins new`: a package of plugins to start from."""

from __future__ import annotations

from pathlib import Path

import click

from .kind_option import several_kinds


@click.command()
@click.argument("name")
@click.option(
    "--kind",
    "kinds",
    callback=several_kinds,
    multiple=True,
    help="Kind of plugin, such as basis_function; may be repeated, or `all`.",
)
@click.option("-o", "folder", type=click.Path(path_type=Path), help="Folder of the package; by default ./NAME.")
def new(name: str, kinds: list[str], folder: Path | None) -> None:
    """Write a package NAME of plugins that works as it is: an example of each kind, a spec and tests.

    NAME is that of the distribution, such as structflow-rivers. The folder must not exist, or be empty.
    """
    from ....scaffold import PackageName, write_package

    package = PackageName(name)
    target = folder if folder is not None else Path(name)
    write_package(package, kinds, target)
    click.echo(f"wrote {target}; go on with:")
    for line in (f"cd {target}", "pip install -e .", "pytest", "structflow run spec.yaml"):
        click.echo(f"  {line}")
