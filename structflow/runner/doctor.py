"""What structflow needs from a machine, checked one by one."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from ..plugins.registry import registry
from ..train.compiler_cache import compiler_cache
from ..train.program import can_compile
from .machine import threads_for_one_process


@dataclass(frozen=True)
class Finding:
    """One check: what was found, whether that will do, and what to do where it won't."""

    check: str
    ok: bool
    found: str
    remedy: str | None = None


def examine() -> list[Finding]:
    """All checks, in the order they matter."""
    plugins = sum(len(kind) for kind in registry().kinds.values())
    broken = "".join(f"; broken: {each.origin}: {each.reason}" for each in registry().broken)
    cuda = f"cuda: {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "cpu; torch finds no CUDA device"
    return [
        Finding("python", sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11 or newer"),
        Finding("torch", True, torch.__version__),
        Finding("device", True, cuda),
        Finding("threads", True, str(threads_for_one_process())),
        optional("compiler", can_compile("cpu"), "runs train without compilation", "install g++ or clang++"),
        writable("compiler cache", compiler_cache()),
        writable("this folder", Path.cwd()),
        Finding("plugins", not broken, f"{plugins} loaded{broken}", "repair or uninstall the broken package"),
        optional("cluster", installed("distributed"), "no --workers", "pip install 'structflow[cluster]'"),
        optional("plot", installed("matplotlib"), "no figures", "pip install 'structflow[plot]'"),
    ]


def installed(module: str) -> bool:
    """Whether a module can be imported."""
    return importlib.util.find_spec(module) is not None


def optional(check: str, there: bool, without: str, remedy: str) -> Finding:
    """Something that structflow can do without."""
    return Finding(check, True, "there" if there else f"missing: {without}", None if there else remedy)


def writable(check: str, folder: Path) -> Finding:
    """Whether files can be made in a folder, or in the nearest one above it that exists."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing):
            return Finding(check, True, f"{folder} is writable")
    except OSError as error:
        return Finding(check, False, f"{folder}: {error.strerror}", f"make {os.fspath(existing)} writable")
