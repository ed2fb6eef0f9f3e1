"""What the ledger costs an order on its way: a batch of 1,000 sent through it, against the same POSTs without it.

The exchange is a stub with 20 ms of latency, 16 senders, one order per request. Both rivals sign every request and
send it through the venue's own client (`Venue.orders.create`); oms claims each order durably before its first byte
leaves, and records its answer. Timed for oms: the sending of recorded orders, from the open session to the last answer
durable and every thread ended (`Drive.go`). Timed for the rival: starting 16 threads until the last has ended.
Then the same in a process whose every fsync and fdatasync takes 4 ms longer (slowdisk.c, preloaded), and with
batched requests of 20.
"""

import argparse
import gc
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from exchange import Stub, forget
from figures import Asked, Figure, Told, options, run
from probes import probe
from runs import configured, make_key, orders, send_all

from oms import Oms
from oms.app.intake import offer_objects
from oms.app.session import connect, endpoint
from oms.config import Config
from oms.intake.intents import request_body
from oms.interrupt import Interrupt
from oms.lifecycle.events import Acknowledged, Event
from oms.venue.orders import OrderRequest

LATENCY_MS = 20
SLOW_US = 4_000
GOAL, SLOW_GOAL = 0.85, 0.75


def without_ledger(config: Config, count: int, senders: int, batch: int) -> dict[str, float]:
    """Send `count` orders with no ledger, `batch` to a request; each is acknowledged."""
    venue = connect(config, endpoint(config))
    intents = offer_objects(orders(count), None, "api", 0).intents()
    requests = [OrderRequest(request_body(x), x.client_order_id, 1) for x in intents]
    jobs = [requests[n : n + batch] for n in range(0, count, batch)]
    turn = itertools.count()
    events: list[Event] = []

    def send() -> None:
        channel = venue.channel()
        while (n := next(turn)) < len(jobs):
            signed_ms = venue.clock.now_ms()
            if batch == 1:
                events.append(venue.orders.create(channel, jobs[n][0], signed_ms))
            else:
                events.extend(venue.orders.create_batch(channel, jobs[n], signed_ms))
        channel.close()

    begun, cpu = time.perf_counter(), time.process_time()
    threads = [threading.Thread(target=send) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = {"send_s": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu}
    assert len(events) == count
    assert all(isinstance(event, Acknowledged) for event in events)
    return taken


def with_ledger(config: Config, count: int) -> dict[str, float]:
    """Record as many orders, then send them through the ledger."""
    with Oms(config, Interrupt()) as oms:
        oms.submit(orders(count), send=False)
    sent = send_all(config)
    return {"send_s": sent.send_s, "cpu_s": sent.cpu_s, "start_s": sent.start_s}


def measure_pairs(given: dict[str, int], base_url: str, directory: Path) -> None:
    """In a process of its own: rounds of both rivals, the first to go changing; one line of JSON each."""
    key = make_key(directory)
    count, senders, batch = given["count"], given["senders"], given["batch"]
    gc.freeze()  # for both rivals, as the command line does when it has imported everything
    for n in range(given["rounds"] + 1):
        ledger = directory / f"{os.getpid()}-{n}" / "ledger.sqlite3"
        config = configured(ledger, base_url, key, senders=senders, batch_size=str(batch))
        amount = count if n else 2 * senders * batch  # the first round warms up and is not counted
        taken: dict[str, dict[str, float]] = {}
        for rival in ("oms", "bare") if n % 2 else ("bare", "oms"):
            forget(base_url)
            if rival == "oms":
                taken[rival] = with_ledger(config, amount)
            else:
                taken[rival] = without_ledger(config, amount, senders, batch)
        shutil.rmtree(ledger.parent)
        if n:
            taken["probe"] = {"fsync_us": probe(directory).fsync_us}
            print(json.dumps(taken), flush=True)


def pairs(
    given: dict[str, int], base_url: str, directory: Path, environ: dict[str, str]
) -> Iterator[dict[str, dict[str, float]]]:
    """The rounds of a process started with these additional environment variables."""
    command = [sys.executable, __file__, "--dir", str(directory), "--pairs", json.dumps(given), "--url", base_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environ) as process:
        assert process.stdout is not None
        yield from map(json.loads, process.stdout)
    assert process.returncode == 0


def slow_disk(directory: Path) -> dict[str, str] | None:
    """The environment that makes every fsync slow; None, loudly, where it cannot be made."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    library = directory / "slowdisk.so"
    source = Path(__file__).with_name("slowdisk.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SLOWDISK_US": str(SLOW_US)}


def tell(told: Told, name: str, rounds: list[dict[str, dict[str, float]]], count: int, goal: float | None) -> None:
    def per_order(rival: str, what: str) -> list[float]:
        return [r[rival][what] / count * 1e6 for r in rounds]

    told.add(
        Figure(
            f"{name}: throughput, oms / no ledger",
            [r["bare"]["send_s"] / r["oms"]["send_s"] for r in rounds],
            "x",
            goal,
        )
    )
    rates = ", ".join(
        f"{rival} {count / sorted(r[rival]['send_s'] for r in rounds)[len(rounds) // 2]:,.0f}/s"
        for rival in ("oms", "bare")
    )
    told.add(
        Figure(
            f"{name}: CPU of the ledger, an order",
            [a - b for a, b in zip(per_order("oms", "cpu_s"), per_order("bare", "cpu_s"), strict=True)],
            "us",
            note=rates,
        )
    )
    told.add(
        Figure(
            f"{name}: opening the session",
            [r["oms"]["start_s"] * 1000 for r in rounds],
            "ms",
            note="5 reads in sequence",
        )
    )
    told.say(f"{name}: fsync as seen by that process {sorted(r['probe']['fsync_us'] for r in rounds)} us")


def measure(asked: Asked, told: Told) -> None:
    make_key(asked.directory)
    count = 300 if asked.is_short else 1_000
    given = {"rounds": asked.rounds, "count": count, "senders": 16, "batch": 1}
    with Stub(LATENCY_MS) as stub:
        rounds = list(pairs(given, stub.base_url, asked.directory, {}))
        tell(told, "20 ms, 16 senders", rounds, count, GOAL)
        slow = slow_disk(asked.directory)
        if slow is None:
            told.say("SLOW DISK NOT MEASURED: it takes Linux and a C compiler (gcc or cc)")
        else:
            rounds = list(pairs(given, stub.base_url, asked.directory, slow))
            tell(told, "the same, fsync 4 ms slower", rounds, count, SLOW_GOAL)
        batched = given | {"senders": 4, "batch": 20, "count": 5 * count}
        rounds = list(pairs(batched, stub.base_url, asked.directory, {}))
        tell(told, "20 to a request, 4 senders", rounds, 5 * count, None)


if __name__ == "__main__":
    parser = options(__doc__ or "")
    parser.add_argument("--pairs", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    inner = parser.parse_args()
    if inner.pairs:
        measure_pairs(json.loads(inner.pairs), inner.url, inner.dir)
    else:
        run("pipeline", parser, measure)
