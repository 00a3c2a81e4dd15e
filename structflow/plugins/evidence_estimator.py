"""The contract of an estimator of log evidence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from .likelihood import TargetKind
from .plugin import Plugin
from .weight_vectors import WeightVectors

if TYPE_CHECKING:
    from torch import Tensor


class SampledTerms(Protocol):
    """Terms of the bound for S samples of q(w, Γ) of each of M members, (M, S) each, in nats."""

    @property
    def log_likelihood(self) -> Tensor:
        """log p(y | X, w, Γ), or its expectation over the weights that are integrated out."""

    @property
    def kl_weights(self) -> Tensor:
        """log q(w) − log p(w | Γ) at the sample; the KL of weights that are integrated out."""

    @property
    def kl_structure(self) -> Tensor:
        """log q(Γ) − log p(Γ), 0 for discrete structures."""

    @property
    def bound(self) -> Tensor:
        """log p(y, w, Γ) − log q(w, Γ) at the sample: its mean over samples is the evidence lower bound."""


class TrainedMembers(Protocol):
    """M members of one population with their trained parameters, in float64, for evaluation on the training rows."""

    @property
    def size(self) -> int:
        """M."""

    @property
    def weights(self) -> WeightVectors:
        """The members' weights as vectors, for an estimator that is `of_weights`."""

    @property
    def curved_evidence(self) -> Tensor | None:
        """log p(y, w* | h) + ½ n log 2π − ½ log|H| by the curvature that q fits, (M,); None where q fits none.

        NaN for a member whose H isn't finite.
        """

    def sample_terms(self, samples: int, phase: str) -> Iterator[SampledTerms]:
        """Terms for so many samples in all, in chunks (M, S); a single sample where nothing is random.

        `phase` names the noise: one name always draws the same numbers, another one fresh ones. A member's numbers
        depend on neither the chunks nor the other members.
        """


@dataclass(frozen=True)
class Estimate:
    """log evidence of every member and its Monte Carlo standard error, both (members,) in float64, in nats.

    A member without a value gets NaN, and `missing` says why, by the number of the member. Where a value's standard
    error isn't known it is NaN, and `unsure` says why: that value then decides no tie and no disagreement.
    """

    value: Tensor
    standard_error: Tensor
    missing: Mapping[int, str] = field(default_factory=dict)
    unsure: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of_samples(cls, chunks: Iterable[Tensor]) -> Estimate:
        """Mean over samples and its standard error from chunks (M, s); the error of a single sample is 0."""
        import torch

        values = torch.cat(list(chunks), dim=1)
        samples = values.shape[1]
        if samples == 1:
            return cls(values[:, 0], torch.zeros_like(values[:, 0]))
        return cls(values.mean(1), values.std(1) / samples**0.5)


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a structure's model before it is trained.

    `target` is what its likelihood takes for targets, `linear` says whether its output is linear in all weights, as its
    functions declare by `linear_in_weights`, None where that depends on a function without weights behind others;
    `weights` is the number of its weights, and `is_curved` says that q(w) fits the curvature at a mode.
    """

    target: TargetKind
    linear: bool | None
    weights: int
    is_curved: bool = False


class EvidenceEstimator(Plugin):
    """Estimates log p(y | X, h) of trained members; the spec names it in `evidence.estimators`.

    One that is `of_weights` looks at `TrainedMembers.weights`, which only discrete members have: relaxed members are
    not shown to it. One that needs no density of q can be asked for where q is a point, as `criterion: map` has it. One
    that `needs_normal_prior` takes p(w | h) to be N(0, A⁻¹). One that is `loose` stays below log p(y | X, h) even where
    q is the posterior.
    """

    of_weights: ClassVar[bool] = False
    needs_density: ClassVar[bool] = True
    needs_normal_prior: ClassVar[bool] = False
    loose: ClassVar[bool] = False

    @staticmethod
    def why_no_value(options: Any, facts: ModelFacts) -> str | None:
        """Why a model is expected to have no value, as far as that is known before training; None where it may have."""
        return None

    @staticmethod
    def cost(options: Any, weights: int, samples: int) -> float:
        """Evaluations of log p(y | X, w) that an estimate takes for one member with that many weights.

        A gradient counts as two more. Forecasts of time use it; by default one for each sample.
        """
        return float(samples)

    @staticmethod
    @abstractmethod
    def estimate(options: Any, trained: Any, samples: int) -> Estimate:
        """Estimate for `TrainedMembers`, in the units the model was trained in."""
