"""The units of the training rows that a fold learns from, where other rows are held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..plugins import StandardizeOptions
from .dataset import Dataset
from .moments import moments


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
