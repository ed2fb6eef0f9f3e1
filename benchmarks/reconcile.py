"""What reconciling a large account from nothing costs: 100,000 orders alone, then with 300,000 trades.

The account is the sandbox's (`oms sandbox load`), and `oms reconcile` a process of its own with an empty ledger. On two
cores the sandbox's own work would be half of what is measured. So a replay stands between them: the first reading goes
through it to the sandbox and is kept, page by page, and later ones get the same bytes back at once. Both are told. Time
and memory are of the whole process, its start included; memory is compared with a reconcile of a hundredth of it.
"""

import argparse
import asyncio
import http.client
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from creates import sandbox
from figures import Asked, Figure, Told, options, run

PREFIX = "/trade-api/v2"
FRESH = f"{PREFIX}/exchange/user_data_timestamp"


class Replay(asyncio.Protocol):
    """One connection: answers as kept, or as the exchange behind it gives them, which are kept then."""

    port = 0
    kept: dict[str, bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._held = transport, b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head, self._held = self._held[:end].decode("latin-1"), self._held[end + 4 :]
            target, *lines = head.split("\r\n")
            self._transport.write(self._answer(target.split(" ")[1], lines))

    def _answer(self, target: str, lines: list[str]) -> bytes:
        if target == FRESH:  # how fresh the data are depends on when it is asked
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            return _whole(200, json.dumps({"as_of_time": now}).encode())
        if target not in Replay.kept:
            Replay.kept[target] = self._ask(target, lines)
        return Replay.kept[target]

    def _ask(self, target: str, lines: list[str]) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", Replay.port, timeout=60)
        connection.request("GET", target, headers=dict(line.split(": ", 1) for line in lines))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return _whole(answer.status, body)


def _whole(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _replay(port: int) -> None:
    Replay.port, Replay.kept = port, {}
    server = await asyncio.get_running_loop().create_server(Replay, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def replay(port: int) -> Iterator[int]:
    """A replay of the exchange at that port as a process of its own; its port."""
    command = [sys.executable, __file__, "--step", "replay", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@dataclass(frozen=True, slots=True)
class Taken:
    """What one reconcile took."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    told: dict[str, Any]


def reconcile(directory: Path, found: dict[str, Any], port: int) -> Taken:
    """`oms reconcile` of that account into an empty ledger."""
    directory.mkdir()
    environment = os.environ | {
        "HOME": str(directory),
        "OMS_LEDGER__URL": f"sqlite:///{directory / 'ledger.sqlite3'}",
        "OMS_VENUE__SANDBOX__BASE_URL": f"http://127.0.0.1:{port}{PREFIX}",
        "OMS_VENUE__SANDBOX__KEY_ID": found["key_id"],
        "OMS_VENUE__SANDBOX__PRIVATE_KEY_PATH": found["private_key_path"],
    }
    command = [sys.executable, __file__, "--step", "child", "--", "-m", "oms", "--json", "reconcile"]
    begun = time.perf_counter()
    done = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    taken = time.perf_counter() - begun
    *answer, usage = done.stdout.splitlines()
    used = json.loads(usage)
    return Taken(taken, used["cpu_s"], used["peak_mb"], json.loads("\n".join(answer)))


def child(arguments: list[str]) -> None:
    """Run the interpreter with these arguments and tell on the last line what it took."""
    done = subprocess.run([sys.executable, *arguments], check=False)
    assert done.returncode in (0, 7), done
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}))


def account(directory: Path, orders: int, fills: int) -> Path:
    """A sandbox whose account has so many orders and trades."""
    command = [sys.executable, "-m", "oms", "sandbox", "load", "--dir", str(directory)]
    sizes = ["--orders", str(orders), "--fills", str(fills), "--resting", str(max(1, orders // 100))]
    subprocess.run([*command, *sizes], check=True, stdout=subprocess.DEVNULL)
    return directory


def readings(directory: Path, orders: int, fills: int, rounds: int) -> tuple[Taken, list[Taken]]:
    """(against the sandbox, against the replay so many times)"""
    with sandbox(account(directory, orders, fills)) as found, replay(found["port"]) as port:
        first = reconcile(directory / "first", found, port)
        again = [reconcile(directory / f"again-{n}", found, port) for n in range(rounds)]
    return first, again


def measure(asked: Asked, told: Told) -> None:
    orders = 5_000 if asked.is_short else 100_000
    small = readings(asked.directory / "small", orders // 100, 0, 1)[1][0]
    first, again = readings(asked.directory / "alone", orders, 0, asked.rounds)
    told.claim("reconcile-rate", [orders / one.wall_s for one in again], name=f"{orders:,} orders from nothing")
    told.add(Figure("the same against the sandbox itself", [orders / first.wall_s], "orders/s"))
    _more(told, "orders alone", again, small)
    first, again = readings(asked.directory / "traded", orders, 3 * orders, asked.rounds)
    told.add(Figure(f"with {3 * orders:,} trades", [orders / one.wall_s for one in again], "orders/s"))
    told.add(Figure("records of both, a second", [4 * orders / one.wall_s for one in again], "/s"))
    told.add(Figure("the same against the sandbox itself", [orders / first.wall_s], "orders/s"))
    _more(told, "with trades", again, small)


def _more(told: Told, name: str, again: list[Taken], small: Taken) -> None:
    told.add(Figure(f"{name}: whole process", [one.wall_s for one in again], "s"))
    told.add(Figure(f"{name}: processor time", [one.cpu_s for one in again], "CPU s"))
    grown = [one.peak_mb - small.peak_mb for one in again]
    told.add(Figure(f"{name}: memory above that of a hundredth", grown, "MB", note=f"peak {again[0].peak_mb:.0f} MB"))


if __name__ == "__main__":
    parser = options(__doc__ or "")
    parser.add_argument("--step", choices=("replay", "child"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    inner = parser.parse_args()
    if inner.step == "replay":
        asyncio.run(_replay(inner.port))
    elif inner.step == "child":
        child(inner.arguments)
    else:
        run("reconcile", parser, measure)
