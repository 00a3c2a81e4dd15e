"""The exact names of what structflow writes in a run directory: nothing else is ever deleted as one of its files."""

from __future__ import annotations

import re

PLAN = "plan.json"
"""Written last when a run is started, and moved first when it is archived: without a plan a run isn't started."""

SETTINGS, RUN = "settings.json", "run.json"

START_FILES = ("spec.yaml", "resolved.yaml", SETTINGS, "environment.json", RUN, PLAN)
"""Files that are written once, when a run is started."""

START_MANIFEST = "opening.manifest.json"
"""The manifest of what a run was started with; its name is that of the first versions."""

DATA, DATA_MANIFEST = "data.npz", "data.manifest.json"
"""The prepared data, and their manifest."""

SUMMARY, RESULT = "summary.json", "result.zarr"

RESULT_MANIFEST = "result.manifest.json"
"""The manifest of the public results."""

LOCATION = "source.json"
"""Says where the rows of a streamed table are found."""

CERTIFICATE = "certificate.json"

LOCK = "run.lock"
"""The file that is locked; it says who holds the lock, and stays when nobody does."""

RECORDS, CHECKPOINTS, EARLIER = "records", "checkpoints", "earlier"
"""Folders: of records, of what is half done, and of the revisions before an extension."""

MEMBERS, EVALUATIONS = "members", "evaluations"
"""Folders of entries by key, which all revisions of a run have in common."""

TASK = r"setting\d+-(?:select|round\d+-(?:decide|batch\d+-(?:evaluate|stage\d+-train)))"
"""Names of tasks, as `Task.name` makes them."""

TASK_NAME = re.compile(TASK)
RECORD_FILE = re.compile(rf"({TASK})\.json")
ENTRY_INDEX = re.compile(r"([0-9a-f]{32})\.json")
ENTRY_ARRAYS = re.compile(r"([0-9a-f]{32})\.[0-9a-f]{12}\.npz")
ENTRY_FILE = re.compile(rf"{ENTRY_INDEX.pattern}|{ENTRY_ARRAYS.pattern}")
CHECKPOINT_FILE = re.compile(r"step-\d{12}\.npz")
CHECKPOINT_PART = re.compile(r"[0-9a-f]{16}")
"""The folder, within that of a task, of its checkpoints of some members in some layout."""

MARK = r"[0-9a-f]{32}"
"""Ends the name of a file that isn't whole yet, which begins with a dot."""

ZARR_FILE = re.compile(rf"(?:.*/)?(?:zarr\.json|c(?:/\d+)*|(?:c/(?:\d+/)*)?(?:zarr|c|\d+)\.{MARK}\.partial)")
"""A file of a Zarr hierarchy, by its path within it, also one that isn't whole."""

TOP_FILES = (*START_FILES, START_MANIFEST, DATA, DATA_MANIFEST, SUMMARY, RESULT_MANIFEST, LOCATION, CERTIFICATE)
"""All files at the top of a run directory but the lock, which is written in place."""

OWN_NAMES = (*TOP_FILES, LOCK, RESULT, RECORDS, MEMBERS, EVALUATIONS, CHECKPOINTS, EARLIER)
"""Everything of structflow's own at the top of a run directory."""


def finished_name(name: str) -> str | None:
    """The name that an unfinished file was to get; None for the name of anything else."""
    found = re.fullmatch(rf"\.(.+)\.{MARK}", name)
    return None if found is None else found[1]
