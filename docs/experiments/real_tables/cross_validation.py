"""The rival: 5-fold cross-validation of point estimates, the structure and two hyperparameters proposed by Optuna.

Every trial is one structure with one learning rate and one prior precision, trained on each fold's other rows; its
score is the mean held-out log likelihood a row. The best trial's structure is the choice, and its network is fitted
once more on all training rows. One step of one fold's network counts as one gradient step.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import optuna
import torch
from sklearn.model_selection import KFold, StratifiedKFold

from structflow.data.dataset import Dataset

from .point_networks import Rows, fit, log_likelihoods
from .records import Candidate, CrossValidated, Settings

LEARNING_RATES = (1e-3, 1e-1)
PRECISIONS = (1e-2, 1e2)
"""Ranges of what Optuna proposes beside the structure, uniform in the logarithm."""


def rows_of(dataset: Dataset, arrays: tuple[np.ndarray, np.ndarray]) -> Rows:
    """Rows as the run prepared them, in single precision."""
    inputs, targets = arrays
    x = torch.from_numpy(inputs).float()
    if dataset.n_classes:
        return Rows(x, torch.from_numpy(targets[:, 0]).long(), dataset.n_classes)
    return Rows(x, torch.from_numpy(targets).float(), 0)


def held_out(dataset: Dataset, folds: int, seed: int) -> np.ndarray:
    """(folds, rows), 1 for the rows that a fold holds out; folds keep the shares of the classes."""
    _, targets = dataset.train()
    splitter = StratifiedKFold if dataset.n_classes else KFold
    mask = np.zeros((folds, len(targets)), dtype=np.float32)
    for fold, (_, rows) in enumerate(splitter(folds, shuffle=True, random_state=seed).split(targets, targets[:, 0])):
        mask[fold, rows] = 1
    return mask


def propose(trial: optuna.trial.BaseTrial, candidates: Sequence[Candidate]) -> tuple[Candidate, float, float]:
    """A structure, a learning rate and a prior precision."""
    candidate = Candidate(
        trial.suggest_categorical("activation", sorted({each.activation for each in candidates})),
        trial.suggest_categorical("width", sorted({each.width for each in candidates})),
        trial.suggest_categorical("deeper", [False, True]),
        trial.suggest_categorical("straight", [False, True]),
    )
    return (
        candidate,
        trial.suggest_float("learning_rate", *LEARNING_RATES, log=True),
        trial.suggest_float("precision", *PRECISIONS, log=True),
    )


def cross_validate(dataset: Dataset, candidates: Sequence[Candidate], settings: Settings, seed: int) -> CrossValidated:
    """Search with as many gradient steps as the evidence had, and fit the choice on all training rows."""
    begun = time.process_time()
    rows = rows_of(dataset, dataset.train())
    out = torch.from_numpy(held_out(dataset, settings.folds, seed))
    shift = float(np.log(dataset.target_scale).sum())

    def score(trial: optuna.Trial) -> float:
        candidate, learning_rate, precision = propose(trial, candidates)
        weights = fit(candidate, rows, 1 - out, learning_rate, precision, settings.fold_steps, seed)
        total = (log_likelihoods(candidate, weights, rows) * out).sum()
        if not torch.isfinite(total):
            raise optuna.TrialPruned  # it diverged
        return float(total) / rows.inputs.shape[0] - shift

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    trials = settings.trials(len(candidates))
    study.optimize(score, n_trials=trials)
    chosen, learning_rate, precision = propose(optuna.trial.FixedTrial(study.best_params), candidates)
    everything = torch.ones(1, rows.inputs.shape[0])
    weights = fit(chosen, rows, everything, learning_rate, precision, settings.fold_steps, seed)
    test = log_likelihoods(chosen, weights, rows_of(dataset, dataset.test()))
    return CrossValidated(
        chosen=chosen.name,
        score=study.best_value,
        learning_rate=learning_rate,
        precision=precision,
        test_log_likelihood=float(test.double().mean()) - shift,
        trials=trials,
        gradient_steps=(trials * settings.folds + 1) * settings.fold_steps,
        seconds=time.process_time() - begun,
    )
