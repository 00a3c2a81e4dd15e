"""`structflow certify`: how exact hypergradients are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypedDict, Unpack

import click

from ..options import json_option, print_json, set_option, spec_argument


class Options(TypedDict):
    """What is asked for; see `certify.study.Wanted`."""

    methods: tuple[str, ...]
    at: Literal["steps", "optimum"]
    steps: int | None
    members: int
    coordinates: int


@click.command()
@spec_argument
@click.option("--method", "methods", multiple=True, metavar="NAME", help="A hypergradient; may be repeated.")
@click.option("--at", type=click.Choice(["steps", "optimum"]), default="steps", show_default=True,
              help="Differentiate Q after some steps of θ, or at the optimum of L.")  # fmt: skip
@click.option("--steps", type=click.IntRange(min=1), help="Steps of θ; by default the spec's, 100 at most.")
@click.option("--members", type=click.IntRange(min=1), default=2, show_default=True, help="Members to try it on.")
@click.option("--coordinates", type=click.IntRange(min=1), default=5, show_default=True,
              help="Hyperparameters of each kind and member to compare with finite differences.")  # fmt: skip
@set_option
@click.option("--store", type=click.Path(path_type=Path), metavar="RUN", help="Keep it in a run of SPEC.")
@json_option
def command(
    spec: Path, overrides: tuple[str, ...], store: Path | None, as_json: bool, **wanted: Unpack[Options]
) -> None:
    """Compare every hypergradient of SPEC with finite differences."""
    from ...certify.study import Wanted, certify_study, refuse_another_run
    from ...spec.load import load_study
    from ...store.certificate_file import write_certificate
    from ...store.run_directory import RunDirectory

    study = load_study(spec, overrides)
    if store is not None:
        refuse_another_run(study, store)
    certificate = certify_study(study, Wanted(**wanted))
    if store is not None:
        write_certificate(RunDirectory(store), certificate)
    if as_json:
        print_json(certificate)
        return
    from ...report.certificate_table import print_certificate

    print_certificate(certificate, study.spec.name)
