"""The spec language, version 1: one pydantic model a section. Importing this loads the plugins."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from ..plugins import BasisOptions, DataOptions, Metaparameter, NonNegativeMetaparameter, Options
from .choice import EarlierForm, PluginChoice
from .default_methods import with_defaults_of_posterior
from .effects import effect
from .older_spellings import schema_with_preset, with_criterion, without_idle_momentum

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
PositiveInteger = Annotated[int, Field(ge=1)]


def _as_shape(value: Any) -> Any:
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


Size = Annotated[int, Field(ge=1, le=10_000_000)]
NodeShape = Annotated[
    tuple[Size, ...],
    BeforeValidator(_as_shape, json_schema_input_type=Size | Annotated[tuple[Size, ...], Field(min_length=1)]),
    Field(min_length=1, max_length=8),
]


CANDIDATES = effect("members", extends=True)
"""What may be chosen: members that are there keep their training keys, in which their own choice is."""

EVALUATION = effect("evaluation", extends=True)
RELAXED = effect("training", relaxed=True)
EXECUTION = effect("training", own_part=True)


class ShapeChoice(Options):
    """Shapes among which the structure chooses."""

    choose: tuple[NodeShape, ...] = Field(min_length=1, max_length=256)


class Node(Options):
    """A node f_j of the graph. `x` and `y` take their shapes from the data; every other node needs one.

    Of `x`, a shape with as many numbers as the data's inputs says how they are seen: 64 columns as 1 × 8 × 8.
    """

    shape: Annotated[NodeShape | ShapeChoice | None, CANDIDATES] = None

    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes it can have; empty where the data decides."""
        if self.shape is None:
            return ()
        return self.shape.choose if isinstance(self.shape, ShapeChoice) else (self.shape,)

    @property
    def is_choice(self) -> bool:
        """Whether the shape is part of the structure."""
        return isinstance(self.shape, ShapeChoice)


