"""Keeps the memory of large tensors in the process between steps."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

MMAP_THRESHOLD = -3
TRIM_THRESHOLD = -1
KEPT_BYTES = 2**30


@cache
def keep_large_blocks() -> bool:
    """Ask glibc to reuse freed blocks below `KEPT_BYTES` rather than give them back; returns whether it agreed.

    By default it maps every large block anew, and the page faults of each step cost an uncompiled program a third of
    its time. Elsewhere than on Linux with glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all(
        mallopt(ctypes.c_int(option), ctypes.c_int(KEPT_BYTES)) == 1 for option in (MMAP_THRESHOLD, TRIM_THRESHOLD)
    )
