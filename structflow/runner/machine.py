"""What this machine offers: the device, threads and compiler that a plan is made for, and versions for the record."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import distributions
from typing import NamedTuple

import torch

from ..errors import CallError


class Environment(NamedTuple):
    """Versions and machine, for the record of a run."""

    python: str
    platform: str
    cores: int | None
    versions: dict[str, str]


def resolve_device(wanted: str) -> str:
    """`auto` is cuda where there is one; raises `CallError` for a cuda that isn't there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise CallError("compute.device is cuda, but torch finds no CUDA device here; set it to auto or cpu")
    return wanted


def threads_for_one_process() -> int:
    """Cores that this process may use, or fewer if OMP_NUM_THREADS says so."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(wanted))) if wanted.isdecimal() else cores


def environment() -> Environment:
    """Versions and machine, for the record of a run."""
    wanted = ("structflow", "torch", "numpy", "dask", "distributed", "zarr", "xarray", "pydantic", "pluggy")
    versions: dict[str, str] = {}
    for item in distributions():
        if item.name in wanted:
            versions.setdefault(item.name, item.version)  # what is found first is what is imported
    python, cores = sys.version.split()[0], os.cpu_count()
    return Environment(python, platform.platform(), cores, dict(sorted(versions.items())))
