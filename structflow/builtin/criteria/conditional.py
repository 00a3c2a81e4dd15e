"""Log evidence of later rows given the first ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from ...errors import Problem
from ...plugins import Criterion, Estimate, Options, ScoredMembers
from .evidence_score import evidence_score


class ConditionalOptions(Options):
    """Keys of `criterion` with `type: conditional`."""

    first: float = Field(0.7, gt=0, lt=1, description="Share of the training rows that come first.")
    orders: int = Field(
        2, ge=1, le=100, description="Orders of the rows, at random and no row last in two: at most 1 / (1 − first)."
    )


class Conditional(Criterion):
    """log p(y) − log p(y_{≤k}) averaged over orders of the rows, k of them first: log p(y_{>k} | y_{≤k}).

    What the prior alone accounts for in log p(y) drops out; the rest says how well later rows are predicted, which
    tracks test log likelihood where the evidence doesn't. Each order is a member of its own, trained on its first
    rows, with an h of its own; the best restart of each counts. Both terms are Laplace's evidence where q fits a
    curvature, else evidence lower bounds. Lotfi et al., "Bayesian model selection, the marginal likelihood, and
    generalization" (2022).
    """

    type = "conditional"
    Options = ConditionalOptions
    label = "conditional evid."
    needs_density = True
    of_parts = True

    @staticmethod
    def fold_count(options: ConditionalOptions) -> int:
        return options.orders

    @staticmethod
    def fold_of_row(options: ConditionalOptions, rows: int, labels: np.ndarray | None, seed: int) -> np.ndarray:
        size = last_rows(options, rows)
        order = np.random.Generator(np.random.Philox(key=seed)).permutation(rows)
        numbers = np.zeros(rows, dtype=np.int64)
        for number in range(options.orders):
            numbers[order[number * size : (number + 1) * size]] = number + 1
        return numbers

    @staticmethod
    def fold_problems(options: ConditionalOptions, rows: int) -> list[Problem]:
        size = last_rows(options, rows)
        if size < 1 or size >= rows:
            message = f"got {options.first:g} of {rows} training rows, which leaves none on one side"
            return [Problem("criterion.first", message, "leave at least one row first and one row last")]
        if size * options.orders > rows:
            message = f"got {options.orders}, but {size} of {rows} training rows are last in each, and none in two"
            return [Problem("criterion.orders", message, f"use at most {rows // size}, or raise criterion.first")]
        return []

    @staticmethod
    def combined(options: ConditionalOptions, whole: float, parts: Sequence[float]) -> float:
        return whole - float(np.mean(parts))

    @staticmethod
    def score(options: Any, members: ScoredMembers) -> Estimate:
        return evidence_score(members)


def last_rows(options: ConditionalOptions, rows: int) -> int:
    """Rows that are last in each order."""
    return rows - round(options.first * rows)
