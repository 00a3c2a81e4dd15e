"""`structflow validate`: every problem of a spec and its data at once."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ..options import json_option, print_json, set_option, spec_argument, warn


@click.command()
@spec_argument
@set_option
@json_option
def command(spec: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Check SPEC and the data it names, without training anything."""
    from ...errors import SpecError
    from ...report.progress import reading_bar
    from ...results.expected_estimates import expected_gaps
    from ...spec.load import load_study
    from ...words import counted

    try:
        with reading_bar(quiet=as_json):
            study = load_study(spec, overrides)
    except SpecError as error:
        if not as_json:
            raise
        print_json({"valid": False, "errors": [asdict(problem) for problem in error.problems]})
        return error.exit_code
    warnings = expected_gaps(study)
    if as_json:
        print_json({"valid": True, "errors": [], "warnings": warnings})
    else:
        rows = f"{counted(study.dataset.n_train, 'training row')}, {study.dataset.n_test} held out"
        rows += ", read by minibatch" if study.dataset.stream is not None else ""
        bound = "" if study.space.count_is_exact else "at most "
        click.echo(f"{spec} is valid: {bound}{counted(study.space.count, 'structure')}; {rows}")
        warn(warnings)
    return 0
