"""A basis function that obeys orders while it is trained: it waits, dies or takes memory, and computes as dense does.

Orders are files in the folder that the environment variable STRUCTFLOW_SABOTAGE names:

- `hold`: whoever has computed `HOLD_AFTER` times since it started waits until the file is gone, and makes a
  file `holding` to say so.
- `lives.json`: `{"seed": s, "kinds": [...], "deaths": n}`. The first n processes die in one of these ways, after a
  number of computations that follows from the seed.
- `fatal.json`: `{"kind": k, "outputs": n}`. Every process that computes the function with n outputs dies in this way.

Ways to die: `exit`, `terminate` (SIGTERM), `kill` (SIGKILL), `segfault`, and `memory`, which takes memory until
somebody ends the process.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import time
from pathlib import Path

import torch
from torch import Tensor

from structflow.plugins import BasisFunction, BasisOptions, Shape, hookimpl

HOLD_AFTER = 10
MOST_COMPUTATIONS = 40
CHUNK_BYTES = 64 * 2**20

computations = 0
life: int | None = None


class Saboteur(BasisFunction):
    """g(x; W, b) = tanh(xᵀW + b) for vectors x; W is (inputs, outputs), b is (outputs,)."""

    type = "saboteur"

    @classmethod
    def weight_shapes(cls, options: BasisOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        return {"weight": (*in_shape, *out_shape), "bias": out_shape}

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        folder = os.environ.get("STRUCTFLOW_SABOTAGE")
        if folder:
            obey(Path(folder), weights["bias"].shape[-1])
        return torch.tanh(x @ weights["weight"] + weights["bias"])


def obey(folder: Path, outputs: int) -> None:
    """Do what the orders say."""
    global computations
    computations += 1
    if (folder / "fatal.json").exists():
        orders = json.loads((folder / "fatal.json").read_text())
        if orders["outputs"] == outputs:
            die(orders["kind"])
    if (folder / "lives.json").exists():
        die_by_lot(folder)
    while computations > HOLD_AFTER and (folder / "hold").exists():
        (folder / "holding").touch()
        time.sleep(0.01)


def die_by_lot(folder: Path) -> None:
    """Die when this life is over; lives are numbered in the order in which processes begin to compute."""
    global life
    orders = json.loads((folder / "lives.json").read_text())
    if life is None:
        life = next_life(folder)
    lot = random.Random(f"{orders['seed']}/{life}")
    length, kind = lot.randrange(1, MOST_COMPUTATIONS), lot.choice(orders["kinds"])
    if life < orders["deaths"] and computations >= length:
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
        taken = []
        while True:
            taken.append(b"x" * CHUNK_BYTES)
            time.sleep(0.02)
    if kind == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), {"terminate": signal.SIGTERM, "kill": signal.SIGKILL}[kind])
    time.sleep(60)  # until the signal is heard


@hookimpl
def basis_functions() -> list[type[BasisFunction]]:
    """The one plugin."""
    return [Saboteur]
