"""What a resume costs: from opening the ledger to the first POST at the exchange, by how much the ledger holds.

100 orders are queued among 10,000 and among 1,000,000 settled ones (benchmarks/ledgers.py makes those once and keeps
them), the exchange is the stub without latency. Each sample is a process of its own that imports everything first, so
that the time is that of `oms submit` without FILE after its imports: opening, recovery, limits, the account read, the
first claim, the signature, the arrival. `--cold` drops the ledger's file from the page cache before each sample.
"""

import argparse
import gc
import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

from exchange import Stub
from figures import Asked, Figure, Told, options, run
from ledgers import cache_directory, settled_ledger
from runs import configured, make_key, orders

from oms import Oms
from oms.app import health
from oms.interrupt import Interrupt
from oms.reconciler import passes
from oms.submitter import run as sending
from oms.venue.clock import system_now_us

QUEUED = 100
GOAL_RATIO, GOAL_MS = 3.0, 150.0
assert passes
assert sending
assert health  # imported before the clock starts, as far as a run of oms has imported them then


def queue(ledger: Path, url: str) -> None:
    """In a process of its own: record orders without sending them, in a ledger that has just read its account."""
    now_ms = system_now_us() // 1000
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("INSERT OR REPLACE INTO watermarks VALUES ('account_read', ?, ?)", (now_ms, now_ms * 1000))
    with Oms(configured(ledger, url, make_key(ledger.parent)), Interrupt()) as oms:
        if oms.submit(orders(QUEUED), send=False).leftovers:
            sys.exit(f"an earlier benchmark was interrupted: delete {ledger.parent}")


def resume(ledger: Path, url: str) -> None:
    """In a process of its own: send them; tells when it began and when it was done (CLOCK_MONOTONIC, ns)."""
    config = configured(ledger, url, make_key(ledger.parent))
    gc.freeze()  # as the command line does when it has imported everything
    begun_ns = time.monotonic_ns()
    with Oms(config, Interrupt()) as oms:
        report = oms.drain()
        assert report.exit_code == 0, report
    print(json.dumps({"begun_ns": begun_ns, "ended_ns": time.monotonic_ns()}))


def sample(ledger: Path, stub: Stub, *, is_cold: bool) -> tuple[float, float]:
    """(milliseconds to the first POST, to the end of the run)"""
    command = [sys.executable, __file__, "--ledger", str(ledger), "--url", stub.base_url, "--step"]
    subprocess.run([*command, "queue"], check=True, stdout=subprocess.DEVNULL)
    stub.told()
    if is_cold:
        _drop(ledger)
    done = subprocess.run([*command, "resume"], check=True, stdout=subprocess.PIPE, text=True)
    times, told = json.loads(done.stdout), stub.told()
    assert told["posts"] == QUEUED, told
    return (told["first_ns"] - times["begun_ns"]) / 1e6, (times["ended_ns"] - times["begun_ns"]) / 1e6


def _drop(ledger: Path) -> None:
    for path in (ledger, Path(f"{ledger}-wal")):
        if path.exists():
            with path.open("rb") as file:
                os.fdatasync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(asked: Asked, told: Told) -> None:
    large = 50_000 if asked.is_short else 1_000_000
    cache = asked.options.cache or (asked.directory if asked.is_short else cache_directory())
    begun = time.monotonic()
    ledgers = {count: settled_ledger(count, cache) for count in (10_000, large)}
    taken = time.monotonic() - begun
    if taken > 1:
        told.say(
            f"built {', '.join(f'{count:,}' for count in ledgers)} settled orders in {taken:.0f} s, kept in the cache"
        )
    samples: dict[int, list[tuple[float, float]]] = {count: [] for count in ledgers}
    # What an earlier benchmark sent must lie outside the span that a run reads back: these exchanges do not know it.
    time.sleep(max(0.0, 5 - (time.time() - max(path.stat().st_mtime for path in ledgers.values()))))
    with ExitStack() as stack:
        stubs = {count: stack.enter_context(Stub(0)) for count in ledgers}
        for _ in range(asked.rounds):
            for count, ledger in ledgers.items():
                samples[count].append(sample(ledger, stubs[count], is_cold=asked.options.cold))
    for count in ledgers:
        first = [ms for ms, _ in samples[count]]
        told.add(Figure(f"first POST, {QUEUED} queued among {count:,}", first, "ms", at_most=GOAL_MS))
        told.add(Figure(f"whole run, {QUEUED} queued among {count:,}", [ms for _, ms in samples[count]], "ms"))
    ratios = [b[0] / a[0] for a, b in zip(samples[10_000], samples[large], strict=True)]
    told.add(Figure(f"first POST, {large:,} / 10,000", ratios, "x", at_most=GOAL_RATIO))


if __name__ == "__main__":
    parser = options(__doc__ or "")
    parser.add_argument("--cache", metavar="DIR", type=Path, help="where large ledgers are kept")
    parser.add_argument("--cold", action="store_true", help="drop the ledger from the page cache before each sample")
    parser.add_argument("--step", choices=("queue", "resume"), help=argparse.SUPPRESS)
    parser.add_argument("--ledger", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    inner = parser.parse_args()
    if inner.step == "queue":
        queue(inner.ledger, inner.url)
    elif inner.step == "resume":
        resume(inner.ledger, inner.url)
    else:
        run("resume", parser, measure)
