"""A study: a spec together with its data, ready to be planned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from .graph import Graph
from .models import Spec
from .structures import StructureSpace

if TYPE_CHECKING:
    from ..data.dataset import Dataset


@dataclass(frozen=True)
class Setting:
    """One point of the sweep: its values by dotted key, and the spec of each stage (one where none are given).

    The specs of stages have neither `sweep` nor `stages`.
    """

    values: dict[str, JsonValue]
    stages: tuple[Spec, ...]


@dataclass(frozen=True)
class Study:
    """Everything validation found: settings (at least one), the prepared data, the graph and its structures."""

    spec: Spec
    settings: tuple[Setting, ...]
    dataset: Dataset
    graph: Graph
    space: StructureSpace
