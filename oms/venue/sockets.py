"""Connections that keep one total deadline and know whether a byte of the request was handed over.

Built on urllib3's connections (the ones `requests` uses), because three things matter here that they do not offer:
their timeout is per read, so that a server sending a byte now and then holds a request for ever; they do not say
whether anything left; and they send headers and body apart, so that a kill in between leaves half a request behind.
"""

import io
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from oms.venue.hosts import Host

__all__ = ["DEADLINE_PASSED", "NOT_RESOLVED", "Flight", "SendRefused", "connection_pool"]

DEADLINE_PASSED = "the deadline passed"
NOT_RESOLVED = "the name was not resolved in time"


class SendRefused(Exception):
    """The flight's own guard said no at the last moment; nothing was written."""


class Flight:
    """What one request may and did do; the channel resets it before each request."""

    __slots__ = ("deadline", "guard", "monotonic", "objection", "touched")

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.deadline = 0.0
        self.guard: Callable[[], str] = _no_objection
        self.objection = ""
        self.touched = False

    def begin(self, deadline: float, guard: Callable[[], str]) -> None:
        """Start over, nothing written; `deadline` is monotonic, `guard` is asked before the first byte."""
        self.deadline, self.guard, self.objection, self.touched = deadline, guard, "", False

    def left_s(self) -> float:
        """Seconds until the deadline; TimeoutError when there are none."""
        left = self.deadline - self.monotonic()
        if left <= 0:
            raise TimeoutError(DEADLINE_PASSED)
        return left

    def touch(self) -> None:
        """Called directly before the first byte is written: from here on the outcome is unknown."""
        self.left_s()
        self.objection = self.guard()
        if self.objection:
            raise SendRefused(self.objection)
        self.touched = True


def _no_objection() -> str:
    return ""


def connection_pool(host: Host, flight: Flight, tls: ssl.SSLContext | None) -> HTTPConnectionPool:
    """A pool of one connection to `host` that obeys `flight`; `tls` verifies, always."""
    if host.scheme == "http":
        pool = HTTPConnectionPool(host.name, host.port, maxsize=1, block=False)
        pool.ConnectionCls = _plain(flight)
        return pool
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname
    secure = HTTPSConnectionPool(host.name, host.port, maxsize=1, block=False, ssl_context=tls)
    secure.ConnectionCls = _secure(flight)
    return secure


def _plain(flight: Flight) -> type[HTTPConnection]:
    return type("PlainWire", (_Wire, HTTPConnection), {"flight": flight})


def _secure(flight: Flight) -> type[HTTPSConnection]:
    return type("SecureWire", (_Wire, HTTPSConnection), {"flight": flight})


class _Wire:
    """Mixed in before urllib3's connection: one write per request, every wait bounded by the flight."""

    flight: Flight
    sock: Any
    host: str
    port: int
    _held: bytearray | None = None

    def _new_conn(self) -> socket.socket:
        """TCP to the first address that answers; each address gets its share of the time that is left."""
        addresses = _resolve(self.host, self.port, self.flight.left_s())
        failure: OSError = OSError("the name has no address")
        for place, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(self.flight.left_s() / (len(addresses) - place))
                sock.connect(address)
                sock.settimeout(self.flight.left_s())  # bounds the TLS handshake as a whole
            except OSError as exc:
                sock.close()
                failure = exc
            else:
                return sock
        raise failure

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock = _DeadlineSocket(self.sock, self.flight)

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Collect headers and body, then hand them over in one write."""
        self._held = bytearray()
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
            whole = bytes(self._held)
        finally:
            self._held = None
        if self.sock is None:
            self.connect()
        self.flight.touch()
        super().send(whole)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        assert self._held is not None, "a byte outside of request()"
        self._held += data


class _DeadlineSocket:
    """A connected socket whose every read and write is cut off at the flight's deadline."""

    def __init__(self, sock: socket.socket, flight: Flight) -> None:
        self._sock = sock
        self._flight = flight

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._sock.settimeout(self._flight.left_s())
            rest = rest[self._sock.send(rest) :]

    def makefile(self, mode: str, *args: Any, **kwargs: Any) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(_DeadlineReader(self._sock, self._flight), 65536)

    def settimeout(self, seconds: float | None) -> None:
        """Ignored: the flight's deadline rules."""

    def fileno(self) -> int:
        return self._sock.fileno()

    def shutdown(self, how: int) -> None:
        self._sock.shutdown(how)

    def close(self) -> None:
        self._sock.close()


class _DeadlineReader(io.RawIOBase):
    """The reading half; it holds the socket's own file, so that a close waits until the body is read."""

    def __init__(self, sock: socket.socket, flight: Flight) -> None:
        super().__init__()
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self._flight = flight

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._flight.left_s())
        return self._file.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _resolve(name: str, port: int, timeout_s: float) -> list[tuple[Any, ...]]:
    """The addresses of `name`; the system's resolver knows no deadline, so it is waited for in a thread."""
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as exc:
            found.append(exc)

    asking = threading.Thread(target=ask, name="oms-resolver", daemon=True)
    asking.start()
    asking.join(timeout_s)
    if not found:
        raise TimeoutError(NOT_RESOLVED)
    answer = found[0]
    if isinstance(answer, Exception):
        raise OSError("the name cannot be resolved")
    return list(answer)
