"""A stub exchange as a process of its own, fast enough never to be the limit: `python exchange.py LATENCY_MS [CERT]`.

It answers each create `LATENCY_MS` after it arrived with Kalshi's 201, as resting; reads at once get what a run asks
for when it starts (a huge tier, the orders it has taken since `min_ts`). It checks nothing, not even signatures: what
the real rules cost is the sandbox's business, and here both rivals get the same. It prints its port (and with a
certificate a second one, which speaks TLS), and ends when its stdin closes.

`Stub` starts and asks it from a benchmark.
"""

import asyncio
import http.client
import json
import re
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import parse_qs

PREFIX = "/trade-api/v2"
_STARTED = time.time_ns()
_ID = re.compile(rb'"client_order_id": ?"([^"]*)"')
_COUNT = re.compile(rb'"count": ?"([^"]*)"')
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")


class Told:
    """What the benchmark wants to know afterwards; times are CLOCK_MONOTONIC, one clock for all processes."""

    posts = 0
    orders = 0
    first_ns = 0
    last_ns = 0
    latency_s = 0.0
    taken: ClassVar[list[tuple[int, int, bytes]]] = []  # (ms, orders before it, body)
    arrivals: ClassVar[dict[str, int]] = {}  # client_order_id -> ns


class Answers(asyncio.Protocol):
    """One connection: requests come one at a time, answers go out after the latency."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._held = b""
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        held = self._held + data if self._held else data
        end = held.find(b"\r\n\r\n")
        if end < 0:
            self._held = held
            return
        length = _LENGTH.search(held, 0, end)
        whole = end + 4 + (int(length[1]) if length is not None else 0)
        if len(held) < whole:
            self._held = held
            return
        self._held = held[whole:]
        self._answer(held[: held.find(b" HTTP/1.1")], held[end + 4 : whole])

    def _answer(self, line: bytes, body: bytes) -> None:
        if not line.startswith(b"POST " + PREFIX.encode()):
            self._send(*_read(line.decode().partition(" ")[2]))
            return
        Told.last_ns = time.monotonic_ns()
        Told.first_ns = Told.first_ns or Told.last_ns
        Told.posts += 1
        answer = _created(body)
        if Told.latency_s:
            self._loop.call_later(Told.latency_s, self._send, 201, answer)
        else:
            self._send(201, answer)

    def _send(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


def _created(body: bytes) -> bytes:
    ts_ms = time.time_ns() // 1_000_000
    orders = []
    for client_order_id, count in zip(_ID.findall(body), _COUNT.findall(body), strict=True):
        Told.orders += 1
        Told.arrivals[client_order_id.decode()] = Told.last_ns
        told = (_order_id(Told.orders).encode(), client_order_id, count, ts_ms)
        orders.append(
            b'{"order_id":"%s","client_order_id":"%s","fill_count":"0.00","remaining_count":"%s",'
            b'"average_fill_price":null,"average_fee_paid":null,"ts_ms":%d}' % told
        )
    Told.taken.append((ts_ms, Told.orders - len(orders), body))
    if body.startswith(b'{"orders":['):
        return b'{"orders":[' + b",".join(orders) + b"]}"
    return orders[0]


def _order_id(number: int) -> str:
    return f"stub-{_STARTED}-{number}"  # no two stubs give the same


def _listed(min_ms: int) -> list[dict[str, Any]]:
    """The orders taken since then, as a listing shows them."""
    found = []
    for ts_ms, number, body in Told.taken:
        if ts_ms < min_ms:
            continue
        posted = json.loads(body)
        created = datetime.fromtimestamp(ts_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for place, order in enumerate(posted.get("orders", [posted]), number + 1):
            asked = {name: order[name] for name in ("client_order_id", "ticker")} | {"book_side": order["side"]}
            counts = {"initial_count_fp": order["count"], "fill_count_fp": "0.00", "remaining_count_fp": order["count"]}
            times = {"created_time": created, "last_update_time": created, "user_id": "stub"}
            shown = {"order_id": _order_id(place), "status": "resting", "yes_price_dollars": order["price"]}
            found.append({**shown, **asked, **counts, **times})
    return found


def _read(target: str) -> tuple[int, bytes]:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    bucket = {"refill_rate": 100_000_000, "bucket_capacity": 100_000_000}
    answers: dict[str, Any] = {
        "/exchange/user_data_timestamp": {"as_of_time": now},
        "/exchange/status": {"exchange_active": True, "trading_active": True},
        "/historical/cutoff": dict.fromkeys(("orders_updated_ts", "trades_created_ts"), "2020-01-01T00:00:00Z"),
        "/historical/orders": {"orders": [], "cursor": ""},
        "/account/limits": {"usage_tier": "stub", "read": bucket, "write": bucket},
        "/account/endpoint_costs": {"default_cost": 10, "endpoint_costs": []},
    }
    path, _, query = target.partition("?")
    if path == "/stub/arrivals":
        return 200, json.dumps(Told.arrivals).encode()
    if path.startswith("/stub/"):
        return 200, json.dumps(_told(forget=path == "/stub/forget")).encode()
    if path == PREFIX + "/portfolio/orders":
        (min_ts,) = parse_qs(query).get("min_ts", ["0"])
        return 200, json.dumps({"orders": _listed(int(min_ts) * 1000), "cursor": ""}).encode()
    found = answers.get(path.removeprefix(PREFIX))
    return (200, json.dumps(found).encode()) if found is not None else (404, b'{"error":{"code":"not_found"}}')


def _told(*, forget: bool) -> dict[str, int]:
    told = {name: getattr(Told, name) for name in ("posts", "orders", "first_ns", "last_ns")}
    Told.posts = Told.first_ns = Told.last_ns = 0
    if forget:
        Told.taken.clear()
        Told.arrivals.clear()
    return told


async def _serve(certificate: str | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answers, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1]]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        secure = await loop.create_server(Answers, "127.0.0.1", 0, ssl=context)
        ports.append(secure.sockets[0].getsockname()[1])
    print(*ports, flush=True)
    closed = loop.create_future()
    threading.Thread(
        target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(closed.set_result, None)), daemon=True
    ).start()
    await closed


class Stub:
    """The stub exchange as a child process; leave the `with` block and it is gone."""

    def __init__(self, latency_ms: int, certificate: Path | None = None) -> None:
        """With a certificate (and its key, one PEM file) it also listens for TLS."""
        command = [sys.executable, __file__, str(latency_ms), *([str(certificate)] if certificate else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port, *secure = map(int, self._process.stdout.readline().split())
        self.host = f"http://127.0.0.1:{self.port}"
        self.secure_host = f"https://127.0.0.1:{secure[0]}" if secure else ""

    @property
    def base_url(self) -> str:
        return self.host + PREFIX

    def told(self) -> dict[str, int]:
        """posts, first_ns, last_ns since the last call; orders since it started."""
        return _ask(self.port, "told")

    def __enter__(self) -> "Stub":
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


def forget(base_url: str) -> None:
    """Make the stub at that address forget all orders: the next ledger finds an empty account."""
    _ask(int(base_url.split(":")[2].partition("/")[0]), "forget")


def arrivals(base_url: str) -> dict[str, int]:
    """When each order's request was there, by its client_order_id: CLOCK_MONOTONIC, ns."""
    return _ask(int(base_url.split(":")[2].partition("/")[0]), "arrivals")


def _ask(port: int, what: str) -> dict[str, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/stub/{what}")
        told: dict[str, int] = json.loads(connection.getresponse().read())
        return told
    finally:
        connection.close()


if __name__ == "__main__":
    Told.latency_s = float(sys.argv[1]) / 1000
    asyncio.run(_serve(sys.argv[2] if len(sys.argv) > 2 else None))
