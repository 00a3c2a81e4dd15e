"""What cluster files and options say, and what queueing systems are sent."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from structflow.errors import CallError, SpecError
from structflow.runner.cluster_options import Local, Queue, Scheduler, cluster_of, read_cluster_file
from structflow.runner.clusters import queue_cluster, warn_without_tls


def described(folder: Path, text: str):
    file = folder / "cluster.yaml"
    file.write_text(text)
    return read_cluster_file(file)


def test_kinds(tmp_path):
    assert described(tmp_path, "{type: local, workers: 3}") == Local(workers=3)
    tls = {"ca": "a.pem", "cert": "b.pem", "key": "c.pem"}
    found = described(tmp_path, "type: scheduler\naddress: tls://h:1\ntls: {ca: a.pem, cert: b.pem, key: c.pem}\n")
    assert found == Scheduler(address="tls://h:1", tls=tls)
    assert described(tmp_path, "{type: pbs, jobs: 2, cores: 4}") == Queue(type="pbs", jobs=2, cores=4)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("type: local\nworkers: 0\n", 2, "workers"),
        ("type: local\n\nwokers: 2\n", 3, "wokers"),
        ("type: scheduler\naddress: here\n", 2, "address"),
        ("type: cloud\n", 1, "cloud"),
        ("workers: 2\n", None, "type"),
        ("type: slurm\nresources: {GPU: -1}\n", 2, "resources.GPU"),
        ("type: local\nworkers: !!python/object:os.system 2\n", 2, "tag"),
    ],
)
def test_wrong_files_name_the_key(tmp_path, text, line, words):
    with pytest.raises(SpecError, match=words) as caught:
        described(tmp_path, text)
    if line is not None:
        assert caught.value.problems[0].line == line


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CallError, match=r"can't read the cluster file .*: No such file"):
        read_cluster_file(tmp_path / "none.yaml")


def test_options_of_the_command(tmp_path):
    assert cluster_of(None, None, None) is None
    assert cluster_of(2, None, None) == Local(workers=2)
    assert cluster_of(None, "tcp://127.0.0.1:8786", None) == Scheduler(address="tcp://127.0.0.1:8786")
    with pytest.raises(CallError, match="got --workers and --scheduler; expected one of them"):
        cluster_of(2, "tcp://127.0.0.1:8786", None)
    with pytest.raises(CallError, match=r"--scheduler is '127\.0\.0\.1'; expected an address as tcp://"):
        cluster_of(None, "127.0.0.1", None)


def test_a_slurm_job_is_the_golden_one():
    """The script of a job, letter by letter, but for where Python and the scheduler are."""
    options = Queue(
        type="slurm", jobs=8, cores=4, memory="8GiB", walltime="04:00:00", queue="normal", account="lab",
        resources={"GPU": 1}, options={"job_extra_directives": ["--gres=gpu:1"]},
    )  # fmt: skip
    cluster = queue_cluster(options)
    try:
        script = cluster.job_script()
    finally:
        cluster.close()
    script = re.sub(r"tcp://\S+", "ADDRESS", script.replace(sys.executable, "PYTHON"))
    assert script == Path(__file__).with_name("slurm_job.txt").read_text()


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("tcp://10.0.0.1:8786", True),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://localhost:8786", False),
        ("tcp://[::1]:8786", False),
        ("tls://10.0.0.1:8786", False),
    ],
)
def test_a_scheduler_elsewhere_without_tls_is_warned_of(capsys, address, warned):
    """Fault 22, second half."""
    warn_without_tls(Scheduler(address=address))
    assert ("is not encrypted" in capsys.readouterr().err) == warned
