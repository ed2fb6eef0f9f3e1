"""Ten minutes at the full rate of a tier of 400 writes a second, as a bot uses it: orders over a line, on the clock.

The bot is one process: its threads call `Line.place` (docs/python.md), four orders a call, at moments that do not wait
for what came before, as fast as the tier allows. oms runs with its defaults: 8 senders, and orders that find none idle
go together. The exchange is a stub that enforces the tier by the sandbox's own token bucket and notes every request;
the sandbox itself would take half of two cores at this rate, and be what is measured (rate.py runs against it).

An order's time runs from the moment its call is due to the end of the commit that holds its acknowledgement. The
exchange's part is from the arrival of a request to the answer's leaving. The first second is not counted.
"""

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import exchange
from figures import Asked, Figure, Told, options, run
from runs import configured, make_key

from oms import Oms
from oms.interrupt import Interrupt
from oms.ledger.claim import Desk, Turn
from oms.ledger.rows import Entry
from oms.lifecycle.events import Acknowledged, Event
from oms.sandbox.limits import DEFAULT_COST, LIMITS, Bucket

TIER = "prime"  # 4,000 write tokens a second; an order costs ten
LATENCY_MS = 20
# Of the exchange's rate. oms's own bucket refills at 0.99 of it (oms/venue/limiter.py): above that its queue grows.
PACE = 0.988
TOGETHER = 4  # orders in one call: both sides of two markets
CALLERS = 4  # threads of the bot
ROW = {"action": "buy", "side": "yes", "count": 1, "price": "0.01"}
SLICE_S = 10.0
WHOLE_S = 600.0
WARM_S = 60.0  # of a whole run; memory is compared with what it was then

Pairs = Sequence[Sequence[int]]


