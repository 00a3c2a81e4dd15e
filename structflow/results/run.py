"""A run from Python: start one, open one, look at what it found and predict with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import xarray

from ..errors import CallError
from ..runner.cluster_options import ClusterOptions, cluster_from
from ..runner.context import RunContext, open_context
from ..runner.driver import OpenRun, carry_out, opened
from ..runner.executors import run_here
from ..runner.main_guard import leave_if_imported_again
from ..runner.progress import Listener
from ..runner.tracking import following
from ..spec.load import load_spec, load_study, study_from_mapping
from ..spec.models import Spec
from ..spec.study import Study
from ..store.inspection import publish_summary, refuse_damaged_results
from ..store.names import SUMMARY
from ..store.run_directory import RunDirectory
from .models import RankingEntry, Summary
from .prediction import Prediction, Predictor, mixture_of
from .ranked import RankedStructure, ranked_structure
from .read import read_summary, refuse_no_run
from .summary import summarise
from .tree import build_tree, write_tree


@dataclass(frozen=True)
class Run:
    """A finished run in its directory."""

    path: Path

    def __post_init__(self) -> None:
        """Take a text for a path too."""
        object.__setattr__(self, "path", Path(self.path))

    @cached_property
    def context(self) -> RunContext:
        """Settings, data, graph and plan of the run."""
        return open_context(str(self.path.resolve()))

    @cached_property
    def summary(self) -> Summary:
        """What `structflow show --json` prints, as a model; raises `CallError` where the run isn't finished."""
        return read_summary(self.path)

    @property
    def ranking(self) -> list[RankingEntry]:
        """Structures by posterior probability, best first."""
        return self.summary.ranking

    @cached_property
    def dataset(self) -> xarray.DataTree:
        """The labelled arrays of `result.zarr`; raises `StorageError` unless its files are what was written."""
        refuse_no_run(self.path)
        directory = RunDirectory(self.path)
        refuse_damaged_results(directory)
        return xarray.open_datatree(directory.result, engine="zarr")

    @cached_property
    def predictor(self) -> Predictor:
        """The mixture over structures that `predict` uses: in memory, without the rows of the data."""
        return mixture_of(self.context, self.ranking)

    def predict(self, inputs: object, samples: int = 256) -> Prediction:
        """Predict y for inputs (rows, *input_shape) in original units.

        A mixture over structures weighted by posterior probability; `best.predict` uses the best one alone.
        """
        return self.predictor.predict(inputs, samples)

    @cached_property
    def best(self) -> RankedStructure:
        """The most probable structure."""
        return self.ranked(1)

    def pruned(self, place: int = 1) -> RankedStructure:
        """The network with pruned weights at a place of the table of pruned networks; the first is 1.

        Only the regime `weight_pruning` makes some. Its `score` is conditional on which weights were removed, a choice
        made from the same data; it has no probability among the structures of the ranking.
        """
        entries = self.summary.pruned
        if not 1 <= place <= len(entries):
            reason = f"{len(entries)} pruned networks" if entries else "no pruned networks"
            raise CallError(f"there is no pruned network at place {place}; the run in {self.path} has {reason}")
        return ranked_structure(self.context, entries[place - 1])

    def ranked(self, rank: int) -> RankedStructure:
        """The structure at a place of the ranking; the first is 1."""
        if not 1 <= rank <= len(self.ranking):
            reason = (
                f"ranks from 1 to {len(self.ranking)}"
                if self.ranking
                else "no ranking: no structure has a rank, and its warnings say why"
            )
            raise CallError(f"there is no structure of rank {rank}; the run in {self.path} has {reason}")
        return ranked_structure(self.context, self.ranking[rank - 1])


def run(
    spec: str | Path | Mapping[str, object],
    directory: str | Path | None = None,
    workers: int | None = None,
    overrides: Iterable[str] = (),
    listener: Listener | None = None,
    cluster: ClusterOptions | str | Path | None = None,
) -> Run:
    """Carry out a spec, given as a file or a mapping; continues the run that is in `directory`, if any.

    The directory is `runs/<name of the spec>` by default. It runs in this process, or with `workers` processes of this
    machine, or on the `cluster` that a file describes. Raises `SpecError` for a bad spec or bad data.
    """
    leave_if_imported_again()
    there = default_directory if directory is None else Path(directory)
    if isinstance(spec, Mapping):
        study, written = study_from_mapping(spec, Path.cwd(), overrides, there), None
    else:
        study, written = load_study(spec, overrides, there), Path(spec).read_text(encoding="utf-8")
    target = default_directory(study.spec) if directory is None else Path(directory)
    return run_study(study, target, written, cluster_from(workers, cluster), listener or (lambda progress: None))


def resume(
    directory: str | Path,
    workers: int | None = None,
    listener: Listener | None = None,
    cluster: ClusterOptions | str | Path | None = None,
) -> Run:
    """Continue the unfinished run in `directory` with the spec and the data that it was started with.

    Nothing else is read: neither the spec file nor the table is needed any more. A finished run is left as it is.
    Where it runs is as for `run`. Raises `CallError` for a folder that holds no run.
    """
    leave_if_imported_again()
    path = Path(directory)
    study = stored_study(path)
    return run_study(study, path, None, cluster_from(workers, cluster), listener or (lambda progress: None))


def stored_study(path: Path) -> Study:
    """The study of the run in a directory, as it was started, with its trackers; raises `CallError`."""
    refuse_no_run(path)
    study = open_context(str(path.resolve())).study
    return replace(study, spec=load_spec(path / "resolved.yaml"))


def default_directory(spec: Spec) -> Path:
    """Where a run of a spec stands unless told otherwise."""
    return Path("runs") / spec.name


def run_study(study: Study, path: Path, written: str | None, cluster: ClusterOptions | None, listener: Listener) -> Run:
    """Carry out a study in a run directory and build its results; a finished run is left as it is."""
    with opened(study, path, written, cluster) as held:
        return run_opened(study, held, listener)


def run_opened(study: Study, held: OpenRun, listener: Listener) -> Run:
    """The same in a run directory that this process holds."""
    if not held.directory.has(SUMMARY):
        elsewhere = held.place is not None and held.place.carry_out is not run_here
        with following(study, held.directory, held.plan, listener, elsewhere) as tracking:
            seconds = carry_out(held, tracking.hear)
            finish(held.directory, seconds, tracking.catch_up())
            tracking.finished()
    return Run(held.directory.path)


def finish(directory: RunDirectory, seconds: float, warnings: Sequence[str] = ()) -> None:
    """Build the public results from the committed records; the summary comes last and says that all is there."""
    context = open_context(str(directory.path.resolve()))
    summary = summarise(context, seconds, warnings)
    write_tree(build_tree(context, summary), directory)
    publish_summary(directory, summary.model_dump(mode="json"))
