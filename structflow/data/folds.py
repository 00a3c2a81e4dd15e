"""Which training rows are held out together, for presets that judge by rows they didn't learn from, and the units of
those that are learned from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..plugins import StandardizeOptions
from .dataset import Dataset
from .moments import moments


def held_out_folds(dataset: Dataset, preset: str, folds: int, share: float, seed: int) -> np.ndarray:
    """For every training row the fold (from 1) that holds it out, or 0 for rows that are never held out: (rows,).

    `cross_validation` shuffles the rows into `folds` folds, `hold_out` holds a `share` of them out in fold 1. Labels
    keep their shares in every fold where there are enough of each.
    """
    # here, because only these presets pay for its import
    from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold, StratifiedShuffleSplit

    _, targets = dataset.train()
    labels = targets[:, 0] if dataset.target_kind in ("classes", "binary") else None
    rows = np.zeros(len(targets), dtype=np.int64)
    state = seed % 2**32
    fewest = 0 if labels is None else int(np.unique(labels, return_counts=True)[1].min())
    n_labels = 0 if labels is None else len(np.unique(labels))
    n_held_out = int(np.ceil(share * len(rows)))
    if preset == "hold_out":
        stratified = fewest >= 2 and n_labels <= min(n_held_out, len(rows) - n_held_out)
    else:
        stratified = fewest >= folds
    if preset == "hold_out":
        share_split = StratifiedShuffleSplit if stratified else ShuffleSplit
        splitter = share_split(1, test_size=share, random_state=state)
    else:
        fold_split = StratifiedKFold if stratified else KFold
        splitter = fold_split(folds, shuffle=True, random_state=state)
    for number, (_, held_out) in enumerate(splitter.split(rows.reshape(-1, 1), labels), start=1):
        rows[held_out] = number
    return rows


@dataclass(frozen=True)
class FoldUnits:
    """The units of the rows that one fold learns from: own = (prepared − shift) / scale.

    Shifts and scales are of the prepared data's own units, (*input_shape) and (targets,).
    """

    input_shift: np.ndarray
    input_scale: np.ndarray
    target_shift: np.ndarray
    target_scale: np.ndarray

    def inputs(self, prepared: np.ndarray) -> np.ndarray:
        """Prepared inputs (rows, *input_shape) in the fold's units."""
        return np.asarray((prepared - self.input_shift) / self.input_scale)

    def targets(self, prepared: np.ndarray) -> np.ndarray:
        """Prepared targets (rows, targets) in the fold's units."""
        return np.asarray((prepared - self.target_shift) / self.target_scale)


def fold_units(dataset: Dataset, learned: np.ndarray, standardize: StandardizeOptions) -> FoldUnits:
    """The units in which the `learned` training rows (rows,) have mean 0 and variance 1, where the spec wants that.

    So nothing of a row that is held out enters what is learned without it, not even by the moments of all training
    rows. A column that is constant in the learned rows is shifted to 0 and keeps the table's own unit.
    """
    x, y = dataset.train()
    x = x[learned].reshape(int(learned.sum()), -1)
    shift, scale = unit_moments(x, dataset.input_scale.ravel(), standardize.inputs)
    wanted = standardize.targets and dataset.target_kind == "continuous"
    target_shift, target_scale = unit_moments(y[learned], dataset.target_scale, wanted)
    shape = dataset.input_shape
    return FoldUnits(shift.reshape(shape), scale.reshape(shape), target_shift, target_scale)


def unit_moments(values: np.ndarray, table_scale: np.ndarray, wanted: bool | str) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale of the columns of prepared values (rows, columns), which had `table_scale` in the table."""
    columns = values.shape[1]
    if not wanted:
        return np.zeros(columns), np.ones(columns)
    if wanted == "together":
        shift, scale = (np.repeat(moment, columns) for moment in moments(values.reshape(-1, 1)))
    else:
        shift, scale = moments(values)
    return shift, np.where(scale == 0, 1 / table_scale, scale)
