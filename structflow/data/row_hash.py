"""A number of 64 bits for every row that looks random and is a function of a key and the row's number alone."""

from __future__ import annotations

import hashlib

import numpy as np

STEP = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)


def row_hashes(key: str, begin: int, end: int) -> np.ndarray:
    """Hashes of the rows numbered `begin` to `end`, (end − begin,) in uint64.

    The outputs number i of SplitMix64 (Steele, Lea and Flood 2014) seeded by the SHA-256 of the key, which are all
    different: z = seed + (i + 1) · STEP, mixed by two multiplications.
    """
    seed = np.uint64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little"))
    with np.errstate(over="ignore"):
        z = seed + (np.arange(begin, end, dtype=np.uint64) + np.uint64(1)) * STEP
        z = (z ^ (z >> np.uint64(30))) * FIRST
        z = (z ^ (z >> np.uint64(27))) * SECOND
        hashes: np.ndarray = z ^ (z >> np.uint64(31))
    return hashes
