"""What is claimed about speed, each part with its goal: the one list that benchmarks, table and page share.

A benchmark names the part that a figure belongs to (`told.claim("send-16", ratios, rates=...)`) and takes words, unit
and goal from here. docs/write_performance.py shows every part, measured or not. Goals are not bent to what was
measured: a part out of reach says so on the page, with the reason.
"""

from collections.abc import Iterator
from dataclasses import dataclass

# A figure in these units depends on the machine alone, so it is told and never fails a run: a slow machine is no fault.
TIMED = ("ms", "us", "s", "CPU s", "us/row", "orders/s", "rows/s", "creates/s", "/s")


@dataclass(frozen=True, slots=True)
class Part:
    """One figure of a claim and its goal."""

    key: str  # stable: what a benchmark names, what stands in the JSON
    says: str  # what is compared with what, in a few words; the claim itself says the rest
    unit: str  # x for a ratio
    at_least: float | None = None
    at_most: float | None = None
    limit: str = ""  # what stands in the way of the goal: the page says so where it was not reached


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence that a user can hold oms to, and its parts."""

    key: str
    says: str
    parts: tuple[Part, ...]


CLAIMS = (
    Claim(
        "send",
        "Sending through the ledger is as fast as the same signed requests, through the same client, with no ledger"
        " (exchange 20 ms away, one order a request)",
        (
            Part("send-1", "1 sender", "x", at_least=0.95),
            Part(
                "send-8",
                "8 senders",
                "x",
                at_least=0.95,
                limit="turns come while a sender is idle, and wait for their fsync (told beside the figure)",
            ),
            Part("send-16", "16 senders", "x", at_least=0.93),
        ),
    ),
    Claim(
        "slow-disk",
        "A slow disk does not slow it down: the same with 4 ms added to every fsync",
        (Part("slow-disk-16", "16 senders", "x", at_least=0.93),),
    ),
    Claim(
        "cpu",
        "Where nothing but processor time counts (exchange 0 ms away), the ledger takes a small share of it",
        (
            Part(
                "cpu-same",
                "against the same client without a ledger",
                "x",
                at_least=0.70,
                limit="an order costs that client 350 us, most of it signing, and the ledger 140 us of processor time:"
                " a third of them SQLite's own statements, the rest two state changes and their hashes in Python, for"
                " which the senders give up the interpreter",
            ),
            Part(
                "cpu-requests",
                "against a plain requests.Session in each thread",
                "x",
                at_least=0.90,
                limit="see the line above; and no answer is waited for, behind which an fsync could hide",
            ),
        ),
    ),
    Claim(
        "quick-start",
        "Against the loop of Kalshi's quick-start guide (`requests.post` for each order, one after another, no ledger),"
        " exchange 20 ms away, 16 senders",
        (
            Part("quick-start-http", "plain http", "x", at_least=12),
            Part("quick-start-tls", "TLS", "x", at_least=24),
        ),
    ),
    Claim(
        "by-hand",
        "Against a careful loop written by hand (commit, post, commit), exchange 0 ms away",
        (
            Part("by-hand-disk", "the disk as it is", "x", at_least=1.5),
            Part("by-hand-slow", "5 ms added to every fsync", "x", at_least=8),
        ),
    ),
    Claim(
        "dbos",
        "Against DBOS Transact, a library for durable workflows: one workflow with one step for each order",
        (
            Part("dbos-default-0", "its default, a SQLite file, exchange 0 ms away", "x", at_least=5),
            Part("dbos-default-20", "its default, a SQLite file, exchange 20 ms away", "x", at_least=5),
            Part(
                "dbos-best-0",
                "the best of its configurations, exchange 0 ms away",
                "x",
                at_least=3.5,
                limit="of the 0.9 ms that an order takes oms here, two thirds are signing it and the HTTP client, which"
                " both rivals share; an earlier run on the same day came to 3.6",
            ),
            Part("dbos-best-20", "the best of its configurations, exchange 20 ms away", "x", at_least=3.5),
        ),
    ),
    Claim(
        "batched",
        "Orders that may go twenty to a request: recording included, against an exchange that answers at once",
        (
            Part(
                "batched-rate",
                "orders a second",
                "orders/s",
                at_least=8_000,
                limit="of the processor time of an order 40 us are recording it, 67 us claiming and acknowledging it,"
                " 30 us its share of a request: only the last are shared out by a batch",
            ),
            Part(
                "batched-single",
                "against one order to a request",
                "x",
                at_least=8,
                limit="a request of one order costs 500 us, a batch divides that by 20 and leaves the ledger's 110 us"
                " to each order: 8 times would be 90 us with nothing for the request",
            ),
        ),
    ),
    Claim(
        "latency",
        "What the ledger adds from a call to the first byte on the wire, at 100 orders a second, exchange 20 ms away",
        (
            Part(
                "latency-p50",
                "the median, above 2 fsync probes",
                "ms",
                at_most=1.5,
                limit="an order waits for the commit that is under way and for its own; beyond that two thread "
                "switches and about fifteen statements (see below)",
            ),
            Part(
                "latency-p99",
                "the slowest hundredth, above 4 fsync probes",
                "ms",
                at_most=6,
                limit="a commit that is under way, or a checkpoint, beside threads that sign",
            ),
        ),
    ),
    Claim(
        "resume",
        "Resuming costs what is unfinished, not what is stored: 1,000 queued orders, from opening the ledger to the"
        " first claim, imports done",
        (
            Part("resume-ratio", "among 1,000,000 orders against among 10,000", "x", at_most=1.5),
            Part("resume-first", "to the first claim, among 1,000,000", "ms", at_most=30),
        ),
    ),
    Claim(
        "wal",
        "Starting after a SIGKILL that left 40 MB of write-ahead log",
        (
            Part(
                "wal-start",
                "to the first claim, imports done",
                "ms",
                at_most=100,
                limit="indexing the log and copying all of it durably are half of its CPU, and neither may be left out "
                "(P1; see below)",
            ),
        ),
    ),
    Claim(
        "bytes",
        "What the ledger keeps of a settled order with one fill, all evidence included",
        (
            Part(
                "bytes-order",
                "bytes an order",
                "bytes",
                at_most=1_300,
                limit="over half are four events with their evidence, as JSON that any tool can read; deflating them "
                "would reach the goal and was not done (see below)",
            ),
        ),
    ),
    Claim(
        "record",
        "A file of 1,000,000 rows, recorded durably",
        (
            Part(
                "record-rate",
                "rows a second",
                "rows/s",
                at_least=18_000,
                limit="half of it is SQLite (see the line below), the other half reading, checking and hashing a row",
            ),
            Part(
                "record-ratio",
                "against inserting the same parsed rows into the same tables",
                "x",
                at_least=0.6,
                limit="at the edge of it; what is not inserting is reading, checking and hashing a row",
            ),
            Part("record-memory", "memory grown", "MB", at_most=30),
        ),
    ),
    Claim(
        "startup",
        "The command line starts at once",
        (
            Part(
                "startup-help",
                "`oms --help`, above importing click",
                "ms",
                at_most=25,
                limit="what is left is Python's import of click's commands and of oms's own modules",
            ),
            Part(
                "startup-orders",
                "`oms orders` on 1,000,000 orders, above importing sqlalchemy",
                "ms",
                at_most=120,
                limit="on a terminal it also imports click, rich, the tables and the rooms of the Python API (see "
                "below)",
            ),
        ),
    ),
    Claim(
        "sandbox",
        "The sandbox exchange: one process, single creates over HTTP",
        (Part("sandbox-rate", "creates a second", "creates/s", at_least=1_200),),
    ),
    Claim(
        "reconcile",
        "Reconciling an account of 100,000 orders from nothing",
        (
            Part(
                "reconcile-rate",
                "orders a second",
                "orders/s",
                at_least=5_000,
                limit="an order has its place in a hash chain and its row in two tables, and a start is in the time "
                "(see below)",
            ),
        ),
    ),
    Claim(
        "rate",
        "The full rate of a tier of 400 writes a second, for ten minutes",
        (
            Part("rate-share", "share of the allowed rate that is used", "x", at_least=0.98),
            Part("rate-429", "requests answered 429", "requests", at_most=0),
            Part("rate-memory", "memory grown after the first minute", "MB", at_most=10),
            Part(
                "rate-p99",
                "from an order's recording to its durable acknowledgement: the slowest hundredth, above that of the"
                " exchange's own answers",
                "ms",
                at_most=20,
                limit="an order waits for the turn that is under way and for its own, once when it is recorded and "
                "once when it is acknowledged; a turn takes 3 ms, and 8 where an fsync takes 4",
            ),
        ),
    ),
)


def parts() -> Iterator[tuple[Claim, Part]]:
    """Every part with its claim, in order."""
    for claim in CLAIMS:
        for part in claim.parts:
            yield claim, part


PARTS = {part.key: part for _, part in parts()}
