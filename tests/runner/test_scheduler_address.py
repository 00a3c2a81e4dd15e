"""What listens at an address and is no Dask scheduler is refused in time, in words."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import studies
from distributed import LocalCluster

from structflow.errors import ClusterError
from structflow.runner import scheduler_address
from structflow.runner.cluster_options import Scheduler
from structflow.runner.clusters import connected
from structflow.runner.scheduler_address import place_of, refuse_what_is_no_scheduler

WAIT = 1.0
"""Seconds that a test is willing to wait for a scheduler."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(scheduler_address, "PATIENCE", 0.2)
    monkeypatch.setattr(scheduler_address, "REFUSED", 0.2)


@contextmanager
def server(says: bytes | None) -> Iterator[str]:
    """Something that listens, says this to whoever comes, and closes; None for nothing, with the connection kept."""
    listening, kept = socket.create_server(("127.0.0.1", 0)), []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            kept.append(connection)
            if says is not None:
                connection.sendall(says)
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    with closing(listening):
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def web_server() -> Iterator[str]:
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    try:
        yield f"tcp://127.0.0.1:{serving.server_port}"
    finally:
        serving.shutdown()
        serving.server_close()


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (None, "something listens there and says nothing"),
        (b"", "it closes the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it says b'HTTP/1.1'"),
        (b"220 mail.example.org ESMTP\r\n", "it says b'220 mail'"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "it says b'SSH-2.0-'"),
    ],
    ids=["silent", "closes", "http", "mail", "ssh"],
)
def test_strangers(says, words):
    """A silent one was waited for without end, a page was a MemoryError of 3 EiB."""
    begun = time.monotonic()
    with server(says) as address, pytest.raises(ClusterError, match=words) as caught:
        refuse_what_is_no_scheduler(address, None, WAIT)
    assert time.monotonic() - begun < WAIT + 1
    assert address in str(caught.value)


def test_a_web_server_speaks_when_spoken_to():
    begun = time.monotonic()
    with web_server() as address, pytest.raises(ClusterError, match="is a web server, not a Dask scheduler"):
        refuse_what_is_no_scheduler(address, None, 60)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("port", ["99999", "0", "-1", "text", "", "87 86", "８７８６", "8786.5"])
def test_ports_that_can_not_be(port):
    """At once, although the wait is long; they raised OverflowError or waited for two minutes."""
    begun = time.monotonic()
    with (
        pytest.raises(ClusterError, match="expected a number from 1 to 65535"),
        connected(Scheduler(address=f"tcp://127.0.0.1:{port}", wait_seconds=120)),
    ):
        pass
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("address", ["tcp://127.0.0.1", "tcp://:8786", "tcp://[::1]x:1", "tcp://[::1"])
def test_addresses_without_a_host_or_a_port(address):
    with pytest.raises(ClusterError, match="names no host and port"):
        place_of(address)


def test_hosts():
    assert place_of("tls://[::1]:8786") == ("::1", 8786)
    assert place_of("tcp://node-3.cluster:8786/") == ("node-3.cluster", 8786)


def test_nobody_listens():
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(ClusterError, match=f"no scheduler answers at tcp://127.0.0.1:{port}: Connection refused"):
        refuse_what_is_no_scheduler(f"tcp://127.0.0.1:{port}", None, 120)
    assert time.monotonic() - begun < 5


def test_tls_needs_its_files():
    with pytest.raises(ClusterError, match="needs TLS; give its files in a cluster file"):
        refuse_what_is_no_scheduler("tls://127.0.0.1:8786", None, WAIT)


def test_a_command_ends_with_4(cli, tmp_path):
    """With one message; nothing is left behind."""
    studies.write(studies.spec(), tmp_path)
    called = cli("run", tmp_path / "spec.yaml", "-o", tmp_path / "run", "--scheduler", "tcp://127.0.0.1:99999")
    assert called.code == 4
    assert called.err.startswith("error: tcp://127.0.0.1:99999 has the port '99999'")
    assert len(called.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_schedulers_and_workers(monkeypatch):
    """A scheduler passes. A worker greets in the same way, and isn't taken for one."""
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(**options, protocol="tcp://", host="127.0.0.1") as cluster:
        with connected(Scheduler(address=cluster.scheduler_address, wait_seconds=10)) as client:
            assert client.submit(int, "7").result() == 7
        worker = next(iter(cluster.scheduler.workers))
        with (
            pytest.raises(ClusterError, match=f"no scheduler answers at {worker}"),
            connected(Scheduler(address=worker, wait_seconds=2)),
        ):
            pass
