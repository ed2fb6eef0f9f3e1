"""What the ledger adds to the time from submit to wire: single orders at random moments, 100/s, exchange 20 ms.

Open loop: moments are drawn beforehand (Poisson) and are the same for both rivals; an order's time runs from its
moment, so that a late caller is no excuse, to its arrival at the stub (CLOCK_MONOTONIC, one clock for all).

- oms: `Line.place` (docs/python.md), called by threads as their orders are due: checked, recorded, claimed, sent.
- the rival: the same threads and as many senders, the same signed POSTs by the venue's own client, no ledger.
"""

import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from duel import Rival, Round, fsyncs, main, play, rounds, slow_disk
from exchange import Stub, arrivals
from figures import Asked, Figure, Told
from runs import configured, make_key, orders, requests_of

from oms import Oms
from oms.app.session import connect, endpoint
from oms.interrupt import Interrupt
from oms.venue.door import Venue
from oms.venue.orders import OrderRequest

LATENCY_MS, RATE, SENDERS, CALLERS = 20, 100, 8, 8
SLOW_US = 4_000
FSYNCS = {"p50": 2, "p99": 4}  # so many are the disk's share, as the probe of the same round has them


def moments(count: int, seed: int) -> list[float]:
    """When each order is due, in seconds from the start."""
    luck, at, found = random.Random(seed), 0.05, []
    for _ in range(count):
        at += luck.expovariate(RATE)
        found.append(at)
    return found


def at_their_moments(due: Sequence[float], place: Callable[[int], str]) -> dict[str, int]:
    """Call `place(n)` at the n-th moment; by client_order_id, the moment (CLOCK_MONOTONIC, ns)."""
    begun = time.monotonic_ns()
    asked: dict[str, int] = {}

    def call(first: int) -> None:
        for n in range(first, len(due), CALLERS):
            at_ns = begun + int(due[n] * 1e9)
            time.sleep(max(0.0, (at_ns - time.monotonic_ns()) / 1e9))
            asked[place(n)] = at_ns

    threads = [threading.Thread(target=call, args=(n,)) for n in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return asked


def bare_place(venue: Venue, requests: Sequence[OrderRequest]) -> tuple[Callable[[int], str], Callable[[], None]]:
    """Hand orders to sender threads that post them, without a ledger; and what ends them."""
    jobs: SimpleQueue[OrderRequest | None] = SimpleQueue()

    def send() -> None:
        channel = venue.channel()
        while (request := jobs.get()) is not None:
            venue.orders.create(channel, request, venue.clock.now_ms())
        channel.close()

    threads = [threading.Thread(target=send) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()

    def place(n: int) -> str:
        jobs.put(requests[n])
        return requests[n].client_order_id

    def end() -> None:
        for _ in threads:
            jobs.put(None)
        for thread in threads:
            thread.join()

    return place, end


def child(setting: dict[str, Any], directory: Path) -> None:
    """In a process of its own: the rounds of both."""
    url = setting["url"]
    key = make_key(directory)
    seeds = iter(range(1_000))  # both rivals of a round get the same moments

    def in_ms(asked: dict[str, int]) -> dict[str, float]:
        there = arrivals(url)
        taken = sorted((there[name] - at_ns) / 1e6 for name, at_ns in asked.items())
        return {"p50": taken[len(taken) // 2], "p99": taken[int(len(taken) * 0.99)], "most": taken[-1]}

    def due_of(is_warming: bool) -> list[float]:
        return moments(50 if is_warming else setting["count"], next(seeds) // 2)

    def over_a_line(own: Path, is_warming: bool) -> dict[str, float]:
        due = due_of(is_warming)
        rows = list(orders(len(due)))
        with Oms(configured(own / "ledger.sqlite3", url, key, senders=SENDERS), Interrupt()) as oms:
            with oms.line() as line:
                asked = at_their_moments(due, lambda n: line.place(rows[n])[0])
            assert line.close().counts == {"resting": len(due)}
        return in_ms(asked)

    def without_ledger(own: Path, is_warming: bool) -> dict[str, float]:
        due = due_of(is_warming)
        config = configured(own / "none", url, key)
        place, end = bare_place(connect(config, endpoint(config)), requests_of(len(due)))
        asked = at_their_moments(due, place)
        end()
        return in_ms(asked)

    rivals: dict[str, Rival] = {"oms": over_a_line, "bare": without_ledger}
    play(rivals, setting["rounds"], url, directory)


def added(played: list[Round], what: str) -> list[float]:
    """Milliseconds above the rival's own of that round, without the disk's share."""
    return [r["oms"][what] - r["bare"][what] - FSYNCS[what] * r["probe"]["fsync_us"] / 1000 for r in played]


def note(played: list[Round], what: str) -> str:
    seen = {name: statistics.median(r[name][what] for r in played) for name in ("bare", "oms")}
    return f"{seen['oms']:.1f} ms, without ledger {seen['bare']:.1f} ms; {fsyncs(played)}"


def measure(asked: Asked, told: Told) -> None:
    make_key(asked.directory)
    with Stub(LATENCY_MS) as stub:
        setting = {"rounds": asked.rounds, "count": 200 if asked.is_short else 600, "url": stub.base_url}
        played = rounds(__file__, setting, asked.directory)
        for what, fsyncs_ in FSYNCS.items():
            name = f"added to submit-to-wire, {what}, above {fsyncs_} fsyncs"
            told.claim(f"latency-{what}", added(played, what), name=name, note=note(played, what))
        slow = None if asked.is_short else slow_disk(asked.directory, SLOW_US)
        if slow is not None:
            played = rounds(__file__, setting, asked.directory, slow)
            for what in FSYNCS:
                name = f"the same, fsync + 4 ms, {what}"
                told.add(Figure(name, added(played, what), "ms", note=note(played, what)))


if __name__ == "__main__":
    main("latency", __doc__ or "", child, measure)
