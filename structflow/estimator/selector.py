"""What the regressor and the classifier share: from constructor parameters and arrays to a predictor."""

from __future__ import annotations

import warnings
from abc import ABC
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ..errors import CallError
from ..plugins import Table
from ..plugins.registry import registry
from ..results.models import RankingEntry
from ..results.prediction import Prediction, Predictor, mixture_of, predictor_of
from ..results.ranked import RankedStructure
from ..results.summary import summarise
from ..runner.context import context_of_revision, open_context
from ..runner.driver import carry_out, open_run
from ..spec.load import study_from_table
from ..spec.round_spec import numbers_of_steps
from ..spec.study import Study
from .default_model import ACTIVATIONS, WIDTHS, one_hidden_layer


class StructureSelector(BaseEstimator, ABC):  # type: ignore[misc]
    """Chooses the structure of a network by Bayesian evidence and predicts with all of them, weighted by probability.

    Parameters
    ----------
    spec : mapping, optional
        Sections of the spec language, without a data source: `model`, `prior`, `optimizer`, `regime`, ... By default
        one hidden layer, one of `activations` × one of `widths`, and the defaults of the language.
    activations, widths : sequences, optional
        Candidates for the hidden layer; by default tanh and relu, 5 and 20 units. Not together with edges in `spec`.
    restarts, steps : int, optional
        How often every structure is trained from another start, and for how many steps; by default as in `spec`.
    samples : int
        Draws of the weights that a prediction averages over.
    random_state : int, RandomState or None
        Seed; None takes that of `spec`, by default 0, so that results are the same every time.

    Attributes
    ----------
    ranking_ : list of RankingEntry
        Structures by posterior probability, best first; keys are those that `structflow show --json` prints.
    best_structure_ : dict
        The most probable structure, such as {"x->h": ["dense:tanh"], "h->y": ["linear"], "h": [20]}.
    best_ : RankedStructure
        The same with its evidence, predictions and `module()`, a plain `torch.nn.Module`.
    converged_ : bool or None
        Whether more steps would hardly raise the evidence of the best structure, None where that isn't known; where
        they would, `fit` gives scikit-learn's `ConvergenceWarning`.
    predictor_ : Predictor
        The mixture over structures that predictions come from.
    n_features_in_ : int
        Number of columns seen in `fit`; `feature_names_in_` holds their names, if they have any.

    """

    target_kinds: ClassVar[tuple[str, ...]]
    """Kinds of targets that the likelihood may have; the first is that of the default."""
    default_likelihood: ClassVar[str]

    def __init__(
        self,
        spec: Mapping[str, Any] | None = None,
        *,
        activations: Sequence[str] | None = None,
        widths: Sequence[int] | None = None,
        restarts: int | None = None,
        steps: int | None = None,
        samples: int = 256,
        random_state: Any = None,
    ) -> None:
        self.spec = spec
        self.activations = activations
        self.widths = widths
        self.restarts = restarts
        self.steps = steps
        self.samples = samples
        self.random_state = random_state

    def posterior_predictive(self, X: Any) -> Prediction:
        """Mean, standard deviation and draws of y for rows X (rows, features), over weights and structures."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        predictor: Predictor = self.predictor_
        return predictor.predict(rows, self.samples)

    def _fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Fit to inputs (rows, features) and targets (rows, targets), which have been checked."""
        names = getattr(self, "feature_names_in_", [f"x{index}" for index in range(X.shape[1])])
        targets = tuple(f"y{index}" for index in range(y.shape[1])) if y.shape[1] > 1 else ("y",)
        table = Table(X, y, tuple(map(str, names)), targets)
        study = study_from_table(self._document(), table, self._overrides())
        self._check(study)
        self.ranking_, self.predictor_, self.best_ = carried_out(study)
        self.best_structure_ = self.best_.structure
        self.converged_ = self.best_.converged
        if self.converged_ is False:
            warnings.warn(not_converged(self.best_, study), ConvergenceWarning, stacklevel=3)
        return self

    def _document(self) -> dict[str, object]:
        """The spec with the model filled in."""
        spec = dict(self.spec or {})
        model = {"likelihood": self.default_likelihood, **spec.get("model", {})}
        if "edges" not in model:
            activations = ACTIVATIONS if self.activations is None else self.activations
            widths = WIDTHS if self.widths is None else self.widths
            model = {**model, **one_hidden_layer(activations, widths)}
        elif self.activations is not None or self.widths is not None:
            raise ValueError("activations and widths describe the default model, but spec has edges; leave either out")
        return {"structflow": 1, "name": type(self).__name__, **spec, "model": model}

    def _overrides(self) -> list[str]:
        """Parameters that change keys of the spec."""
        seed = self.random_state
        if seed is not None and not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        values = {"optimizer.restarts": self.restarts, "optimizer.inner.steps": self.steps, "seed": seed}
        return [f"{key}={value}" for key, value in values.items() if value is not None]

    def _check(self, study: Study) -> None:
        """Raise `ValueError` for a spec that this estimator can't stand for."""
        likelihood = study.spec.model.likelihood.type
        if registry().get("likelihoods", likelihood).target not in self.target_kinds:
            fits = ", ".join(
                name
                for name, registered in registry().of_kind("likelihoods").items()
                if registered.plugin.target in self.target_kinds
            )
            raise ValueError(f"{type(self).__name__} got the likelihood {likelihood!r}; expected one of {fits}")
        if study.spec.sweep:
            raise ValueError("spec has a sweep; search over its values with scikit-learn, or use structflow.run")
        if study.spec.trackers:
            raise ValueError("spec has trackers, which follow a run directory; leave them out, or use structflow.run")


def not_converged(best: RankedStructure, study: Study) -> str:
    """What to say about a best structure that has not converged."""
    steps = numbers_of_steps(study.spec)[-1]
    return (
        f"the best structure had not converged after {steps:,} steps: as many again would gain about "
        f"{best.entry.still_gaining:.2g} nats; raise steps"
    )


def carried_out(study: Study) -> tuple[list[RankingEntry], Predictor, RankedStructure]:
    """Ranking, mixture and best structure of a study, carried out in a temporary directory; all on the CPU."""
    with TemporaryDirectory(prefix="structflow-") as folder:
        begun = open_run(study, Path(folder) / study.spec.name, None)
        seconds = carry_out(begun, lambda progress: None)
        context = open_context(str(begun.directory.path.resolve()))
        summary = summarise(context, seconds)
        ranking = summary.ranking
        if not ranking:
            raise CallError("\n".join(["no member could be trained and evaluated", *summary.warnings]))
        mixture = mixture_of(context, ranking).to("cpu")
        best = predictor_of(context, ranking[:1], [1.0]).to("cpu")
    context_of_revision.cache_clear()  # it holds what was in the directory
    return ranking, mixture, RankedStructure(ranking[0], best)
