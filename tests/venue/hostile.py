"""Servers that misbehave on purpose, on a raw socket of this machine; each connection runs a script of the test."""

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    arrived_in_one: bool = False  # headers and body came out of one read


@dataclass
class Conn:
    """The server's end of one connection."""

    sock: socket.socket
    server: "Hostile"
    _rest: bytes = field(default=b"")

    def read_request(self) -> Seen | None:
        """The next whole request, None when the client closed."""
        data, reads = self._rest, 0
        while b"\r\n\r\n" not in data:
            piece = self.sock.recv(65536)
            reads += 1
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        while len(body) < length:
            piece = self.sock.recv(65536)
            reads += 1
            if not piece:
                return None
            body += piece
        self._rest = body[length:]
        seen = Seen(method, target, headers, body[:length], arrived_in_one=reads == 1)
        self.server.requests.append(seen)
        return seen

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Conn], None]


class Hostile:
    """Accepts connections and runs the script on each, in a thread; `requests` is everything that arrived."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.requests: list[Seen] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/trade-api/v2"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            self.script(Conn(sock, self))
        with contextlib.suppress(OSError):
            sock.close()

    def stop(self) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)


@contextlib.contextmanager
def hostile(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[Hostile]:
    """A server for the length of a `with`."""
    server = Hostile(script, tls)
    try:
        yield server
    finally:
        server.stop()


def http(status: int, body: bytes | object = b"", *headers: str) -> bytes:
    """A whole, well-formed answer; anything but bytes becomes JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(raw)}", *headers]
    if not any(line.lower().startswith("date:") for line in headers):
        lines.append(f"Date: {formatdate(usegmt=True)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


def answering(*answers: bytes) -> Script:
    """Each request gets the next of these answers, the last one again and again, on any number of connections."""
    left = list(answers)

    def script(conn: Conn) -> None:
        while conn.read_request() is not None:
            conn.send(left.pop(0) if len(left) > 1 else left[0])

    return script


def routing(route: Callable[[Seen], bytes]) -> Script:
    """Each request is answered by what `route` makes of it."""

    def script(conn: Conn) -> None:
        while (seen := conn.read_request()) is not None:
            conn.send(route(seen))

    return script
