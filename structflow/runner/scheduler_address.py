"""Whether a Dask scheduler may be at an address: checked before Dask's client connects, which would wait for ever or
run out of memory.

The client trusts whatever listens there: it waits for a silent server without end, and takes the first bytes of a page
for the length of a message, which would need 3 EiB of memory.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING

from ..errors import ClusterError

if TYPE_CHECKING:
    from distributed.security import Security

MOST_FRAMES = 1000
"""A Dask server greets with a message of a few frames, whose number comes first, in 8 bytes."""

PATIENCE = 5.0
"""Seconds without a greeting after which it is asked whether a web server is there; a busy scheduler takes longer."""

REFUSED = 20.0
"""Seconds to wait for a scheduler whose machine says that nobody listens at the port, since it may be starting."""

Place = tuple[str, int]


def place_of(address: str) -> Place:
    """Host and port of an address; raises `ClusterError` where no scheduler can be at such a port."""
    found = re.fullmatch(r"\w+://(\[[^\]]+\]|[^:/\[\]]+):([^/]*)/*", address)
    if found is None:
        raise ClusterError(f"{address} names no host and port; expected an address such as tcp://10.0.0.1:8786")
    host, port = found[1].strip("[]"), found[2]
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        raise ClusterError(f"{address} has the port {port!r}; expected a number from 1 to 65535")
    return host, int(port)


def refuse_what_is_no_scheduler(address: str, security: Security | None, seconds: float) -> None:
    """Raise `ClusterError` unless whatever listens at an address greets like a Dask server, within so many seconds.

    `security` is Dask's, with TLS for `tls://` addresses.
    """
    place = place_of(address)
    if not address.startswith(("tcp://", "tls://")):  # others greet in other ways
        return
    context = security.get_connection_args("client").get("ssl_context") if security is not None else None
    if address.startswith("tls://") and context is None:
        raise ClusterError(f"{address} needs TLS; give its files in a cluster file: tls: {{ca: …, cert: …, key: …}}")
    deadline = time.monotonic() + seconds
    greeting = greeting_of(address, place, context, deadline)
    if len(greeting) < 8 or not 0 < struct.unpack("<Q", greeting)[0] <= MOST_FRAMES:
        shown = f"it says {greeting!r}" if greeting else "it closes the connection"
        raise ClusterError(f"what listens at {address} is not a Dask scheduler: {shown}; check the address")


def greeting_of(address: str, place: Place, context: ssl.SSLContext | None, deadline: float) -> bytes:
    """The first bytes that a place sends; raises `ClusterError` where nothing listens or nothing is sent."""
    with connection_to(address, place, deadline) as plain:
        try:
            plain.settimeout(max(0.01, deadline - time.monotonic()))
            with context.wrap_socket(plain, server_hostname=None) if context is not None else plain as connection:
                connection.settimeout(max(0.01, min(PATIENCE, deadline - time.monotonic())))
                with contextlib.suppress(TimeoutError):
                    return read_eight(connection)
                if answers_http(place, context is not None):
                    raise ClusterError(f"what listens at {address} is a web server, not a Dask scheduler: its port may "
                                       "be that of a dashboard; the scheduler's is often 8786")  # fmt: skip
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                return read_eight(connection)
        except TimeoutError as error:
            raise ClusterError(
                f"no scheduler answers at {address}: something listens there and says nothing; check the address, and "
                "whether it wants tls:// or tcp://"
            ) from error
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise ClusterError(
                f"no scheduler answers at {address}: TLS failed ({error}); check the files of tls, and whether the "
                "scheduler has TLS at all"
            ) from error
        except OSError as error:
            raise ClusterError(f"no scheduler answers at {address}: {error.strerror or error}") from error


def connection_to(address: str, place: Place, deadline: float) -> socket.socket:
    """A connection to a place; raises `ClusterError` where there is none in time, or nobody listens for a while."""
    begun = time.monotonic()
    while True:
        try:
            return socket.create_connection(place, timeout=max(0.01, deadline - time.monotonic()))
        except (OSError, UnicodeError) as error:  # a name may be invalid
            reason = getattr(error, "strerror", None) or error
            now = time.monotonic()
            for_good = isinstance(error, UnicodeError)
            if for_good or now > deadline or (isinstance(error, ConnectionRefusedError) and now > begun + REFUSED):
                raise ClusterError(
                    f"no scheduler answers at {address}: {reason}; check the address, and that the scheduler runs"
                ) from error
            time.sleep(min(0.2, max(0.01, deadline - now)))


def read_eight(connection: socket.socket) -> bytes:
    """Eight bytes, or fewer where the other side closes."""
    found = b""
    while len(found) < 8:
        more = connection.recv(8 - len(found))
        if not more:
            break
        found += more
    return found


def answers_http(place: Place, has_tls: bool) -> bool:
    """Whether a web server answers at a place, which speaks only when spoken to."""
    with contextlib.suppress(OSError), socket.create_connection(place, timeout=PATIENCE) as plain:
        anything = ssl.create_default_context()
        anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
        with anything.wrap_socket(plain) if has_tls else plain as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return read_eight(connection).startswith(b"HTTP/")
    return False
