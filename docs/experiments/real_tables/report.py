"""The tables of the study: regret of what each criterion picked, split by split, averaged with standard errors."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from .records import SplitRecord
from .symmetry import picked_with_symmetry


@dataclass(frozen=True)
class Mean:
    """A mean over splits and its standard error, NaN for a single split."""

    value: float
    error: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Mean and s/√n of the values, s their sample standard deviation."""
        listed = list(values)
        error = statistics.stdev(listed) / math.sqrt(len(listed)) if len(listed) > 1 else math.nan
        return cls(statistics.fmean(listed), error)

    def __str__(self) -> str:
        return f"{self.value:.4f} ± {self.error:.4f}"


@dataclass(frozen=True)
class TableResult:
    """One table averaged over its splits; regrets are in nats a test row.

    `evidence` and `cross_validation` are the regrets of the structure that each picked, in one and the same list of
    test log likelihoods; `difference` is the second less the first, paired by split, above 0 where the evidence is
    better. `random` is the mean regret of all structures. `refit` is the oracle less the test log likelihood of
    cross-validation's own network. `best_fixed` is the smallest mean regret that any single structure has.
    `symmetry` is the regret of what log evidence picks with the term of its symmetric modes.
    """

    name: str
    splits: int
    train_rows: int
    test_rows: int
    inputs: int
    evidence: Mean
    cross_validation: Mean
    difference: Mean
    random: Mean
    refit: Mean
    best_fixed: float
    symmetry: Mean
    same_choice: int
    metric: str
    evidence_metric: Mean
    cross_validation_metric: Mean


def table_result(records: Sequence[SplitRecord]) -> TableResult:
    """Average the splits of one table."""
    first = records[0]
    metric = next(name for name in ("rmse", "accuracy") if name in next(iter(first.structures.values())).metrics)
    chosen = [record.cross_validation.chosen for record in records]
    by_evidence = [record.regret(record.picked) for record in records]
    by_folds = [record.regret(name) for record, name in zip(records, chosen, strict=True)]
    return TableResult(
        name=first.table,
        splits=len(records),
        train_rows=first.train_rows,
        test_rows=first.test_rows,
        inputs=first.inputs,
        evidence=Mean.of(by_evidence),
        cross_validation=Mean.of(by_folds),
        difference=Mean.of(theirs - ours for ours, theirs in zip(by_evidence, by_folds, strict=True)),
        random=Mean.of(statistics.fmean(map(record.regret, record.structures)) for record in records),
        refit=Mean.of(record.oracle - record.cross_validation.test_log_likelihood for record in records),
        best_fixed=min(statistics.fmean(record.regret(name) for record in records) for name in first.structures),
        symmetry=Mean.of(record.regret(picked_with_symmetry(record)) for record in records),
        same_choice=sum(record.picked == name for record, name in zip(records, chosen, strict=True)),
        metric=metric,
        evidence_metric=Mean.of(record.structures[record.picked].metrics[metric] for record in records),
        cross_validation_metric=Mean.of(
            record.structures[name].metrics[metric] for record, name in zip(records, chosen, strict=True)
        ),
    )


def table_results(records: Sequence[SplitRecord]) -> list[TableResult]:
    """The result of every table, in the order in which they first appear."""
    names = dict.fromkeys(record.table for record in records)
    return [table_result([record for record in records if record.table == name]) for name in names]


def printed(results: Sequence[TableResult]) -> str:
    """Both tables in Markdown, and a line for each bar."""
    lines = [
        "| table | rows: train + test | inputs | regret, evidence | regret, cross-validation | difference "
        "| random structure | best fixed structure | refit of cross-validation | same choice |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {each.name} | {each.train_rows} + {each.test_rows} | {each.inputs} | {each.evidence} "
        f"| {each.cross_validation} | {each.difference} | {each.random.value:.4f} | {each.best_fixed:.4f} "
        f"| {each.refit} | {each.same_choice} of {each.splits} |"
        for each in results
    ]
    lines += ["", "| table | metric | evidence | cross-validation | regret, evidence with the symmetry term |"]
    lines += ["|---|---|--:|--:|--:|"]
    lines += [
        f"| {each.name} | {each.metric} | {each.evidence_metric} | {each.cross_validation_metric} | {each.symmetry} |"
        for each in results
    ]
    median = statistics.median(each.evidence.value for each in results)
    rival = statistics.median(each.cross_validation.value for each in results)
    symmetry = statistics.median(each.symmetry.value for each in results)
    better = [each.name for each in results if each.difference.value > 0]
    clear = [each.name for each in results if abs(each.difference.value) > 2 * each.difference.error]
    fitted = [each.name for each in results if each.refit.value < each.evidence.value]
    lines += [
        "",
        f"median regret over tables: evidence {median:.4f}, cross-validation {rival:.4f}, "
        f"evidence with the symmetry term {symmetry:.4f} nats a row",
        f"the evidence is better on {len(better)} of {len(results)} tables: {', '.join(better) or 'none'}",
        f"differences of more than two standard errors: {', '.join(clear) or 'none'}",
        f"cross-validation's own network predicts better than the evidence's structure on {len(fitted)} of "
        f"{len(results)} tables: {', '.join(fitted) or 'none'}",
    ]
    return "\n".join(lines)
