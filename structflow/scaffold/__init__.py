"""Packages of plugins to start from: a small example of every kind that works, with its tests."""

from .names import PackageName
from .writer import write_package

__all__ = ["PackageName", "write_package"]
