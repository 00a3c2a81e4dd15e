"""Real schedulers and workers that are lost, frozen or wrong: the end is the same, or says what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import studies
from clusters import DaskCluster, cluster, wait_until

pytestmark = pytest.mark.faults

STUDY = studies.spec(
    optimizer={"inner": {"steps": 1000}, "restarts": 8},
    compute={"compile": False, "members_per_batch": 2, "checkpoint_seconds": 0.3},
)
"""Eight batches of a few seconds."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    studies.run(STUDY, folder / "run")
    return studies.digests(folder / "run")


@pytest.fixture
def dask(tmp_path):
    with cluster(tmp_path / "dask") as made:
        yield made


def submitted(folder: Path, dask: DaskCluster, *arguments: str) -> subprocess.Popen[str]:
    """The run, from a process that only submits it."""
    studies.write(STUDY, folder)
    return subprocess.Popen(
        studies.command("run", "spec.yaml", "-o", "run", "--quiet", "--scheduler", dask.address, *arguments),
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def trained(folder: Path) -> list[Path]:
    return list((folder / "run").glob("records/*-train.json"))


def training(folder: Path) -> list[Path]:
    """Checkpoints of what is being trained."""
    return list((folder / "run").glob("checkpoints/*/step-*"))


def test_a_run_is_submitted_and_a_worker_joins_midway(tmp_path, dask, undisturbed):
    """Both workers do something; the records are those of a run in one process."""
    dask.worker("first")
    process = submitted(tmp_path, dask)
    wait_until(lambda: training(tmp_path), "the first worker trains")
    dask.worker("second")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert studies.digests(tmp_path / "run") == undisturbed
    assert (out, err) == ("", "")
    done_by = {record["worker"] for record in studies.records(tmp_path / "run").values()}
    assert done_by == {"first", "second"}


def test_a_killed_worker(tmp_path, dask, undisturbed):
    """Fault 1: SIGKILL mid-stage; the other worker goes on from the checkpoint, and the log says so."""
    dask.worker("first")
    process = submitted(tmp_path, dask)
    wait_until(lambda: training(tmp_path), "a stage is half-way")
    dask.worker("second")
    dask.processes["first"].kill()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "was lost while it did setting0-round0-batch" in err
    assert "(attempt 1); the task is done again elsewhere" in err
    assert studies.digests(tmp_path / "run") == undisturbed


def test_a_frozen_worker_that_thaws(tmp_path, dask, undisturbed):
    """Fault 7: it is replaced after 12 s without a sign of life; what it commits late is dropped."""
    dask.worker("first")
    process = submitted(tmp_path, dask)
    wait_until(lambda: training(tmp_path), "a stage is half-way")
    dask.worker("second")
    os.killpg(dask.processes["first"].pid, signal.SIGSTOP)
    frozen = {path.parent.name for path in training(tmp_path)}
    wait_until(
        lambda: any((tmp_path / "run" / "records" / f"{name}.json").exists() for name in frozen), "it is replaced"
    )
    os.killpg(dask.processes["first"].pid, signal.SIGCONT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert studies.digests(tmp_path / "run") == undisturbed


def test_a_killed_scheduler(tmp_path, dask, undisturbed):
    """Fault 5: the command ends within 60 s, says how far it is, and goes on elsewhere to the same end."""
    dask.worker("first")
    process = submitted(tmp_path, dask)
    wait_until(lambda: trained(tmp_path), "a batch is trained")
    dask.processes["scheduler"].kill()
    started = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - started < 60
    assert process.returncode == 4, err
    assert "lost the scheduler" in err
    assert f"of {len(undisturbed)} tasks are committed; the same command continues the run" in err
    assert "Traceback" not in err
    continued = studies.call("run", "spec.yaml", "-o", "run", "--quiet", cwd=tmp_path)
    assert continued.returncode == 0, continued.stderr
    assert studies.digests(tmp_path / "run") == undisturbed


def test_a_stage_that_kills_every_worker(tmp_path):
    """Fault 2: given up after its budget, by name and with its candidates; what can be done is committed."""
    spec = studies.write(STUDY, tmp_path)
    file = tmp_path / "cluster.yaml"
    file.write_text("{type: local, workers: 2, deaths: 1}\n")
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "if os.environ.get('STRUCTFLOW_TEST_KILLS'):\n"
        "    import importlib.abc, sys\n"
        "    class Finder(importlib.abc.MetaPathFinder):\n"
        "        def find_spec(self, name, path, target=None):\n"
        "            if name == 'structflow.runner.run_task':\n"
        "                sys.meta_path.remove(self)\n"
        "                import structflow.runner.run_task as module\n"
        "                honest = module.perform\n"
        "                def perform(context, task, slots):\n"
        "                    if task.name == os.environ['STRUCTFLOW_TEST_KILLS']:\n"
        "                        os._exit(1)\n"
        "                    return honest(context, task, slots)\n"
        "                module.perform = perform\n"
        "    sys.meta_path.insert(0, Finder())\n"
    )
    fatal = "setting0-round0-batch3-stage0-train"
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    called = studies.call(
        "run", spec, "-o", "run", "--quiet", "--cluster", file, cwd=tmp_path, PYTHONPATH=path,
        STRUCTFLOW_TEST_KILLS=fatal,
    )  # fmt: skip
    assert called.returncode == 4, called.stderr
    assert f"workers kept dying while they did {fatal}" in called.stderr
    assert "2 member(s) are of:" in called.stderr
    assert "x->h" in called.stderr
    assert "--set compute.members_per_batch=1" in called.stderr
    assert len(trained(tmp_path)) == 7
    continued = studies.call("run", spec, "-o", "run", "--quiet", cwd=tmp_path)
    assert continued.returncode == 0, continued.stderr


def test_a_resource_that_nobody_offers(tmp_path, dask):
    """Fault 10: refused by name within 10 s."""
    dask.worker("first")
    studies.write(STUDY, tmp_path)
    file = tmp_path / "cluster.yaml"
    file.write_text(f"{{type: scheduler, address: '{dask.address}', resources: {{GPU: 1}}}}\n")
    wait_until(lambda: "Registered to" in (tmp_path / "dask" / "first.log").read_text(), "the worker is there")
    started = time.monotonic()
    called = studies.call("run", "spec.yaml", "-o", "run", "--cluster", file, cwd=tmp_path)
    assert called.returncode == 4
    assert "training needs 1 of the resource GPU" in called.stderr
    assert time.monotonic() - started < 10 + 10  # the second ten for starting Python and torch on a busy machine
    assert not (tmp_path / "run").exists()


def test_a_worker_with_other_versions(tmp_path, dask):
    """Fault 17: refused with a table before training."""
    package = tmp_path / "other" / "zarr-3.0.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: zarr\nVersion: 3.0.0\n")
    path = os.pathsep.join([str(tmp_path / "other"), os.environ.get("PYTHONPATH", "")])
    dask.worker("other", PYTHONPATH=path)
    process = submitted(tmp_path, dask)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 4
    assert "zarr 3.0.0; here 3." in err
    assert "install the same versions everywhere" in err
    assert not trained(tmp_path)


def test_nobody_answers(tmp_path):
    studies.write(STUDY, tmp_path)
    file = tmp_path / "cluster.yaml"
    file.write_text("{type: scheduler, address: 'tcp://127.0.0.1:9', wait_seconds: 2}\n")
    called = studies.call("run", "spec.yaml", "-o", "run", "--cluster", file, cwd=tmp_path)
    assert called.returncode == 4
    assert "no scheduler answers at tcp://127.0.0.1:9" in called.stderr
    assert not (tmp_path / "run").exists()


def test_a_scheduler_without_workers(tmp_path, dask):
    studies.write(STUDY, tmp_path)
    file = tmp_path / "cluster.yaml"
    file.write_text(f"{{type: scheduler, address: '{dask.address}', wait_seconds: 1}}\n")
    called = studies.call("run", "spec.yaml", "-o", "run", "--cluster", file, cwd=tmp_path)
    assert called.returncode == 4
    assert "no worker joined the scheduler within 1 s" in called.stderr
