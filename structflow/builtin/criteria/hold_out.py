"""A share of the training rows, held out once."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from ...errors import Problem
from ...plugins import Options
from .held_out_rows import HeldOutRows, fewest, numbered


class HoldOutOptions(Options):
    """Keys of `criterion` with `type: hold_out`."""

    held_out: float = Field(0.2, gt=0, lt=1, description="Share of the training rows that is held out.")


class HoldOut(HeldOutRows):
    """log p of the rows held out once, ⌈share · m⌉ of them; labels keep their shares where there are enough of each."""

    type = "hold_out"
    Options = HoldOutOptions

    @staticmethod
    def fold_count(options: HoldOutOptions) -> int:
        return 1

    @staticmethod
    def fold_of_row(options: HoldOutOptions, rows: int, labels: np.ndarray | None, seed: int) -> np.ndarray:
        from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit  # slow to import

        spared = math.ceil(options.held_out * rows)
        kinds = 0 if labels is None else len(np.unique(labels))
        is_stratified = fewest(labels) >= 2 and kinds <= min(spared, rows - spared)
        split = StratifiedShuffleSplit if is_stratified else ShuffleSplit
        splitter = split(1, test_size=options.held_out, random_state=seed % 2**32)
        return numbered(rows, (held_out for _, held_out in splitter.split(np.zeros((rows, 1)), labels)))

    @staticmethod
    def fold_problems(options: HoldOutOptions, rows: int) -> list[Problem]:
        if 1 <= math.ceil(options.held_out * rows) < rows:
            return []
        message = f"got {options.held_out:g} of {rows} training rows, which leaves none on one side"
        return [Problem("criterion.held_out", message, "hold out at least one row and keep at least one")]
