"""Which training rows are held out together, for presets that judge by rows they didn't learn from."""

from __future__ import annotations

import numpy as np

from .dataset import Dataset


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
