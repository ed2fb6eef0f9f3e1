"""What a resume costs: from opening the ledger to the first claim, by how much the ledger holds.

1,000 orders are queued among 10,000 and among 1,000,000 settled ones (benchmarks/ledgers.py makes those once and keeps
them), the exchange is the stub without latency. Each sample is a process of its own that has imported everything, so
that the time is that of `oms submit` without FILE after its imports: opening the ledger, the checks of its newest
orders, the new epoch with its checkpoint, recovery, the four reads of the exchange that come before a first send
(rate limits, costs, how fresh reads are, the orders since the last run), and the first claim, which ends when its
commit is durable. What the network adds is those four answers' time and, on a real exchange, the TLS handshake. The
first POST comes a signature later. `--cold` drops the ledger's file from the page cache before each sample.

Then the start after a SIGKILL: a process has recorded orders while another reader kept its checkpoints from clearing
the write-ahead log, until that holds 40 MB, has begun to send, and is killed with its first claims on the wire.
"""

import argparse
import gc
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from exchange import Stub
from figures import Asked, Figure, Told, options, run
from ledgers import cache_directory, settled_ledger
from runs import configured, make_key, orders

from oms import Oms
from oms.app import health, runs
from oms.interrupt import Interrupt
from oms.ledger.engine import wal_size
from oms.reconciler import passes
from oms.submitter import run as sending
from oms.submitter.ports import Ports
from oms.submitter.senders import Job, Senders
from oms.venue.clock import system_now_us

QUEUED = 1_000
WAL_BYTES = 40_000_000
# What was sent so long ago is not read again: the account's orders are read from a horizon before the last reading.
_PAUSE_S = 4.0
# Imported before the clock starts, as far as a run has imported them then.
assert all((health, passes, runs, sending))