class Metered(exchange.Answers):
    """The stub exchange under a tier's bucket; every write is noted: arrival, answer, status."""

    bucket = Bucket(LIMITS[TIER].write, time.monotonic_ns() // 1000)
    noted: ClassVar[list[tuple[int, int, int, int]]] = []  # (arrived, answered: CLOCK_MONOTONIC ns; status; orders)

    def _answer(self, line: bytes, body: bytes) -> None:
        self._arrived_ns = time.monotonic_ns()
        self._orders = body.count(b'"client_order_id"') if line.startswith(b"POST ") else 0
        if self._orders and not self.bucket.spend(self._orders * DEFAULT_COST, time.monotonic_ns() // 1000):
            self._send(429, b'{"error":{"code":"too_many_requests","message":"too many requests"}}')
        elif line.endswith(b"/account/limits"):
            budgets = {what: getattr(LIMITS[TIER], what)._asdict() for what in ("read", "write")}
            self._send(200, json.dumps({"usage_tier": TIER} | budgets).encode())
        else:
            super()._answer(line, body)

    def _send(self, status: int, body: bytes) -> None:
        super()._send(status, body)
        if self._orders:
            self.noted.append((self._arrived_ns, time.monotonic_ns(), status, self._orders))


async def serve() -> None:
    """Listen until stdin closes; the port on stdout."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Metered, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def trade(oms: Oms, seconds: float) -> dict[str, Any]:
    """Place orders on the clock; what is told is by CLOCK_MONOTONIC, ns."""
    per_s = PACE * LIMITS[TIER].write.refill_rate / DEFAULT_COST / TOGETHER
    durable = watch_acknowledgements()
    memory: list[tuple[int, int]] = []
    called: list[tuple[int, int, tuple[str, ...]]] = []  # (due, returned, client_order_ids)
    with oms.line() as line:
        first_ns = time.monotonic_ns() + 50_000_000

        def call(thread: int) -> None:
            for n in range(thread, int(seconds * per_s), CALLERS):
                due_ns = first_ns + int(n / per_s * 1e9)
                time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
                placed = line.place(*(ROW | {"ticker": f"KXBENCH-26-T{(n + k) % 50}"} for k in range(TOGETHER)))
                called.append((due_ns, time.monotonic_ns(), placed))

        threads = [threading.Thread(target=call, args=(n,)) for n in range(CALLERS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            memory.append((time.monotonic_ns(), resident()))
            threads[0].join(1)
    counts = line.close().counts
    orders = [(due, durable[name]) for due, _, placed in sorted(called) for name in placed]
    assert counts == {"resting": len(orders)}, counts
    return {"orders": orders, "calls": [(due, returned) for due, returned, _ in called], "memory": memory}


def watch_acknowledgements() -> dict[str, int]:
    """By client_order_id, when the turn had committed that recorded its answer; filled while orders are sent."""
    durable: dict[str, int] = {}
    turn = Desk.turn

    def watched(desk: Desk, answers: Sequence[tuple[Entry, Event]], *rest: Any, **named: Any) -> Turn:
        done = turn(desk, answers, *rest, **named)
        now_ns = time.monotonic_ns()
        durable.update((entry.client_order_id, now_ns) for entry, event in answers if isinstance(event, Acknowledged))
        return done

    Desk.turn = watched  # type: ignore[method-assign]
    return durable


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


class Played:
    """What one run came to; times are CLOCK_MONOTONIC ns."""

    def __init__(self, told: dict[str, Pairs], noted: Pairs) -> None:
        self.begun_ns = [due for due, _ in told["orders"]]
        self.ack_ms = [(durable - due) / 1e6 for due, durable in told["orders"]]
        self.call_ms = [(returned - due) / 1e6 for due, returned in told["calls"]]
        self.memory = told["memory"]
        self.noted = noted
        self.answer_ms = [(answered - arrived) / 1e6 for arrived, answered, status, _ in noted if status == 201]

    @property
    def counted_ms(self) -> list[float]:
        """From the call to the acknowledgement durable, without the first second: a session is opened in it."""
        return [ms for ms, at in zip(self.ack_ms, self.begun_ns, strict=True) if at > self.begun_ns[0] + 1e9]

    @property
    def refused(self) -> int:
        return sum(status == 429 for _, _, status, _ in self.noted)

    @property
    def share(self) -> float:
        """Tokens granted, of those that came in from the first write to the last."""
        granted = DEFAULT_COST * sum(orders for _, _, status, orders in self.noted if status == 201)
        return granted / (LIMITS[TIER].write.refill_rate * (self.noted[-1][0] - self.noted[0][0]) / 1e9)

    def grown_mb(self, after_s: float) -> float:
        """The sender's memory in the end, above that so many seconds after its beginning."""
        then = next(size for at, size in self.memory if at - self.memory[0][0] >= after_s * 1e9)
        return (self.memory[-1][1] - then) / 2**20

    def series(self) -> Iterator[dict[str, float]]:
        """The run in slices, each by what began in it."""
        first = self.begun_ns[0]
        for n in range(round((self.begun_ns[-1] - first) / 1e9 / SLICE_S)):
            since, until = first + int(n * SLICE_S * 1e9), first + int((n + 1) * SLICE_S * 1e9)
            acks = [ms for ms, at in zip(self.ack_ms, self.begun_ns, strict=True) if since <= at < until]
            answers = [(b - a) / 1e6 for a, b, _, _ in self.noted if since <= a < until]
            sent = sum(orders for at, _, _, orders in self.noted if since <= at < until)
            sizes = [size for at, size in self.memory if since <= at < until]
            yield {
                "at_s": (n + 1) * SLICE_S,
                "sent_per_s": sent / SLICE_S,
                "allowed_per_s": LIMITS[TIER].write.refill_rate / DEFAULT_COST,
                "ack_p50_ms": round(share_below(0.5, acks), 2),
                "ack_p99_ms": round(share_below(0.99, acks), 2),
                "exchange_p99_ms": round(share_below(0.99, answers), 2),
                "rss_mb": round(sizes[-1] / 2**20, 1),
            }


def share_below(share: float, values: Sequence[float]) -> float:
    """The value below which this share of them lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def play(directory: Path, seconds: float) -> Played:
    """The exchange and the bot, each a process of its own."""
    make_key(directory)
    pipe = subprocess.PIPE
    with ExitStack() as stack:

        def start(what: str, *words: str) -> subprocess.Popen[str]:
            command = [sys.executable, __file__, "--part", what, "--dir", str(directory), *words]
            return stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))

        stub = start("exchange")
        assert stub.stdout is not None
        url = f"http://127.0.0.1:{int(stub.stdout.readline())}{exchange.PREFIX}"
        bot = start("bot", "--url", url, "--seconds", str(seconds))
        told, _ = bot.communicate()
        noted, _ = stub.communicate()
        assert (bot.returncode, stub.returncode) == (0, 0)
    return Played(json.loads(told), json.loads(noted))


def part(what: str, directory: Path, url: str, seconds: float) -> None:
    """In a process of its own."""
    if what == "exchange":
        exchange.Told.latency_s = LATENCY_MS / 1000
        asyncio.run(serve())
        json.dump(Metered.noted, sys.stdout)
        return
    config = configured(directory / "ledger.sqlite3", url, directory / "key.pem", senders=8, batch_size="auto")
    gc.freeze()  # as the command line does when it has imported everything
    with Oms(config, Interrupt()) as oms:
        json.dump(trade(oms, seconds), sys.stdout)


def measure(asked: Asked, told: Told) -> None:
    seconds = 8.0 if asked.is_short else asked.options.seconds
    told.step(f"{seconds:.0f} s")
    played = play(asked.directory, seconds)
    told.series["minutes"] = list(played.series())
    told.say(
        f"{len(played.ack_ms):,} orders in {len(played.noted):,} requests, {seconds:.0f} s: {TOGETHER} orders a call,"
    )
    told.say(f"an exchange {LATENCY_MS} ms away that allows {LIMITS[TIER].write.refill_rate // DEFAULT_COST} a second")
    span = "" if seconds >= WHOLE_S else f"over {seconds:.0f} s"
    told.claim("rate-share", [played.share], note=span)
    told.claim("rate-429", [played.refused], note=span)
    if seconds >= WHOLE_S:
        told.claim("rate-memory", [played.grown_mb(WARM_S)])
    else:
        told.skip("rate-memory", f"{seconds:.0f} s say nothing of ten minutes")
    ack, answer = (share_below(0.99, values) for values in (played.counted_ms, played.answer_ms))
    note = f"{ack:.1f} ms, the exchange's own {answer:.1f} ms"
    told.claim("rate-p99", [ack - answer], note="; ".join(filter(None, (note, span))))
    for name, values in (
        (f"a call that records {TOGETHER} orders", played.call_ms),
        ("from the call to the acknowledgement durable", played.counted_ms),
        ("the exchange's own answer", played.answer_ms),
    ):
        for share, called in ((0.5, "median"), (0.99, "99th percentile"), (1.0, "longest")):
            told.add(Figure(f"{name}, {called}", [share_below(share, values)], "ms"))


if __name__ == "__main__":
    parser = options(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=WHOLE_S, help="how long (default 600; --short: 8)")
    parser.add_argument("--part", choices=("exchange", "bot"), help=argparse.SUPPRESS)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    inner = parser.parse_args()
    if inner.part:
        part(inner.part, inner.dir, inner.url, inner.seconds)
    else:
        run("minutes", parser, measure)
