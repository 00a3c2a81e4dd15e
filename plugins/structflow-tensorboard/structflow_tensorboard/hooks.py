"""Registers the tracker of this package."""

from __future__ import annotations

from collections.abc import Iterable

from structflow.plugins import Tracker, hookimpl

from .tracker import TensorBoard


@hookimpl
def trackers() -> Iterable[type[Tracker]]:
    return [TensorBoard]
