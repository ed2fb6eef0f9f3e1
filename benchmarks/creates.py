"""What the sandbox exchange takes: single creates over HTTP, one process, its signatures checked and its file written.

The sandbox is a process of its own, as `oms sandbox serve` starts it, without rate limits and latency. A light client
(raw sockets on one event loop, keep-alive, requests made beforehand) keeps 8 requests under way; signatures are real
RSA-PSS, one for every millisecond named, as the exchange signs no body. Each create rests, and is committed to the
sandbox's file before its answer. The ceiling is the same without HTTP: the exchange called directly, in one process.
"""

import asyncio
import base64
import http.client
import json
import os
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from figures import Asked, Figure, Told, options, run

from oms.sandbox.options import ServeOptions
from oms.sandbox.server import open_exchange
from oms.sandbox.wire import Request

PATH = "/trade-api/v2/portfolio/events/orders"
CONNECTIONS = 8
SIGNATURES = 100
SKEW_S = 3_600  # so that what was signed before the run is still valid in it


@dataclass(frozen=True, slots=True)
class Signed:
    """One way to sign a create: the headers of it."""

    key_id: str
    timestamp: str
    signature: str


def signed(key_id: str, pem: bytes) -> list[Signed]:
    """Signatures of as many milliseconds before now."""
    key = load_pem_private_key(pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
    made = []
    for n in range(SIGNATURES):
        timestamp = str(time.time_ns() // 1_000_000 - n)
        signature = key.sign(f"{timestamp}POST{PATH}".encode(), scheme, hashes.SHA256())
        made.append(Signed(key_id, timestamp, base64.b64encode(signature).decode()))
    return made


def bodies(tickers: list[str], count: int) -> Iterator[bytes]:
    """Bids that rest: a cent or a few, spread over the markets."""
    for n in range(count):
        order = {
            "ticker": tickers[n % len(tickers)],
            "client_order_id": str(uuid.uuid4()),
            "side": "bid",
            "count": "1.00",
            "price": f"0.0{1 + n % 3}00",
            "time_in_force": "good_till_canceled",
            "self_trade_prevention_type": "taker_at_cross",
        }
        yield json.dumps(order, separators=(",", ":")).encode()


def requests(tickers: list[str], ways: list[Signed], count: int) -> list[bytes]:
    """Whole HTTP requests."""
    made = []
    for n, body in enumerate(bodies(tickers, count)):
        way = ways[n % len(ways)]
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"KALSHI-ACCESS-KEY: {way.key_id}\r\nKALSHI-ACCESS-TIMESTAMP: {way.timestamp}\r\n"
            f"KALSHI-ACCESS-SIGNATURE: {way.signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


class Client(asyncio.Protocol):
    """One connection: the next request goes out when the answer to the last is there."""

    def __init__(self, waiting: Iterator[bytes], ended: asyncio.Future[None]) -> None:
        self._waiting, self._ended, self._held = waiting, ended, b""
        self.taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        held = self._held + data
        end = held.find(b"\r\n\r\n")
        if end < 0 or len(held) < end + 4 + int(held.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            self._held = held
            return
        assert held.startswith(b"HTTP/1.1 201"), held
        self._held = b""
        self.taken += 1
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_exception(ConnectionError("the sandbox closed the connection"))

    def _next(self) -> None:
        request = next(self._waiting, None)
        if request is not None:
            self._transport.write(request)
        elif not self._ended.done():
            self._ended.set_result(None)
            self._transport.close()


async def _drive(port: int, made: list[bytes]) -> float:
    loop = asyncio.get_running_loop()
    waiting = iter(made)
    ends = [loop.create_future() for _ in range(CONNECTIONS)]
    begun = time.perf_counter()
    clients = [
        (await loop.create_connection(lambda end=end: Client(waiting, end), "127.0.0.1", port))[1]  # type: ignore[misc]
        for end in ends
    ]
    await asyncio.gather(*ends)
    taken = time.perf_counter() - begun
    assert sum(client.taken for client in clients) == len(made)
    return taken


@contextmanager
def sandbox(directory: Path) -> Iterator[dict[str, Any]]:
    """A sandbox as a process of its own; what it says of itself."""
    command = [sys.executable, "-m", "oms.sandbox", "--dir", str(directory), "--tier", "unlimited"]
    process = subprocess.Popen([*command, "--skew-s", str(SKEW_S)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stdout.close()


def tickers_of(port: int) -> list[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/trade-api/v2/markets?status=open&limit=100")
    found = [market["ticker"] for market in json.loads(connection.getresponse().read())["markets"]]
    connection.close()
    return found


def direct(directory: Path, tickers: list[str], count: int) -> float:
    """Creates a second without HTTP."""
    made = ServeOptions(dir=directory, tier="unlimited", skew_s=SKEW_S)
    directory.mkdir()
    exchange, key_id = open_exchange(made, [])
    ways = signed(key_id, (directory / "private_key.pem").read_bytes())
    asked = []
    for n, body in enumerate(bodies(tickers, count)):
        way = ways[n % len(ways)]
        headers = {
            "host": "127.0.0.1",
            "kalshi-access-key": way.key_id,
            "kalshi-access-timestamp": way.timestamp,
            "kalshi-access-signature": way.signature,
        }
        asked.append(Request("POST", PATH, (), headers, body))
    begun = time.perf_counter()
    for request in asked:
        assert exchange.handle(request, time.time_ns() // 1000).status == 201
    taken = time.perf_counter() - begun
    exchange.state.journal.close()
    return count / taken


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(asked: Asked, told: Told) -> None:
    count = 1_000 if asked.is_short else 4_000
    rates, costs, own, ceilings = [], [], [], []
    for n in told.each_round():
        with sandbox(asked.directory / f"sandbox-{n}") as found:
            tickers = tickers_of(found["port"])
            ways = signed(found["key_id"], Path(found["private_key_path"]).read_bytes())
            made = requests(tickers, ways, count)
            used, ours = cpu_s(found["pid"]), resource.getrusage(resource.RUSAGE_SELF).ru_utime
            taken = asyncio.run(_drive(found["port"], made))
            costs.append((cpu_s(found["pid"]) - used) / count * 1e6)
            own.append((resource.getrusage(resource.RUSAGE_SELF).ru_utime - ours) / count * 1e6)
        rates.append(count / taken)
        ceilings.append(direct(asked.directory / f"direct-{n}", tickers, count))
    told.claim("sandbox-rate", rates, name="single creates over HTTP")
    told.add(Figure("the same without HTTP: the exchange alone", ceilings, "creates/s"))
    told.add(Figure("CPU of the sandbox, a create", costs, "us"))
    told.add(Figure("CPU of the client, a create", own, "us"))


if __name__ == "__main__":
    run("creates", options(__doc__ or ""), measure)
