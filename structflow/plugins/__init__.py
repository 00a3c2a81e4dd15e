"""The plugin interfaces: what a package implements to add basis functions and other parts."""

from .basis_function import BasisFunction, BasisOptions, Shape
from .chunked_table import ChunkedTable, StreamOptions
from .criterion import Criterion, LevelFactors, ScoredMembers
from .data_source import ColumnOptions, DataOptions, DataSource, InputTable, SplitOptions, StandardizeOptions, Table
from .evidence_estimator import Estimate, EvidenceEstimator, ModelFacts, SampledTerms, TrainedMembers
from .hookspecs import KINDS, hookimpl, noun_of
from .hypergradient import Hypergradient, InnerPath, OuterGradient, TwoLevelOptions, TwoLevelPoint, factors_agree
from .inner_optimizer import InnerOptimizer, InnerOptions, MemberNumbers
from .likelihood import Likelihood, TargetKind
from .metric import Metric, Predicted
from .options import Options
from .plugin import INTERFACE_VERSION, Plugin
from .regime import Candidate, Decision, MemberRecord, Parent, Regime, RegimeOptions, Removal, RoundBound
from .relevance import Relevance
from .schedule import (
    Metaparameter,
    NonNegativeMetaparameter,
    PositiveMetaparameter,
    Schedule,
    metaparameter_at,
    shown_metaparameter,
)
from .structure_distribution import Space, StructureDistribution, StructureOptions
from .tracker import TrackedMember, TrackedRun, Tracker, TrainedBatch
from .weight_posterior import START_SD, WeightPosterior
from .weight_prior import Grouping, InverseGamma, WeightPrior, WeightPriorOptions
from .weight_vectors import WeightVectors

__all__ = [
    "INTERFACE_VERSION",
    "KINDS",
    "START_SD",
    "BasisFunction",
    "BasisOptions",
    "Candidate",
    "ChunkedTable",
    "ColumnOptions",
    "Criterion",
    "DataOptions",
    "DataSource",
    "Decision",
    "Estimate",
    "EvidenceEstimator",
    "Grouping",
    "Hypergradient",
    "InnerOptimizer",
    "InnerOptions",
    "InnerPath",
    "InputTable",
    "InverseGamma",
    "LevelFactors",
    "Likelihood",
    "MemberNumbers",
    "MemberRecord",
    "Metaparameter",
    "Metric",
    "ModelFacts",
    "NonNegativeMetaparameter",
    "Options",
    "OuterGradient",
    "Parent",
    "Plugin",
    "PositiveMetaparameter",
    "Predicted",
    "Regime",
    "RegimeOptions",
    "Relevance",
    "Removal",
    "RoundBound",
    "SampledTerms",
    "Schedule",
    "ScoredMembers",
    "Shape",
    "Space",
    "SplitOptions",
    "StandardizeOptions",
    "StreamOptions",
    "StructureDistribution",
    "StructureOptions",
    "Table",
    "TargetKind",
    "TrackedMember",
    "TrackedRun",
    "Tracker",
    "TrainedBatch",
    "TrainedMembers",
    "TwoLevelOptions",
    "TwoLevelPoint",
    "WeightPosterior",
    "WeightPrior",
    "WeightPriorOptions",
    "WeightVectors",
    "factors_agree",
    "hookimpl",
    "metaparameter_at",
    "noun_of",
    "shown_metaparameter",
]
