"""A server of the test's own between oms and its exchange: it sees every request and does with it what the test says.

    with between(sandbox, act) as server: ...   # act(conn, seen, carry) gives the bytes of the answer; None: the end

`carry(seen)` lets the exchange process the request and gives its whole answer. Signatures do not cover the host, so
what passes is valid there.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.sandbox.running import Sandbox
from tests.venue.hostile import Conn, Hostile, Seen, hostile, http

Carry = Callable[[Seen], bytes]
Act = Callable[[Conn, Seen, Carry], "bytes | None"]
_OF_ONE_HOP = ("connection", "content-length", "transfer-encoding", "keep-alive", "host")


def is_create(seen: Seen) -> bool:
    """Whether it is the creation of one order."""
    return seen.method == "POST" and seen.target.endswith("/portfolio/events/orders")


def carrier(sandbox: Sandbox) -> Carry:
    """Carries one request to that exchange, and gives its answer as the bytes of a whole response."""
    url = urlsplit(sandbox.base_url)

    def carry(seen: Seen) -> bytes:
        headers = {name: value for name, value in seen.headers.items() if name not in _OF_ONE_HOP}
        with closing(HTTPConnection(str(url.hostname), url.port or 80, timeout=30)) as connection:
            connection.request(seen.method, seen.target, seen.body or None, headers)
            answer = connection.getresponse()
            body = answer.read()
            kept = [f"{name}: {value}" for name, value in answer.getheaders() if name.lower() not in _OF_ONE_HOP]
        return http(answer.status, body, *kept)

    return carry


@contextmanager
def between(sandbox: Sandbox, act: Act) -> Iterator[Hostile]:
    """That server for the length of a `with`; its `base_url` is the exchange's as oms is to see it."""
    carry = carrier(sandbox)

    def script(conn: Conn) -> None:
        while (seen := conn.read_request()) is not None:
            answer = act(conn, seen, carry)
            if answer is None:
                return
            conn.send(answer)

    with hostile(script) as server:
        yield server
