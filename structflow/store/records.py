"""What the tasks of a run commit, as models with named fields: they are validated on reading and can't be changed.

A record names members by their training keys; what belongs to a member alone is an entry of `store.entries`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from ..plugins import Removal


def finite_or_none(value: Any) -> float | None:
    """A number of any type as Python's; None for NaN and infinities, which JSON doesn't have."""
    return float(value) if value is not None and math.isfinite(value) else None


Number = Annotated[float | None, BeforeValidator(finite_or_none)]
"""A finite number, or None where there is none."""

Chance = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A probability, NaN (null in JSON) of a member that diverged."""

StructureJson = dict[str, list[str] | list[int]]
"""A structure: functions chosen on every edge and shapes chosen for nodes, {"x->h": ["dense:tanh"], "h": [20]}."""

NATS: dict[str, JsonValue] = {"units": "nats"}

SCORE = "what ranks, by the spec's criterion, in the target's units"

Metrics = dict[str, Number]
"""Metrics by name."""

Robustness = dict[str, dict[str, dict[str, Metrics]]]
"""Metrics under noise by rows, by what it is on (`inputs`, `weights`) and by its standard deviation as text."""


class Stored(BaseModel):
    """Something that is written once."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SummaryPart(Stored):
    """A part of a summary. It can be read as the mapping that its JSON is, too: `entry["score"]`, `dict(entry)`."""

    def keys(self) -> list[str]:
        """The keys of its JSON."""
        fields = type(self).model_fields.items()
        return [name for name, each in fields if each.exclude_if is None or not each.exclude_if(getattr(self, name))]

    def items(self) -> list[tuple[str, Any]]:
        """The keys of its JSON with their values."""
        return [(key, getattr(self, key)) for key in self.keys()]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key of its JSON, or the default where it has no such key."""
        return getattr(self, key) if key in self else default

    def __getitem__(self, key: str) -> Any:
        """The value of a key of its JSON; raises `KeyError` where it has no such key."""
        return dict(self.items())[key]

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # pydantic's gives pairs
        """The keys of its JSON."""
        return iter(self.keys())

    def __len__(self) -> int:
        """How many keys its JSON has."""
        return len(self.keys())

    def __contains__(self, key: object) -> bool:
        """Whether its JSON has a key."""
        return key in self.keys()


Mapping.register(SummaryPart)


def is_none(value: object) -> bool:
    """Whether a key is left out of the JSON."""
    return value is None


OpenJson = dict[str, list[str]]
"""The functions that may still be chosen on every edge: {"x->h": ["dense:tanh", "dense:relu"]}."""


class ParentName(Stored):
    """The member of an earlier round that another one starts from."""

    round: int
    structure: StructureJson | None
    open: OpenJson | None
    restart: int


class MemberName(NamedTuple):
    """A member of a batch: numbers of its structure, parent and removal in the batch's lists, and its training keys.

    `keys` are the digests after every stage.
    """

    structure: int
    restart: int
    fold: int
    parent: int | None
    removal: int
    keys: tuple[str, ...]


class BatchRecord(Stored):
    """Members that train together, and the slots of every candidate on every edge (`capacities`)."""

    structures: tuple[StructureJson | None, ...]
    open: OpenJson | None
    parents: tuple[ParentName, ...]
    removals: tuple[Removal | None, ...]
    members: tuple[MemberName, ...]
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    capacities: tuple[tuple[int, ...], ...]


class DecideRecord(Stored):
    """The members of a round, batch by batch, and the structures `against` that they are repelled from."""

    batches: tuple[BatchRecord, ...]
    against: tuple[StructureJson, ...]


class Failure(Stored):
    """The error of a member's code: in which stage, after how many of its steps, and what was raised."""

    stage: int
    step: int
    error: str


class Convergence(Stored):
    """The measure of `train.convergence` of one member; numbers that aren't finite are None."""

    gained: Number
    gained_se: Number
    still_gaining: Number
    still_gaining_se: Number
    left_to_gain: Number


class Complexities(Stored):
    """Complexities of one member, in nats; see `evidence.complexity`."""

    c_param: Number
    c_struct: Number
    c_struct_differential: Number
    relative_density: Number


class RemovalReport(SummaryPart):
    """How many weights a member has and how many are left, and its metrics by rows (`train`, `test`)."""

    weights: int
    left: int
    metrics: dict[str, Metrics]


class TrainedMember(Stored):
    """A member of a decided batch after a stage: its key, the digest of its values, or why it has none (`failed`).

    `diverged_at` is the step of its stage at which its objective wasn't finite, −1 for never; `bound` the bound of the
    last step, in training units. After the last stage `score` and `objective` are what restarts are compared by, and of
    a relaxed member `probabilities` holds P(a rounded γ picks the function) by edge, and `rounded` what it rounds to.
    """

    key: str
    digest: str | None = None
    diverged_at: int = -1
    bound: Number = None
    complexities: Complexities | None = None
    score: Number = None
    objective: Number = None
    probabilities: dict[str, dict[str, Chance]] | None = None
    rounded: StructureJson | None = None
    removal: RemovalReport | None = None
    failed: Failure | None = None


