"""The summary of a run as models with named fields: what `summary.json` holds and `structflow show --json` prints.

Keys that only some runs have are left out of the JSON elsewhere. Fields of base classes come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, JsonValue

from ..store.records import (
    NATS,
    SCORE,
    Metrics,
    Number,
    Pruning,
    RemovalCurve,
    RemovalReport,
    Robustness,
    Scored,
    StructureJson,
    SummaryPart,
    is_none,
)


class ConvergenceReport(SummaryPart):
    """Whether more steps would hardly raise the objective; see `convergence.judged_alone`."""

    converged: bool | None = Field(description="whether it has converged (in arrays 1 or 0); null or NaN: not known")
    converged_unknown: str | None = Field(description="why it isn't known")
    still_gaining: Number = Field(
        description="what the objective would gain in as many steps again", json_schema_extra=NATS
    )
    still_gaining_se: Number = Field(
        description="half the distance from that to its upper bound", json_schema_extra=NATS
    )
    left_to_gain: Number = Field(
        description="extrapolation of what all steps to come would gain; null or NaN: no limit in sight",
        json_schema_extra=NATS,
    )


class BestRestart(Scored):
    """What was found of the best restart of a structure, how many there were and what share of them agreed."""

    structure: StructureJson
    score: float = Field(description=SCORE, json_schema_extra=NATS)
    restarts: int = Field(description="restarts trained")
    restart_agreement: float = Field(description="share of restarts that agree")


class OfRank(SummaryPart):
    """Something of the structure at a place of the ranking, counted from 1."""

    rank: int


class RankingEntry(ConvergenceReport, BestRestart, OfRank):
    """A structure of the ranking."""

    log_prior: float = Field(description="log prior probability of the structure", json_schema_extra=NATS)
    probability: float = Field(description="posterior probability of the structure")
    tied_with_best: bool | None = Field(description="whether the gap to the best is within two standard errors of it")


class PrunedPlace(SummaryPart):
    """The place of a pruned network in its table, counted from 1, and how it lost weights."""

    place: int
    pruned: Pruning


class PrunedNetwork(ConvergenceReport, BestRestart, PrunedPlace):
    """A structure with pruned weights; its score is conditional on which weights were removed."""


class UnrankedStructure(SummaryPart):
    """A structure that has no rank, and the `reason`; `estimator` is the one that ranks, where it has no value."""

    structure: StructureJson
    reason: str
    estimator: str | None
    restarts: int
    evidence: dict[str, Number]
    evidence_se: dict[str, Number]


class RelaxedBound(SummaryPart):
    """The bound of the best restart of the relaxation, and by edge P(a rounded γ picks the function)."""

    bound: Number
    bound_se: Number
    q_probability: dict[str, dict[str, float]]


class RelaxedResult(ConvergenceReport, RelaxedBound):
    """What was found of the relaxation: of its best restart, and what each restart scores and rounds to."""

    c_param: Number
    c_struct: Number
    c_struct_differential: Number
    relative_density: Number
    hyperparameters: dict[str, JsonValue]
    metrics: dict[str, Metrics]
    robustness: Robustness
    restarts: list[Number]
    rounded: list[StructureJson | None]


class StructureCurves(OfRank):
    """Curves of removed weights of a structure of the ranking, by criterion."""

    structure: StructureJson
    criteria: dict[str, RemovalCurve]


class StageSummary(SummaryPart):
    """The member of a stage with the best bound, in the target's original units; what was removed, if anything was."""

    round: str
    stage: int
    members: int
    metaparameters: dict[str, int | float]
    bound: Number
    c_param: Number = None
    c_struct: Number = None
    c_struct_differential: Number = None
    relative_density: Number = None
    removal: RemovalReport | None = Field(None, exclude_if=is_none)


class FailedMembers(SummaryPart):
    """The restarts of a structure that one error left out.

    `round`, `stage` and `step` say where training was; `estimator` is the only one whose code raised, where the rest of
    an evaluation is there.
    """

    during: Literal["training", "evaluation"]
    estimator: str | None = Field(None, exclude_if=is_none)
    structure: StructureJson | None
    error: str
    round: str | None
    stage: int | None
    step: int | None
    restarts: list[int]


class SettingResults(SummaryPart):
    """What was found under one setting; `criterion` says what its structures are ranked by."""

    criterion: str
    ranking: list[RankingEntry]
    unranked: list[UnrankedStructure]
    pruned: list[PrunedNetwork]
    relaxed: RelaxedResult | None
    relevance: list[StructureCurves]
    stages: list[StageSummary]
    failures: list[FailedMembers]


class SettingHead(SummaryPart):
    """The values of a sweep that make a setting, by key."""

    values: dict[str, JsonValue]


class SettingSummary(SettingResults, SettingHead):
    """One setting of a sweep."""


class Extension(SummaryPart):
    """How a run extends an earlier revision: what changed, and why members were trained.

    `members` counts all, `taken_over` those that were trained before, `reasons` the others.
    """

    changes: list[str]
    members: int
    taken_over: int
    reasons: dict[str, int]


class SampledRows(SummaryPart):
    """Rows of a table larger than memory, and how many of them evidence and metrics were estimated on."""

    train: int
    test: int
    estimated_on: dict[str, int]


class RunHead(SummaryPart):
    """Which run it is, and how it ended: `failed` where no structure has a rank."""

    run: str
    status: Literal["finished", "failed"]
    spec_hash: str
    n_structures: int
    rows: SampledRows | None = Field(None, exclude_if=is_none)


class Summary(SettingResults, RunHead):
    """The summary of a run; of a sweep, what is at the top is of the first setting, and `settings` has all.

    `certificate` is that of the run's hypergradients, if it has one.
    """

    settings: list[SettingSummary]
    extension: Extension | None
    warnings: list[str]
    seconds: float
    certificate: dict[str, JsonValue] | None = Field(None, exclude_if=is_none)

    @property
    def each_setting(self) -> Sequence[SettingResults]:
        """What was found under every setting."""
        return self.settings or [self]

    @property
    def is_whole(self) -> bool:
        """Whether the run ended with a ranking and no member of it failed."""
        return self.status == "finished" and not self.failures
