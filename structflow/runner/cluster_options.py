"""Which cluster a run uses: what `--workers`, `--scheduler` and `--cluster FILE` say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from ..errors import CallError, Problem
from ..plugins import Options
from ..spec.document import parse_document
from ..store.regular_files import special_file

LEAST_MEMORY = 400 * 2**20
"""Bytes that a worker needs before it trains anything, most of them for torch."""


def enough_memory(value: str) -> str:
    """A memory limit; raises `ValueError` for anything else, and for one too small for a worker to start."""
    found = re.fullmatch(r"\s*(\d+\.?\d*)\s*([kmgt]?)(i?)b?\s*", value.lower())
    if found is None:
        raise ValueError(f"{value!r} is not an amount of memory; expected one such as 4GiB or 4000MB")
    number, prefix, binary = found.groups()
    if float(number) * (1024 if binary else 1000) ** (" kmgt".index(prefix or " ")) < LEAST_MEMORY:
        raise ValueError(
            f"{value} is less than a worker needs before it trains anything, about {LEAST_MEMORY >> 20} MiB; expected "
            "1GiB or more"
        )
    return value.strip()


Memory = Annotated[str, AfterValidator(enough_memory)]


class Tls(Options):
    """Files of a TLS connection, in PEM format."""

    ca: Path = Field(description="Certificate of the authority that signed the others.")
    cert: Path = Field(description="Certificate of this side.")
    key: Path = Field(description="Private key of this side.")


class Cluster(Options):
    """What every cluster has."""

    resources: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="What a training task takes of a worker, such as {GPU: 1}; on a GPU {GPU: 1} by default."
    )
    wait_seconds: float = Field(
        120.0, gt=0, description="How long to wait for a worker, at the start and where none is left."
    )


class Local(Cluster):
    """Worker processes on this machine."""

    type: Literal["local"] = "local"
    workers: int = Field(2, ge=1, le=1024)
    threads: int = Field(1, ge=1, le=1024, description="Threads of each worker's operations.")
    memory_limit: Memory | None = Field(
        None, description='Memory of each worker, such as "4GiB"; by default an equal share.'
    )
    dashboard: str | None = Field(None, description='Address of Dask\'s dashboard, as ":8787"; by default none.')
    deaths: int = Field(3, ge=0, description="Workers that a task may lose before it counts as failed.")


class Cuda(Cluster):
    """A worker a GPU of this machine, by the package dask-cuda."""

    type: Literal["cuda"]
    devices: str | None = Field(None, description='Devices as in CUDA_VISIBLE_DEVICES, "0,1"; by default all.')


class Queue(Cluster):
    """Workers that are jobs of a queueing system, by the package dask-jobqueue."""

    type: Literal["slurm", "pbs", "sge", "lsf", "htcondor", "oar", "moab"]
    jobs: int = Field(1, ge=1, description="Jobs to submit.")
    cores: int = Field(1, ge=1, description="Cores of a job, which its worker uses as threads of its operations.")
    memory: Memory = Field("4GiB", description="Memory of a job.")
    walltime: str | None = Field(None, description='Longest time of a job, as "01:00:00".')
    queue: str | None = Field(None, description="Queue or partition.")
    account: str | None = None
    options: dict[str, Any] = Field({}, description="Further keyword arguments of dask-jobqueue's cluster class.")


class Scheduler(Cluster):
    """A scheduler that runs already, and whoever works for it."""

    type: Literal["scheduler"] = "scheduler"
    address: str = Field(pattern=r"^(tcp|tls|ws|wss|ucx)://.+", description='As "tcp://10.0.0.1:8786" or "tls://…".')
    tls: Tls | None = None


ClusterOptions = Local | Cuda | Queue | Scheduler

_ADAPTER: TypeAdapter[ClusterOptions] = TypeAdapter(Annotated[ClusterOptions, Field(discriminator="type")])


def cluster_of(workers: int | None, scheduler: str | None, file: Path | None) -> ClusterOptions | None:
    """What the options of a command say, at most one of them; None for this process."""
    given = [
        name
        for name, value in (("--workers", workers), ("--scheduler", scheduler), ("--cluster", file))
        if value is not None
    ]
    if len(given) > 1:
        raise CallError(f"got {' and '.join(given)}; expected one of them: a cluster file says how many workers")
    if workers is not None:
        return Local(workers=workers)
    if scheduler is not None:
        try:
            return Scheduler(address=scheduler)
        except ValidationError as error:
            raise CallError(
                f"--scheduler is {scheduler!r}; expected an address as tcp://10.0.0.1:8786 or tls://10.0.0.1:8786"
            ) from error
    return None if file is None else read_cluster_file(file)


def read_cluster_file(path: Path) -> ClusterOptions:
    """The cluster that a YAML file describes; raises `SpecError` naming every key that is wrong."""
    special = special_file(path)
    if special is not None:
        raise CallError(f"can't read the cluster file {path}: it is {special}; expected a regular file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CallError(f"can't read the cluster file {path}: {error.strerror or error}") from error
    document = parse_document(content, str(path))
    try:
        return _ADAPTER.validate_python(document.data)
    except ValidationError as error:
        problems = []
        for each in error.errors():
            key = ".".join(str(part) for part in each["loc"][1:])
            problems.append(Problem(key or "type", each["msg"].removeprefix("Value error, ")))
        raise document.error(problems) from error


def cluster_from(workers: int | None, cluster: ClusterOptions | str | Path | None) -> ClusterOptions | None:
    """Where to run: None is this process; raises `CallError` for workers and a cluster together."""
    if isinstance(cluster, str | Path):
        cluster = read_cluster_file(Path(cluster))
    if workers is None:
        return cluster
    if cluster is not None:
        raise CallError("got both workers and a cluster; give the workers in the cluster's own description")
    return Local(workers=workers)
