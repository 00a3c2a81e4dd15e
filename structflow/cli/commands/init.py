"""`structflow init`: a folder with a spec to start from."""

from __future__ import annotations

from pathlib import Path

import click

TEMPLATE = """\
# Run me:   structflow run {path}
# Result:   structflow show runs/{name}
structflow: 1
name: {name}
seed: 0
{data}
model:
  nodes:                      # x is the input, y the output: their shapes come from the data
    x: {{}}
    h: {{shape: {{choose: [[5], [20]]}}}}
    y: {{}}
  edges:
    - from: x
      to: h
      choose: one             # one | any | all of the candidates
      basis:
        - {{type: dense, activation: tanh}}
        - {{type: dense, activation: relu}}
    - {{from: h, to: y, basis: [linear]}}
optimizer:
  restarts: 4
"""

EXAMPLE_DATA = """\
data: {source: sklearn, name: diabetes, split: {test: 0.2}}
# Your own table:  data: {source: csv, path: table.csv, target: price, split: {test: 0.2}}"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--csv", type=click.Path(path_type=Path), help="Your own table with a header row.")
@click.option("--target", help="The column of the table to predict.")
def command(folder: Path, csv: Path | None, target: str | None) -> None:
    """Make FOLDER with a spec that runs as it is."""
    import os
    import re

    import yaml

    from ...errors import CallError
    from ...spec.load import load_study
    from ...spec.models import NAME_PATTERN

    name = folder.resolve().name
    if not re.match(NAME_PATTERN, name) or len(name) > 64:
        raise CallError(
            f"{name!r} can't name a study; expected letters, digits, dots and dashes: choose another folder"
        )
    if (csv is None) != (target is None):
        raise CallError("--csv and --target go together; got only one of them")
    spec = folder / "spec.yaml"
    if spec.exists():
        raise CallError(f"{spec} is there already; choose another folder or edit it")
    data = EXAMPLE_DATA
    if csv is not None:
        path = os.path.relpath(csv, folder)
        source = {"source": "csv", "path": path, "target": target, "split": {"test": 0.2}}
        data = yaml.safe_dump({"data": source}, sort_keys=False, allow_unicode=True).rstrip()
    folder.mkdir(parents=True, exist_ok=True)
    spec.write_text(TEMPLATE.format(path=spec, name=name, data=data), encoding="utf-8")
    load_study(spec)  # raises `SpecError` where the table doesn't suit the spec: what is to be edited, line by line
    click.echo(f"wrote {spec}; run it with: structflow run {spec}")
