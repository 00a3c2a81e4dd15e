"""The hooks a package implements to add plugins: each returns the classes it offers of one kind."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from .basis_function import BasisFunction
from .criterion import Criterion
from .data_source import DataSource
from .evidence_estimator import EvidenceEstimator
from .hypergradient import Hypergradient
from .inner_optimizer import InnerOptimizer
from .likelihood import Likelihood
from .metric import Metric
from .plugin import Plugin
from .regime import Regime
from .relevance import Relevance
from .structure_distribution import StructureDistribution
from .tracker import Tracker
from .weight_posterior import WeightPosterior
from .weight_prior import WeightPrior

PROJECT = "structflow"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def basis_functions() -> Iterable[type[BasisFunction]]:  # type: ignore[empty-body]
    """Candidate functions on edges."""


@hookspec
def likelihoods() -> Iterable[type[Likelihood]]:  # type: ignore[empty-body]
    """Likelihoods p(y | f)."""


@hookspec
def data_sources() -> Iterable[type[DataSource]]:  # type: ignore[empty-body]
    """Readers of data."""


@hookspec
def weight_priors() -> Iterable[type[WeightPrior]]:  # type: ignore[empty-body]
    """Priors of the weights."""


@hookspec
def weight_posteriors() -> Iterable[type[WeightPosterior]]:  # type: ignore[empty-body]
    """Variational families of the weights."""


@hookspec
def structure_distributions() -> Iterable[type[StructureDistribution]]:  # type: ignore[empty-body]
    """Relaxed distributions over structure weights."""


@hookspec
def criteria() -> Iterable[type[Criterion]]:  # type: ignore[empty-body]
    """What both levels are, and what structures are ranked by."""


@hookspec
def inner_optimizers() -> Iterable[type[InnerOptimizer]]:  # type: ignore[empty-body]
    """How θ moves up its gradient."""


@hookspec
def hypergradients() -> Iterable[type[Hypergradient]]:  # type: ignore[empty-body]
    """Ways to optimise hyperparameters."""


@hookspec
def evidence_estimators() -> Iterable[type[EvidenceEstimator]]:  # type: ignore[empty-body]
    """Estimators of log evidence."""


@hookspec
def metrics() -> Iterable[type[Metric]]:  # type: ignore[empty-body]
    """How good predictions are, in a number."""


@hookspec
def regimes() -> Iterable[type[Regime]]:  # type: ignore[empty-body]
    """Rules that say which members are trained after which."""


@hookspec
def relevances() -> Iterable[type[Relevance]]:  # type: ignore[empty-body]
    """Criteria of the relevance of single weights."""


@hookspec
def trackers() -> Iterable[type[Tracker]]:  # type: ignore[empty-body]
    """Followers of a run, such as loggers."""


KINDS: dict[str, type[Plugin]] = {
    "basis_functions": BasisFunction,
    "likelihoods": Likelihood,
    "data_sources": DataSource,
    "weight_priors": WeightPrior,
    "weight_posteriors": WeightPosterior,
    "structure_distributions": StructureDistribution,
    "criteria": Criterion,
    "inner_optimizers": InnerOptimizer,
    "hypergradients": Hypergradient,
    "evidence_estimators": EvidenceEstimator,
    "metrics": Metric,
    "regimes": Regime,
    "relevances": Relevance,
    "trackers": Tracker,
}
"""Every kind by the name of its hook."""

NOUNS = {"criteria": "criterion"}


def noun_of(kind: str) -> str:
    """What one plugin of a kind is called in a message: `basis function`."""
    return NOUNS.get(kind, kind.replace("_", " ").removesuffix("s"))
