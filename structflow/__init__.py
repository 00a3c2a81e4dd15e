"""structflow: Bayesian choice of the structure of a neural network, from one spec file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .results.run import Run, run

__all__ = ["Run", "__version__", "run"]


def __getattr__(name: str) -> Any:
    """Load `run` and `Run` when they are first used: importing structflow alone doesn't import torch."""
    if name in ("Run", "run"):
        from .results import run as module

        return getattr(module, name)
    raise AttributeError(f"module 'structflow' has no attribute {name!r}")
