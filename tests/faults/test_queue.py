"""SLURM, with a stand-in `sbatch` that starts each job's script on this machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import sabotage as sabotaged
import studies
from clusters import called

pytestmark = pytest.mark.faults

SBATCH = """#!/bin/sh
# Keeps the script, starts it in the background in a session of its own, and answers as SLURM does.
cp "$1" "$JOBS/$$.sh"
setsid bash "$JOBS/$$.sh" > "$JOBS/job-$$.log" 2>&1 &
echo $! > "$JOBS/$$.pid"
echo "Submitted batch job $$"
"""

SCANCEL = """#!/bin/sh
for job in "$@"; do kill -- "-$(cat "$JOBS/$job.pid")"; done
"""


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment in which the stand-ins are found."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, script in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(script)
        (folder / name).chmod(stat.S_IRWXU)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "JOBS": str(folder)}


def test_a_run_on_slurm(tmp_path, slurm):
    """Two jobs are submitted, do the run, and are cancelled; the records are those of one process."""
    document = sabotaged.study(batches=2)
    spec = studies.write(document, tmp_path)
    file = tmp_path / "cluster.yaml"
    file.write_text("{type: slurm, jobs: 2, memory: 1GiB, options: {scheduler_options: {host: 127.0.0.1}}}\n")
    called("run", spec, "-o", "run", "--quiet", "--cluster", file, cwd=tmp_path, code=0, **slurm)
    assert len(list(Path(slurm["JOBS"]).glob("*.pid"))) == 2
    workers = {record["worker"] for record in studies.records(tmp_path / "run").values()}
    assert workers
    assert None not in workers
    here = studies.run(document, tmp_path / "here")
    assert studies.digests(tmp_path / "run") == studies.digests(here.path)
    assert studies.result_digests(tmp_path / "run") == studies.result_digests(here.path)
