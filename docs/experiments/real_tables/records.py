"""Settings of the study, what is kept of every split, and the file that it is kept in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Settings:
    """Sizes of both searches; together with the table and the split they decide every number."""

    restarts: int = 2
    steps: int = 600
    samples: int = 128
    fold_steps: int = 200
    folds: int = 5
    compiled: bool = True

    def gradient_steps(self, structures: int) -> int:
        """Steps of the evidence's search: one step of one member counts one."""
        return structures * self.restarts * self.steps

    def trials(self, structures: int) -> int:
        """Trials of cross-validation that with the last fit take no more gradient steps than the evidence's search."""
        return (self.gradient_steps(structures) - self.fold_steps) // (self.folds * self.fold_steps)


QUICK = Settings(restarts=1, steps=10, samples=8, fold_steps=5, folds=5, compiled=False)
"""Too few steps for any conclusion: only to see that everything works."""


@dataclass(frozen=True, order=True)
class Candidate:
    """A structure of the spec: tanh or relu units, how many, a second hidden layer or not, a straight part or not."""

    activation: str
    width: int
    deeper: bool
    straight: bool

    @classmethod
    def of_structure(cls, structure: Mapping[str, Any]) -> Self:
        """From the form of `structflow show --json`."""
        return cls(
            structure["x->h"][0].removeprefix("dense:"),
            structure["h"][0],
            structure["h->g"][0] != "zero",
            bool(structure["x->y"]),
        )

    @classmethod
    def of_name(cls, name: str) -> Self:
        """The inverse of `name`."""
        activation, width, *parts = name.split()
        return cls(activation, int(width), "deeper" in parts, "straight" in parts)

    @property
    def name(self) -> str:
        """Such as "tanh 8 deeper straight"."""
        parts = [self.activation, str(self.width)]
        return " ".join(parts + ["deeper"] * self.deeper + ["straight"] * self.straight)


@dataclass(frozen=True)
class Scored:
    """One structure after the evidence's search: log evidence in nats, and its metrics on the test rows.

    `metrics` holds `log_likelihood`, the mean log predictive density a row, and `rmse` or `accuracy`.
    """

    log_evidence: float
    log_evidence_se: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class CrossValidated:
    """What cross-validation picked: the structure, its score a row, its hyperparameters, and its fit on all rows."""

    chosen: str
    score: float
    learning_rate: float
    precision: float
    test_log_likelihood: float
    trials: int
    gradient_steps: int
    seconds: float


@dataclass(frozen=True)
class SplitRecord:
    """Everything that is kept of one split of one table; structures by their names."""

    table: str
    split: int
    train_rows: int
    test_rows: int
    inputs: int
    structures: dict[str, Scored]
    cross_validation: CrossValidated
    seconds: float
    settings: Settings = field(default_factory=Settings)

    @property
    def picked(self) -> str:
        """The structure with the highest log evidence; equal ones by name."""
        return min(self.structures, key=lambda name: (-self.structures[name].log_evidence, name))

    def regret(self, name: str) -> float:
        """Best test log likelihood of all structures less that of this one, in nats a row."""
        return self.oracle - self.structures[name].metrics["log_likelihood"]

    @property
    def oracle(self) -> float:
        """The best test log likelihood of all structures, in nats a row."""
        return max(scored.metrics["log_likelihood"] for scored in self.structures.values())

    def as_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The inverse of `as_json`."""
        values = json.loads(line)
        values["structures"] = {name: Scored(**scored) for name, scored in values["structures"].items()}
        values["cross_validation"] = CrossValidated(**values["cross_validation"])
        values["settings"] = Settings(**values["settings"])
        return cls(**values)


def read_records(path: Path) -> list[SplitRecord]:
    """The splits in a file; a line that a kill cut short is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(SplitRecord.from_json(line))
        except json.JSONDecodeError:
            continue
    return records


def append_record(path: Path, record: SplitRecord) -> None:
    """Add a split to a file, on a line of its own even where a kill cut the last one short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cut_short = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if cut_short else "") + record.as_json() + "\n")
