"""Every training row, held out in turn."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from ...errors import Problem
from ...plugins import Options
from .held_out_rows import HeldOutRows, fewest, numbered


class CrossValidationOptions(Options):
    """Keys of `criterion` with `type: cross_validation`."""

    folds: int = Field(5, ge=2, le=1000, description="Folds that are held out in turn.")


class CrossValidation(HeldOutRows):
    """Σ_k log p of the rows of fold k under what was learned from the others, over K shuffled folds.

    Labels keep their shares in every fold where there are enough of each.
    """

    type = "cross_validation"
    Options = CrossValidationOptions

    @staticmethod
    def fold_count(options: CrossValidationOptions) -> int:
        return options.folds

    @staticmethod
    def fold_of_row(options: CrossValidationOptions, rows: int, labels: np.ndarray | None, seed: int) -> np.ndarray:
        from sklearn.model_selection import KFold, StratifiedKFold  # slow to import

        split = StratifiedKFold if fewest(labels) >= options.folds else KFold
        splitter = split(options.folds, shuffle=True, random_state=seed % 2**32)
        return numbered(rows, (held_out for _, held_out in splitter.split(np.zeros((rows, 1)), labels)))

    @staticmethod
    def fold_problems(options: CrossValidationOptions, rows: int) -> list[Problem]:
        if options.folds <= rows:
            return []
        message = f"got {options.folds}, but there are {rows} training rows"
        return [Problem("criterion.folds", message, "use no more folds than rows")]