class Edge(Options):
    """An edge k→j with its candidate basis functions and the space of its structure weights γ."""

    source: str = Field(alias="from", description="Node the edge leaves.")
    to: str = Field(description="Node the edge enters.")
    choose: Annotated[Literal["one", "any", "all"] | None, CANDIDATES] = Field(
        None, description="one: exactly one; any: a subset; all: no choice. Default: all for one function, else one."
    )
    min: Annotated[int, CANDIDATES] = Field(0, ge=0, description="Smallest number of functions that `any` may choose.")
    basis: Annotated[tuple[Annotated[Any, PluginChoice("basis_functions")], ...], CANDIDATES] = Field(
        min_length=1, max_length=1000
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_choose(cls, values: Any) -> Any:
        """Written out, so that a spec that says the default is equal to one that leaves it out."""
        if isinstance(values, dict) and values.get("choose") is None and isinstance(values.get("basis"), list | tuple):
            return {**values, "choose": "all" if len(values["basis"]) == 1 else "one"}
        return values

    @property
    def key(self) -> str:
        """Its name in a structure."""
        return f"{self.source}->{self.to}"

    @property
    def space(self) -> Literal["one", "any", "all"]:
        """`choose` with its default filled in."""
        return self.choose or ("all" if len(self.basis) == 1 else "one")


class Model(Options):
    """The graph of possible structures and the likelihood at its output."""

    likelihood: Annotated[Any, PluginChoice("likelihoods", default="gaussian"), effect("training")] = Field(
        default={"type": "gaussian"}, validate_default=True
    )
    nodes: Annotated[dict[Name, Node], effect("members")] = Field(
        default={"x": Node(), "y": Node()},
        max_length=1000,
        json_schema_extra={"propertyNames": {"pattern": NAME_PATTERN, "maxLength": 64}},
    )
    edges: Annotated[tuple[Edge, ...], effect("members")] = Field(min_length=1, max_length=1000)


class Prior(Options):
    """Priors of the weights and of the structure."""

    weights: Annotated[Any, PluginChoice("weight_priors", default="normal")] = Field(
        default={"type": "normal"}, validate_default=True
    )
    structure: Annotated[Any, PluginChoice("structure_distributions", default="gumbel_softmax"), RELAXED] = Field(
        default={"type": "gumbel_softmax"}, validate_default=True
    )


def _as_family(value: Any) -> Any:
    """`{type: normal, covariance: full}`, as families were once named, is `{type: full}`; `normal` is `diagonal`."""
    if value == "normal":
        return "diagonal"
    if not isinstance(value, dict) or ("covariance" not in value and value.get("type") != "normal"):
        return value
    others = {key: given for key, given in value.items() if key not in ("type", "covariance")}
    family = value.get("covariance", "diagonal")
    if value.get("type", "normal") == "normal":
        return {"type": family, **others}
    return {"type": value["type"], **others} if family == "diagonal" else value


COVARIANCES = EarlierForm(
    _as_family,
    {
        "type": "object",
        "properties": {"type": {"enum": ["normal", "point"]}, "covariance": {"enum": ["diagonal", "full"]}},
        "additionalProperties": False,
    },
)


class StructurePosterior(Options):
    """q(Γ) of the relaxed problem: the prior's family with its own concentrations and one temperature."""

    temperature: Annotated[float, Field(gt=0)] | Literal["learned"] = "learned"
    largest_log_concentration: float | None = Field(
        None,
        gt=0,
        description="Bound on |log s| of q(Γ) and of a learned p(Γ). Default: none, or 6 where `c_comb` is negative, "
        "because a repelled distribution would sharpen without end.",
    )


class Posterior(Options):
    """The variational family."""

    weights: Annotated[Any, PluginChoice("weight_posteriors", default="diagonal", earlier=COVARIANCES)] = Field(
        default={"type": "diagonal"}, validate_default=True
    )
    structure: Annotated[StructurePosterior, RELAXED] = StructurePosterior()


class Against(Options):
    """A distribution p' over structures, of the prior's family, from which the objective is repelled or drawn to."""

    of: Literal["prior", "posterior"] = Field(
        "prior", description="Whether the divergence is that of p(Γ | h), or that of q(Γ), which needs two levels."
    )
    concentration: dict[str, tuple[Annotated[float, Field(gt=0)], ...]] = Field(
        {}, description="s for every function of an edge, by the key of the edge; equal on edges that aren't named."
    )
    structure: dict[str, tuple[str, ...]] = Field(
        {},
        description="In place of concentrations: the functions chosen on an edge, by the key of the edge. The "
        "divergence is then of rounded structures.",
    )
    smoothing: float = Field(
        0.05, gt=0, lt=0.5, description="Probability that a given `structure` leaves for other choices on each edge."
    )
    temperature: float | None = Field(
        None, gt=0, description="Temperature of a p' given by concentrations; by default the prior's."
    )

    @model_validator(mode="after")
    def _one_form(self) -> Against:
        if bool(self.concentration) == bool(self.structure):
            given = "both" if self.concentration else "neither"
            raise ValueError(f"expected either `concentration` or `structure`; got {given}")
        if self.structure and self.temperature is not None:
            raise ValueError("got a temperature for a structure, which is not relaxed; leave it out")
        return self


class Objective(Options):
    """The metaparameters of L and Q: c_reg, c_train, c_prior, and c_comb with the set P = `against`."""

    model_config = ConfigDict(json_schema_extra=schema_with_preset)

    c_reg: NonNegativeMetaparameter = 1.0
    c_train: NonNegativeMetaparameter = 1.0
    c_prior: NonNegativeMetaparameter = 1.0
    c_comb: Annotated[Metaparameter, RELAXED] = 0.0
    against: Annotated[tuple[Against, ...], RELAXED] = ()
    against_form: Annotated[Literal["mixture", "sum"], RELAXED] = Field(
        "mixture",
        description="One divergence from the mixture of all of `against`, or the sum of the divergences from each.",
    )


class Optimizer(Options):
    """How θ and h are optimised, and how often from another start."""

    inner: Annotated[Any, PluginChoice("inner_optimizers", default="adam")] = Field(
        default={"type": "adam"}, validate_default=True
    )
    outer: Annotated[Any, PluginChoice("hypergradients", default="one_level")] = Field(
        default={"type": "one_level"}, validate_default=True
    )
    restarts: Annotated[int, effect("members", extends=True, per_stage=False)] = Field(8, ge=1, le=100_000)


class Evidence(Options):
    """How log evidence is estimated after training; the first estimator ranks."""

    estimators: tuple[Annotated[Any, PluginChoice("evidence_estimators")], ...] = Field(
        default=({"type": "elbo"},), min_length=1, validate_default=True
    )
    samples: int = Field(256, ge=2, le=1_000_000)


def _distinct(deviations: tuple[float, ...]) -> tuple[float, ...]:
    repeated = next((value for index, value in enumerate(deviations) if value in deviations[:index]), None)
    if repeated is not None:
        raise ValueError(f"got {repeated:g} twice; list every standard deviation once")
    return deviations


Deviations = Annotated[
    tuple[Annotated[float, Field(ge=0)], ...],
    Field(max_length=100, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
]


class Robustness(Options):
    """Metrics under normal noise, beside those without; see `evidence.robustness`. Nothing by default."""

    inputs: Deviations = Field(
        (), description="Standard deviations of noise on the inputs, which are in the units that the network sees."
    )
    weights: Deviations = Field((), description="Standard deviations of noise on the weights.")
    samples: int = Field(
        64, ge=1, le=1_000_000, description="Draws of the noise that every metric is averaged over, for each deviation."
    )

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self.inputs or self.weights)


Share = Annotated[float, Field(ge=0, le=1)]


def _rising(shares: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(shares)):
        raise ValueError("expected shares that rise; sort them and give each once")
    return shares


class RelevanceCurves(Options):
    """Which weights are removed in what order after training, and what is measured of the models that are left."""

    criteria: tuple[Annotated[Any, PluginChoice("relevances")], ...] = Field(
        min_length=1, max_length=16, description="Criteria of the relevance of weights, each with a curve of its own."
    )
    shares: Annotated[tuple[Share, ...], AfterValidator(_rising)] = Field(
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
        min_length=1,
        max_length=200,
        description="Shares of the weights that are removed, rising.",
    )
    structures: PositiveInteger | Literal["all"] = Field(
        1, description="How many structures, the best by the score that restarts are chosen by first."
    )
    samples: int = Field(64, ge=2, le=100_000, description="Draws of q that bounds and predictions are averaged over.")
    input_noise: Deviations = Field((), description="Standard deviations of noise on the inputs, as in `robustness`.")
    weight_noise: Deviations = Field((), description="Standard deviations of noise on the weights that are left.")
    perturbations: int = Field(8, ge=1, le=1000, description="Draws of that noise, over which metrics are averaged.")


class Compute(Options):
    """Where and how it runs; never what is computed, beyond rounding."""

    device: Annotated[Literal["auto", "cpu", "cuda"], EXECUTION] = "auto"
    dtype: Annotated[Literal["float32", "float64"], effect("training", own_part=True, per_stage=False)] = "float32"
    members_per_batch: Annotated[PositiveInteger | Literal["auto"], effect("nothing", extends=True)] = "auto"
    compile: Annotated[bool | Literal["auto"], EXECUTION] = "auto"
    checkpoint_seconds: Annotated[float, effect("nothing")] = Field(
        60.0, ge=0, description="Seconds of training between two checkpoints, at least; they take at most 2 % of it."
    )


def _without_repetition(trackers: tuple[Any, ...]) -> tuple[Any, ...]:
    for index, options in enumerate(trackers):
        if options in trackers[:index]:
            raise ValueError(f"got {options.type!r} twice with the same keys; remove one, or give them other keys")
    return trackers


FIXED = effect("nothing", per_stage=False, swept=False)


class Spec(Options):
    """One study: which structures are possible, on which data, under which priors and which regime."""

    structflow: Annotated[Literal[1], FIXED] = Field(1, description="Version of the spec language.")
    name: Annotated[Name, FIXED] = "study"
    seed: Annotated[int, effect("training", "evaluation", per_stage=False)] = Field(0, ge=0, lt=2**63)
    data: Annotated[Any, PluginChoice("data_sources"), FIXED]  # the values count, not where they come from
    model: Annotated[Model, effect("training", per_stage=False, swept=False)]
    prior: Annotated[Prior, effect("training")] = Prior()
    posterior: Annotated[Posterior, effect("training")] = Posterior()
    objective: Annotated[Objective, effect("training")] = Objective()
    criterion: Annotated[Any, PluginChoice("criteria", default="evidence"), effect("training")] = Field(
        default={"type": "evidence"}, validate_default=True
    )
    regime: Annotated[
        Any,
        PluginChoice("regimes", default="enumeration"),
        effect("members", extends="options", per_stage=False),
    ] = Field(default={"type": "enumeration"}, validate_default=True)
    optimizer: Annotated[Optimizer, effect("training")] = Optimizer()
    evidence: Annotated[Evidence, EVALUATION] = Evidence()
    metrics: Annotated[tuple[Annotated[Any, PluginChoice("metrics")], ...], EVALUATION] = Field(
        (), max_length=32, description="Metrics of predictions beside the default ones."
    )
    robustness: Annotated[Robustness, EVALUATION] = Robustness()
    relevance: Annotated[RelevanceCurves | None, EVALUATION] = Field(
        None, description="Curves of quality against the share of weights removed; by default none."
    )
    compute: Compute = Compute()
    trackers: Annotated[
        tuple[Annotated[Any, PluginChoice("trackers")], ...],
        AfterValidator(_without_repetition),
        effect("nothing", per_stage=False, swept=False, identifies=False),
    ] = Field((), max_length=16, description="Who follows the run, such as a logger; never what is computed.")
    stages: Annotated[tuple[dict[str, Any], ...], effect("members", per_stage=False, swept=False)] = Field(
        (), description="Overrides stage by stage, each warm-started."
    )
    sweep: Annotated[
        tuple[dict[str, tuple[Any, ...]], ...], effect("members", extends=True, per_stage=False, swept=False)
    ] = Field((), description="Blocks of dotted keys with lists of values.")

    @model_validator(mode="before")
    @classmethod
    def _read_older_spellings(cls, values: Any) -> Any:
        return with_defaults_of_posterior(without_idle_momentum(with_criterion(values)))

    @property
    def data_options(self) -> DataOptions:
        """`data` as what every source's options have in common."""
        options: DataOptions = self.data
        return options

    def basis_options(self, edge: int, function: int) -> BasisOptions:
        """Options of one basis function."""
        options: BasisOptions = self.model.edges[edge].basis[function]
        return options
