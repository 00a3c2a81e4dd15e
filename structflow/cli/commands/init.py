"""`structflow init`: a folder with a spec to start from."""

from __future__ import annotations

from pathlib import Path

import click

TEMPLATE = """\
# Run me:   structflow run {path}
# Result:   structflow show runs/{name}
structflow: 1
{name_line}
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

    from ...errors import CallError, SpecError
    from ...spec.load import load_study
    from ...spec.models import NAME_PATTERN
    from ...spec.render import render_data

    name = folder.resolve().name
    if not re.match(NAME_PATTERN, name) or len(name) > 64:
        raise CallError(
            f"{name!r} can't name a study; expected letters, digits, dots and dashes: choose another folder"
        )
    if (csv is None) != (target is None):
        raise CallError("--csv and --target go together; got only one of them")
    spec = folder / "spec.yaml"
    if spec.is_symlink() or (spec.exists() and not (spec.is_file() and is_unedited_and_broken(spec, name))):
        raise CallError(f"{spec} is there already; choose another folder or edit it")
    data = EXAMPLE_DATA
    if csv is not None:
        path = os.path.relpath(csv, folder)
        source = {"source": "csv", "path": path, "target": target, "split": {"test": 0.2}}
        data = render_data({"data": source}, block=True).rstrip()
    folder.mkdir(parents=True, exist_ok=True)
    spec.write_text(filled_in(spec, name, data), encoding="utf-8")
    try:
        load_study(spec)
    except SpecError:
        click.echo(f"wrote {spec}, which can't run yet: edit it, or correct this command and give it again", err=True)
        raise
    click.echo(f"wrote {spec}; run it with: structflow run {spec}")


def filled_in(spec: Path, name: str, data: str) -> str:
    """The text of a new spec with this name and this `data` block."""
    from ...spec.render import render_data

    return TEMPLATE.format(path=spec, name=name, name_line=render_data({"name": name}, block=True).rstrip(), data=data)


def is_unedited_and_broken(spec: Path, name: str) -> bool:
    """Whether a spec is as an earlier call wrote it and doesn't load: then a corrected call may replace it."""
    from ...errors import SpecError
    from ...spec.load import load_study

    text = spec.read_text(encoding="utf-8", errors="replace")
    before, _, rest = text.partition("\ndata:")
    data = "data:" + rest.partition("\nmodel:")[0]
    if not before or text != filled_in(spec, name, data):
        return False
    try:
        load_study(spec)
    except SpecError:
        return True
    return False
