"""Opens a cluster for a run and closes it again; the only code that knows how Dask starts workers."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from ..errors import CallError, ClusterError, StructflowError
from .cluster_options import ClusterOptions, Cuda, Local, Queue, Scheduler
from .failures import in_one_line
from .main_guard import starting_workers
from .scheduler_address import refuse_what_is_no_scheduler

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy import Cluster
    from distributed.security import Security

QUEUES = {
    "slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster",
    "htcondor": "HTCondorCluster", "oar": "OARCluster", "moab": "MoabCluster",
}  # fmt: skip
"""Classes of dask-jobqueue."""


@contextmanager
def connected(options: ClusterOptions) -> Iterator[Client]:
    """A Dask client of the cluster; what was started for it is ended with it, what ran already goes on.

    Raises `ClusterError` where it can't be reached or started.
    """
    distributed = imported("distributed", "cluster")
    with quiet(), contextlib.ExitStack() as stack:
        address: str | Cluster
        security = None
        if isinstance(options, Scheduler):
            address, security = options.address, security_of(options)
            warn_without_tls(options)
            refuse_what_is_no_scheduler(address, security, options.wait_seconds)
        else:
            with interrupts_ignored(), failures_in_words(options), starting_workers():
                address = start(options)
            stack.callback(address.close)
        try:
            client = distributed.Client(address, security=security, timeout=options.wait_seconds)
        except (OSError, ValueError, TypeError, ImportError) as error:
            raise ClusterError(
                f"no scheduler answers at {address}: {error}; check the address and that it runs"
            ) from error
        stack.callback(disconnected, client)
        yield client


def disconnected(client: Client) -> None:
    """Close a client, on a busy machine without its scheduler's answer: why the run ends matters more."""
    with contextlib.suppress(Exception):
        client.close(timeout=5)


@contextmanager
def failures_in_words(options: ClusterOptions) -> Iterator[None]:
    """Raise `ClusterError` for whatever Dask raises where a cluster can't be started."""
    try:
        yield
    except StructflowError:
        raise
    except Exception as error:
        raise ClusterError(
            f"can't start the cluster of type {options.type}: {in_one_line(error)}; check the cluster file, and the "
            "memory, processes and ports that this machine allows"
        ) from error


def start(options: ClusterOptions) -> Cluster:
    """A cluster of one's own, with its workers asked for."""
    if isinstance(options, Local):
        imported("cryptography", "cluster")
        from .local_cluster import local_cluster  # with Dask's scheduler, which not everyone has

        return local_cluster(options)
    if isinstance(options, Cuda):
        cuda = imported("dask_cuda", "cuda")
        imported("cryptography", "cluster")
        return cuda.LocalCUDACluster(
            CUDA_VISIBLE_DEVICES=options.devices,
            threads_per_worker=1,
            resources=offered(options),
            host="127.0.0.1",
            dashboard_address=None,
            security=imported("distributed.security", "cluster").Security.temporary(),
        )
    assert isinstance(options, Queue)
    cluster = queue_cluster(options)
    cluster.scale(jobs=options.jobs)
    return cluster


def queue_cluster(options: Queue) -> Cluster:
    """The cluster of a queueing system, before any job is submitted; `job_script()` shows what a job is."""
    jobqueue = imported("dask_jobqueue", "queue")
    cluster_class = getattr(jobqueue, QUEUES[options.type])
    known = {"queue": options.queue, "account": options.account, "walltime": options.walltime}
    resources = ",".join(f"{name}={number:g}" for name, number in options.resources.items())
    own = {
        "job_script_prologue": [f"export OMP_NUM_THREADS={options.cores}"],
        "worker_extra_args": ["--resources", resources] if resources else [],
    }
    given = {name: value for name, value in known.items() if value is not None}
    try:
        lists = {name: [*first, *options.options.get(name, [])] for name, first in own.items()}
        # one task at a time: the job's cores are the threads of its operations
        return cluster_class(
            **{"cores": 1, "processes": 1, "memory": options.memory, **job_cores(options), **given},
            **{**options.options, **lists},
        )
    except (TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise CallError(f"dask-jobqueue can't use this cluster file: {reason}; look at its options") from error


def job_cores(options: Queue) -> dict[str, str | int]:
    """How a queueing system is told the cores of a job."""
    if options.type == "slurm":
        return {"job_cpu": options.cores}
    if options.type == "pbs" and "resource_spec" not in options.options:
        return {"resource_spec": f"select=1:ncpus={options.cores}:mem={options.memory}"}
    if options.type == "lsf":
        return {"ncpus": options.cores}
    return {}


def offered(options: ClusterOptions) -> dict[str, float]:
    """Resources that each worker of one's own cluster offers: what a training task takes."""
    if isinstance(options, Cuda):
        return {"GPU": 1, **options.resources}
    return dict(options.resources)


def security_of(options: Scheduler) -> Security | None:
    """TLS for a connection to a scheduler, if its files are given."""
    if options.tls is None:
        return None
    security = imported("distributed.security", "cluster").Security
    ca, cert, key = (str(path) for path in (options.tls.ca, options.tls.cert, options.tls.key))
    return security(tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, require_encryption=True)


def warn_without_tls(options: Scheduler) -> None:
    """Say so where anyone on the way could read or change what is sent: a scheduler elsewhere, without TLS."""
    host = options.address.partition("://")[2].rpartition(":")[0].strip("[]")
    if not options.address.startswith(("tls://", "wss://")) and host not in ("127.0.0.1", "localhost", "::1"):
        sys.stderr.write(
            f"warning: the connection to {options.address} is not encrypted, and whoever reaches that scheduler can "
            "run code on its workers; use tls:// beyond a network of your own\n"
        )


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Processes that are started here don't hear Ctrl-C, which a terminal sends to all: this one ends them."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may change handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def quiet() -> Iterator[None]:
    """Dask's own log lines are about connections; what matters of them is said in our words."""
    if os.environ.get("STRUCTFLOW_DASK_LOGS"):
        yield
        return
    names = ("distributed", "distributed.worker", "distributed.nanny", "distributed.client", "distributed.scheduler")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def imported(module: str, extra: str) -> ModuleType:
    """A module of an extra; raises `ClusterError` saying how to install it."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise ClusterError(f"this needs the package {package}: pip install 'structflow[{extra}]'") from error
