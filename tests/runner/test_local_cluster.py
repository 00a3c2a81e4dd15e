"""Worker processes of this machine: nobody else gives them commands, and they serve no pages."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl

import psutil
import pytest
from distributed import Client, Security

from structflow.errors import SpecError, StructflowError
from structflow.runner.cluster_checks import wait_for_workers
from structflow.runner.cluster_options import Local, Queue, read_cluster_file
from structflow.runner.clusters import connected


def listening_ports() -> set[int]:
    """Ports that this process and those below it listen on."""
    own = psutil.Process()
    return {
        found.laddr.port
        for process in (own, *own.children(recursive=True))
        for found in process.net_connections("inet")
        if found.status == psutil.CONN_LISTEN
    }


def page_at(port: int, encrypted: bool) -> bytes:
    """What the first bytes of an answer to an HTTP request are."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain) if encrypted else plain as connection,
    ):
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.recv(8)
    return b""


@pytest.mark.thorough
def test_workers_of_this_machine_are_closed_to_others():
    """A client without the keys, or with keys of its own, is turned away; no port answers HTTP, encrypted or not."""
    before = listening_ports()
    with connected(Local(workers=1)) as client:
        wait_for_workers(client, 60)
        assert client.submit(os.getpid).result() != os.getpid()
        ports = listening_ports() - before
        assert len(ports) == 3  # the scheduler, the worker, and the process that starts it anew
        for port in ports:
            assert [page_at(port, encrypted) for encrypted in (False, True)] == [b"", b""]
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        for stranger in (Security(), Security.temporary()):
            with pytest.raises(Exception, match=r"TLS|SSL|certificate|handshake|Timed out|closed"):
                Client(address, security=stranger, timeout=2)
        assert client.submit(int, "7").result() == 7
    assert listening_ports() <= before


@pytest.mark.thorough
def test_only_a_dashboard_that_is_asked_for_is_served():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with connected(Local(workers=1, dashboard=f"127.0.0.1:{port}")) as client:
        wait_for_workers(client, 60)
        assert page_at(port, False).startswith(b"HTTP/")
        assert client.dashboard_link == f"http://127.0.0.1:{port}/status"


@pytest.mark.parametrize("text", ["1KiB", "100MB", "much", "-4GiB", "0", "4 GB and more", "nan", ""])
@pytest.mark.parametrize("kind", ["{type: local, memory_limit: '%s'}", "{type: slurm, memory: '%s'}"])
def test_memory_that_no_worker_starts_within(tmp_path, kind, text):
    """It ended in a traceback of a worker that never came."""
    file = tmp_path / "cluster.yaml"
    file.write_text(kind % text)
    with pytest.raises(SpecError, match=r"memory(_limit)?: .*expected (one such as 4GiB|1GiB or more)"):
        read_cluster_file(file)


@pytest.mark.parametrize("text", ["4GiB", "400MiB", "1e0", "2 TB", "0.5GiB", "1500000000"])
def test_memory(text):
    if text == "1e0":
        with pytest.raises(ValueError, match="not an amount of memory"):
            Local(memory_limit=text)
    else:
        assert Local(memory_limit=text).memory_limit == text


def test_options_that_a_queue_does_not_know():
    """Of the scheduler, which raised a traceback of three screens; and of the cluster's class."""
    unknown = {"no_such_option": 1}
    for options, words in (
        ({"scheduler_options": unknown}, "no_such_option"),
        (unknown, "no_such_option"),
        ({"job_script_prologue": 5}, "look at its options"),
    ):
        with pytest.raises(StructflowError, match=words) as caught, connected(Queue(type="slurm", options=options)):
            pass
        assert len(str(caught.value).splitlines()) == 1
