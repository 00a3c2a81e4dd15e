"""A package of plugins without plugins: where it is installed, training obeys orders after every step.

Orders are files in the folder that the environment variable STRUCTFLOW_SABOTAGE names:

- `hold`: whoever has more than `HOLD_AFTER` steps of a stage behind it waits until the file is gone, and makes a file
  `holding` to say so.
- `lives.json`: `{"seed": s, "kinds": [...], "deaths": n}`. The first n processes that train die in one of these ways,
  after a number of steps that follows from the seed.
- `fatal.json`: `{"kind": k, "task": t}`. Every process that does this task dies in this way.

Ways to die: `exit`, `terminate` (SIGTERM), `kill` (SIGKILL), `segfault`, and `memory`, which takes 1.25 GiB and waits
until somebody ends the process.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import time
from functools import wraps
from pathlib import Path
from typing import Any

from structflow.plugins import hookimpl
from structflow.runner.interruption import TimedCheckpoints

HOLD_AFTER = 10
LONGEST_LIFE = 40
CHUNK_BYTES = 64 * 2**20
CHUNKS = 20

steps_done = 0
life: int | None = None
honest = TimedCheckpoints.is_due


@wraps(honest)
def obedient(checkpoints: TimedCheckpoints, step: int, steps: int) -> bool:
    """What the loop asks after every step."""
    folder = os.environ.get("STRUCTFLOW_SABOTAGE")
    if folder:
        obey(Path(folder), checkpoints.slots.task, step)
    return honest(checkpoints, step, steps)


TimedCheckpoints.is_due = obedient


def obey(folder: Path, task: str, step: int) -> None:
    """Do what the orders say."""
    global steps_done
    steps_done += 1
    if (folder / "fatal.json").exists():
        orders = json.loads((folder / "fatal.json").read_text())
        if orders["task"] == task:
            die(orders["kind"])
    if (folder / "lives.json").exists():
        die_by_lot(folder)
    while step > HOLD_AFTER and (folder / "hold").exists():
        (folder / "holding").touch()
        time.sleep(0.01)


def die_by_lot(folder: Path) -> None:
    """Die when this life is over; lives are numbered in the order in which processes begin to train."""
    global life
    orders = json.loads((folder / "lives.json").read_text())
    if life is None:
        life = next_life(folder)
    lot = random.Random(f"{orders['seed']}/{life}")
    length, kind = lot.randrange(1, LONGEST_LIFE), lot.choice(orders["kinds"])
    if life < orders["deaths"] and steps_done >= length:
        (folder / f"died-{life}-{kind}").touch()
        die(kind)


def next_life(folder: Path) -> int:
    """A number that no other process has."""
    number = 0
    while True:
        try:
            (folder / f"life-{number}").touch(exist_ok=False)
            return number
        except FileExistsError:
            number += 1


def die(kind: str) -> None:
    """End this process."""
    if kind == "exit":
        os._exit(7)
    if kind == "memory":
        taken = [b"x" * CHUNK_BYTES for _ in range(CHUNKS)]
        while taken:
            time.sleep(0.01)
    if kind == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), {"terminate": signal.SIGTERM, "kill": signal.SIGKILL}[kind])
    time.sleep(60)  # until the signal is heard


@hookimpl
def basis_functions() -> list[type[Any]]:
    """None."""
    return []
