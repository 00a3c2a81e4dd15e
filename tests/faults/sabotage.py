"""Orders to processes that train, and what they need to hear them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import studies

PACKAGE = Path(__file__).parent / "saboteur"


@dataclass(frozen=True)
class Sabotage:
    """A folder of orders."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """With it a process finds the package, and the package the orders."""
        return {"PYTHONPATH": path_with(PACKAGE), "STRUCTFLOW_SABOTAGE": str(self.folder)}

    def hold(self) -> None:
        """Whoever trains waits after a few steps."""
        (self.folder / "hold").touch()

    @property
    def is_holding(self) -> bool:
        """Whether somebody waits."""
        return (self.folder / "holding").exists()

    def release(self) -> None:
        """Go on."""
        (self.folder / "hold").unlink()
        (self.folder / "holding").unlink(missing_ok=True)

    def kill_some(self, seed: int, kinds: Sequence[str], deaths: int) -> None:
        """The first so many processes that train die by lot."""
        (self.folder / "lives.json").write_text(json.dumps({"seed": seed, "kinds": list(kinds), "deaths": deaths}))

    def kill_every(self, kind: str, task: str) -> None:
        """Whoever does a training task dies."""
        (self.folder / "fatal.json").write_text(json.dumps({"kind": kind, "task": task}))

    def pardon(self) -> None:
        """Nobody dies any more."""
        for name in ("lives.json", "fatal.json"):
            (self.folder / name).unlink(missing_ok=True)

    @property
    def deaths(self) -> list[str]:
        """How processes died by lot, in no order."""
        return [path.name.rpartition("-")[2] for path in self.folder.glob("died-*")]


def path_with(*folders: Path) -> str:
    """PYTHONPATH with folders before what it has."""
    return os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])


def change(package: Path) -> None:
    """One more line in one module of a copy of structflow, whose version stays the same."""
    with (package / "objective" / "bound.py").open("a") as module:
        module.write("\nFORGOTTEN = True\n")


def study(batches: int) -> dict[str, Any]:
    """One small network, with two restarts for each batch."""
    edges = [{"from": "x", "to": "h", "basis": ["dense"]}, studies.LAST]
    return studies.spec(
        model=studies.model(edges, h={"shape": [2]}),
        optimizer={"inner": {"steps": 60}, "restarts": 2 * batches},
        compute={"compile": False, "members_per_batch": 2, "checkpoint_seconds": 0},
    )
