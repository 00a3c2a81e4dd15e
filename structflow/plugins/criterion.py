"""The contract of a criterion: what both levels are, which rows are held out, and what structures are ranked by."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..errors import Problem
from .evidence_estimator import Estimate, SampledTerms
from .plugin import Plugin
from .schedule import Metaparameter

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class LevelFactors:
    """c_reg of L = E_q log p(y | w) − c_reg KL, and c_train, c_prior and c_comb of Q."""

    c_reg: Metaparameter
    c_train: Metaparameter
    c_prior: Metaparameter
    c_comb: Metaparameter


class ScoredMembers(Protocol):
    """M trained members of one population, with samples of q(w, Γ), in float64."""

    @property
    def size(self) -> int:
        """M."""

    @property
    def rows(self) -> int:
        """m, the number of training rows."""

    @property
    def terms(self) -> Sequence[SampledTerms]:
        """Terms of the bound in chunks (M, s); a single sample where nothing is random.

        Of members that rows are held out for, the likelihood is that of the rows held out.
        """

    @property
    def likelihood_parameters(self) -> int:
        """How many parameters of its own the likelihood learned for each member."""

    @property
    def curved_evidence(self) -> Tensor | None:
        """Laplace's evidence by the curvature that q fits, (M,), NaN where it isn't finite; None where q fits none."""

    def informative_weights(self, threshold: float) -> Tensor:
        """How many weights have KL(q(w_i) ‖ p(w_i | h)) > threshold, (M,); all weights of a point."""

    def row_log_likelihoods(self) -> Iterator[Tensor]:
        """log p(y_i | x_i, w_s, Γ_s) of S draws of q, for blocks of the training rows in memory: (M, S, rows) each.

        The draws are the same in every block; a single one where nothing is random.
        """

    @property
    def row_weight(self) -> float:
        """How many training rows each row in memory stands for: 1, unless they are a sample."""


class Criterion(Plugin):
    """What is optimised and what structures are ranked by; the spec names it at `criterion`.

    `label` is what tables call its score. One that `trains_point` trains one value of the weights, whatever
    `posterior.weights` says; one that `needs_density` is refused where `posterior.weights` is a point. The score of
    one that ranks `by_estimator` only chooses between restarts: structures are ranked by the first of
    `evidence.estimators`. Under one `of_parts` the members of a fold are trained and scored as if the rows that they
    learn from were the whole dataset, in the units of all rows and with an h of their own.
    """

    label: ClassVar[str]
    trains_point: ClassVar[bool] = False
    needs_density: ClassVar[bool] = False
    by_estimator: ClassVar[bool] = False
    of_parts: ClassVar[bool] = False

    @staticmethod
    def factors(options: Any, given: LevelFactors, is_point: bool) -> LevelFactors:
        """The factors that are trained with, from those of the spec's `objective`; `is_point` says whether q(w) is one.

        A factor of the spec that isn't its default, and isn't what this returns, is an error.
        """
        return given

    @staticmethod
    def fold_count(options: Any) -> int:
        """K, how many sets of rows are held out in turn; 0 where all rows are learned from.

        With folds L is the likelihood of the other rows, each counted m / m_k times, and Q and the score are of the
        rows held out, summed over folds.
        """
        return 0

    @staticmethod
    def fold_of_row(options: Any, rows: int, labels: np.ndarray | None, seed: int) -> np.ndarray:
        """For every training row the fold from 1 to K that holds it out, 0 for rows that none does: (rows,), integers.

        `labels` (rows,) are the labels of each row where the targets are classes. The same seed gives the same folds.
        """
        raise NotImplementedError("a criterion with folds says which rows each of them holds out")

    @staticmethod
    def fold_problems(options: Any, rows: int) -> list[Problem]:
        """What is wrong with holding out so many of so few training rows."""
        return []

    @staticmethod
    def combined(options: Any, whole: float, parts: Sequence[float]) -> float:
        """The score of a structure from its score on all rows and those on the K folds, for a criterion `of_parts`.

        It is linear in them: given numbers of rows in place of scores, it returns the number of rows that the score is
        a log density of.
        """
        raise NotImplementedError("a criterion of parts says how their scores are combined")

    @staticmethod
    def conflicts(spec: Any) -> list[Problem]:
        """Settings of the validated spec under which the score isn't what it says."""
        return []

    @staticmethod
    @abstractmethod
    def score(options: Any, members: ScoredMembers) -> Estimate:
        """The score of every member, the higher the better, with its Monte Carlo standard error: (M,) each, float64.

        It is a log density of the targets in the units of training, in nats; a penalty may be subtracted.
        """