class TrainRecord(Stored):
    """The members of a decided batch after a stage, in its order; none where the slot is empty."""

    members: tuple[TrainedMember, ...] = ()


class SelectedStructure(Stored):
    """The restarts of a structure, None for the relaxation, or of its networks with pruned weights.

    `scores` are by round and restart; `best` is the training key of the best restart and `best_restart` its number,
    None where all diverged or failed. `rounded` is what the restarts of the relaxation round to.
    """

    structure: StructureJson | None
    pruned: bool = False
    scores: tuple[Number, ...]
    best: str | None
    best_restart: int | None
    agreement: float
    rounded: tuple[StructureJson | None, ...] | None = None


class FailedMember(Stored):
    """A member without a result, by structure and restart, and the error; `round`, `stage`, `step` of its training."""

    structure: StructureJson | None
    restart: int
    error: str
    round: str | None = None
    stage: int | None = None
    step: int | None = None


class SelectRecord(Stored):
    """The best restart of every structure; how many members there are, how many of them diverged, and who failed."""

    structures: tuple[SelectedStructure, ...]
    members: int
    diverged: int
    failed: tuple[FailedMember, ...] = ()


class Pruning(SummaryPart):
    """By which criterion what share of the weights was removed, of how many `weights`, and how many are `left`."""

    criterion: str
    share: float
    weights: int
    left: int


class RemovalCurve(SummaryPart):
    """Weights `removed`, bound and metrics for every share of weights removed, and metrics under noise by its size."""

    share: list[float]
    removed: list[int]
    bound: list[Number]
    bound_se: list[Number]
    metrics: dict[str, dict[str, list[Number]]]
    input_noise: dict[str, dict[str, list[Number]]]
    weight_noise: dict[str, dict[str, list[Number]]]


class Scored(SummaryPart):
    """What is known of an evaluated member, in the target's original units; estimates of log evidence by estimator.

    `evidence_missing` says why an estimator has no value, `evidence_unsure` why it has no error. `robustness` holds
    metrics by rows, by what noise is on and by its standard deviation.
    """

    structure: StructureJson | None
    score: Number = Field(description=SCORE, json_schema_extra=NATS)
    score_se: Number = Field(description="Monte Carlo standard error of it", json_schema_extra=NATS)
    log_evidence: Number = Field(description="log evidence in the target's units, all c = 1", json_schema_extra=NATS)
    log_evidence_se: Number = Field(description="Monte Carlo standard error", json_schema_extra=NATS)
    evidence: dict[str, Number] = Field(description="log evidence by estimator", json_schema_extra=NATS)
    evidence_se: dict[str, Number] = Field(description="standard error; null or NaN: unknown", json_schema_extra=NATS)
    evidence_missing: dict[str, str] = Field(description="why an estimator has no value")
    evidence_unsure: dict[str, str] = Field(description="why an estimator, or the criterion, has no standard error")
    c_param: Number = Field(description="parametric complexity", json_schema_extra=NATS)
    c_struct: Number = Field(description="entropy of the rounded structure", json_schema_extra=NATS)
    relative_density: Number = Field(description="−Σ ln ρ over the weights, ρ = exp(−μ²/(2α))", json_schema_extra=NATS)
    hyperparameters: dict[str, JsonValue] = Field(description="learned hyperparameters, in standardised units")
    metrics: dict[str, Metrics] = Field(description="metrics on the rows of `train` and of `test`")
    robustness: Robustness = Field(description="metrics under noise on the inputs or the weights")


class Evaluation(Scored):
    """What is found of a member.

    `noise_se` is the error of the score without that of sampling rows, where rows were sampled. `evidence_raised` says
    what the code of an estimator raised; `relevance` holds curves by criterion, where they are asked for.
    """

    restart: int
    pruned: Pruning | None = None
    noise_se: Number = None
    evidence_raised: dict[str, str]
    c_struct_differential: Number
    q_probability: dict[str, dict[str, Chance]]
    relevance: dict[str, RemovalCurve] | None = None


class EvaluatedMember(Stored):
    """A picked member by its training key, the key of its evaluation, and how far its training converged."""

    key: str
    evaluation: str
    digest: str
    convergence: Convergence


class EvaluateRecord(Stored):
    """The members picked from a batch, in the order they were evaluated in, and those whose evaluation raised."""

    members: tuple[EvaluatedMember, ...] = ()
    failed: tuple[FailedMember, ...] = ()


Result = TypeVar("Result", bound=Stored)

KINDS: dict[str, type[Stored]] = {
    "decide": DecideRecord,
    "train": TrainRecord,
    "select": SelectRecord,
    "evaluate": EvaluateRecord,
}
"""The records by kind of task."""
