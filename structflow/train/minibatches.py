"""Which rows a step sees: the same for every member, a function of seed, stage and step alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .stream_order import seeded_permutation


@lru_cache(maxsize=8)
def epoch_permutation(seed: int, stage: str, epoch: int, rows: int) -> np.ndarray:
    """The order of the rows in one epoch."""
    return seeded_permutation(f"minibatches/{seed}/{stage}/{epoch}", rows)


def minibatch_rows(seed: int, stage: str, step: int, rows: int, batch_size: int) -> np.ndarray:
    """Row numbers of one step: each epoch runs once through a fresh permutation, in full batches.

    The rows left over at the end of an epoch, fewer than a batch, wait for the next one.
    """
    per_epoch = rows // batch_size
    epoch, position = divmod(step, per_epoch)
    return epoch_permutation(seed, stage, epoch, rows)[position * batch_size : (position + 1) * batch_size]