class Noting(Senders):
    """The senders, which note when they are handed the first claims: durable from then on."""

    claimed_ns = 0
    is_deadly = False  # tell and die then, before a byte of them leaves

    def hand(self, jobs: Sequence[Job]) -> None:
        Noting.claimed_ns = Noting.claimed_ns or time.monotonic_ns()
        if Noting.is_deadly:
            print(Noting.claimed_ns, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        super().hand(jobs)


def opened(ledger: Path, url: str) -> Oms:
    return Oms(configured(ledger, url, make_key(ledger.parent)), Interrupt(), ports=Ports(senders=Noting))


def queue(ledger: Path, url: str) -> None:
    """In a process of its own: record orders without sending them, in a ledger that has just read its account."""
    now_ms = system_now_us() // 1000
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("INSERT OR REPLACE INTO watermarks VALUES ('account_read', ?, ?)", (now_ms, now_ms * 1000))
    with opened(ledger, url) as oms:
        if oms.submit(orders(QUEUED), send=False).leftovers:
            sys.exit(f"an earlier benchmark was interrupted: delete {ledger.parent}")


def resume(ledger: Path, url: str) -> None:
    """In a process of its own: send them; tells when it began, claimed and was done (CLOCK_MONOTONIC, ns)."""
    oms = opened(ledger, url)
    gc.freeze()  # as the command line does when it has imported everything
    begun_ns = time.monotonic_ns()
    with oms:
        report = oms.drain()
        assert report.exit_code == 0, report
    times = {"begun_ns": begun_ns, "claimed_ns": Noting.claimed_ns, "ended_ns": time.monotonic_ns()}
    print(json.dumps(times))


def die(ledger: Path, url: str) -> None:
    """In a process of its own: record until the write-ahead log is large, begin to send, and be killed then."""
    with opened(ledger, url) as oms:
        oms.submit(orders(16))  # the account is read, and the exchange has orders of ours
        with closing(sqlite3.connect(ledger, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM orders").fetchone()
            while wal_size(ledger) < WAL_BYTES:
                oms.submit(orders(QUEUED), send=False)
            Noting.is_deadly = True
            oms.drain()
    sys.exit("it should be dead")


def sample(ledger: Path, stub: Stub, *, is_cold: bool) -> dict[str, float]:
    """Milliseconds to the first claim, to the first POST, to the end of the run."""
    command = [sys.executable, __file__, "--ledger", str(ledger), "--url", stub.base_url, "--step"]
    subprocess.run([*command, "queue"], check=True, stdout=subprocess.DEVNULL)
    stub.told()
    if is_cold:
        _drop(ledger)
    done = subprocess.run([*command, "resume"], check=True, stdout=subprocess.PIPE, text=True)
    times, told = json.loads(done.stdout), stub.told()
    assert told["posts"] == QUEUED, told
    ends = {"claim": times["claimed_ns"], "post": told["first_ns"], "end": times["ended_ns"]}
    return {name: (end - times["begun_ns"]) / 1e6 for name, end in ends.items()}


def sample_killed(directory: Path) -> tuple[float, float]:
    """(milliseconds to the first claim, megabytes of write-ahead log that were left)"""
    directory.mkdir()
    ledger = directory / "ledger.sqlite3"
    with Stub(0) as stub:
        command = [sys.executable, __file__, "--ledger", str(ledger), "--url", stub.base_url]
        died = subprocess.run([*command, "--step", "die"], check=False, stdout=subprocess.DEVNULL)
        assert died.returncode == -signal.SIGKILL, died
        left = wal_size(ledger)
        assert left >= WAL_BYTES, left
        time.sleep(_PAUSE_S)  # the exchange's horizon: what was on the wire could have arrived
        ended = subprocess.run([*command, "--step", "start"], check=False, stdout=subprocess.PIPE, text=True)
        assert ended.returncode == -signal.SIGKILL, ended
    begun_ns, claimed_ns = map(int, ended.stdout.split())
    shutil.rmtree(directory)
    return (claimed_ns - begun_ns) / 1e6, left / 1e6


def start(ledger: Path, url: str) -> None:
    """In a process of its own: start as after a crash; tells when it began and claimed, and is killed with that."""
    oms, Noting.is_deadly = opened(ledger, url), True
    gc.freeze()
    print(time.monotonic_ns(), flush=True)
    oms.drain()


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
    samples: dict[int, list[dict[str, float]]] = {count: [] for count in ledgers}
    with ExitStack() as stack:
        stubs = {count: stack.enter_context(Stub(0)) for count in ledgers}
        for _ in told.each_round():
            time.sleep(_PAUSE_S)
            for count, ledger in ledgers.items():
                samples[count].append(sample(ledger, stubs[count], is_cold=asked.options.cold))
    told.claim(
        "resume-ratio",
        [b["claim"] / a["claim"] for a, b in zip(samples[10_000], samples[large], strict=True)],
        name=f"first claim among {large:,} settled against among 10,000",
    )
    told.claim("resume-first", [one["claim"] for one in samples[large]], name=f"first claim among {large:,} settled")
    for count, name, what in ((10_000, "claim", "first claim"), (large, "post", "first POST"), (large, "end", "all")):
        told.add(Figure(f"{what}, {QUEUED:,} queued among {count:,}", [one[name] for one in samples[count]], "ms"))
    killed = [sample_killed(asked.directory / "killed") for _ in told.each_round("killed")]
    left = f"{killed[0][1]:.0f} MB of WAL, first claims on the wire"
    told.claim("wal-start", [ms for ms, _ in killed], name="after SIGKILL, to the first claim", note=left)


if __name__ == "__main__":
    parser = options(__doc__ or "")
    parser.add_argument("--cache", metavar="DIR", type=Path, help="where large ledgers are kept")
    parser.add_argument("--cold", action="store_true", help="drop the ledger from the page cache before each sample")
    parser.add_argument("--step", choices=("queue", "resume", "die", "start"), help=argparse.SUPPRESS)
    parser.add_argument("--ledger", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    inner = parser.parse_args()
    if inner.step is None:
        run("resume", parser, measure)
    else:
        {"queue": queue, "resume": resume, "die": die, "start": start}[inner.step](inner.ledger, inner.url)
