"""Ledgers for tests, made and moved only through the ledger's own doors."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from oms.intake.intents import Intent
from oms.ledger import queries
from oms.ledger.append import Fact, append
from oms.ledger.ledger import Ledger, open_ledger
from oms.ledger.record import NewBatch, RecordedBatch, record
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.lifecycle.states import Side

NOW_US = 1_763_800_000_000_000


def opened(path: Path, *, create: bool = True) -> Ledger:
    """The ledger at that path; close it, or use `closing`."""
    return open_ledger(f"sqlite:///{path}", "sandbox", create=create, now_us=NOW_US)


def running(path: Path) -> Ledger:
    """A ledger with the writer lock held and an epoch of its own."""
    ledger = opened(path)
    ledger.locks.take_writer(0)
    ledger.open_epoch(purpose="submit", key_print=None, now_us=NOW_US)
    return ledger


def intent(number: int, name: str = "x") -> Intent:
    return Intent(
        client_order_id=f"{name}-{number}",
        ticker=f"T-{number % 3}",
        side=Side.BID if number % 2 else Side.ASK,
        price_e6=10_000 * (number % 90 + 1),
        count_e2=100 * (number % 7 + 1),
    )


def batch(rows: int, name: str = "x") -> NewBatch:
    digest = hashlib.sha256(name.encode()).digest()
    return NewBatch(
        key=digest, name=name, source="file", content_digest=digest, row_count=rows, may_share_rows=True, ttl_us=None
    )


def recorded(ledger: Ledger, rows: int, name: str = "x", now_us: int = NOW_US) -> RecordedBatch:
    return record(ledger, batch(rows, name), (intent(n, name) for n in range(1, rows + 1)), now_us)


def entries(ledger: Ledger, rows: int, name: str = "x") -> list[Entry]:
    """The creates of a batch in order, as they are in the ledger now."""
    ids = [f"{name}-{number}" for number in range(1, rows + 1)]
    found = queries.creates_of(ledger, ids)
    return [found[client_order_id] for client_order_id in ids]


def tell(ledger: Ledger, facts: Sequence[tuple[Entry, e.Event]], at_us: int = NOW_US + 1) -> dict[int, Entry]:
    """Append facts; what the commands are then, by command_key."""
    with ledger.write() as connection:
        done = append(connection, [Fact(*fact) for fact in facts], epoch=ledger.epoch, now_us=at_us)
    ledger.note_seq(done.newest_seq)
    return done.entries


def claimed(entry: Entry) -> e.Claimed:
    return e.Claimed(attempt=entry.command.attempts + 1, epoch=1, signed_ms=NOW_US // 1000, at_us=NOW_US)


def acknowledged(entry: Entry, fill_e2: int = 0) -> e.Acknowledged:
    return e.Acknowledged(
        attempt=1,
        order_id=f"at-{entry.client_order_id}",
        fill_count_e2=fill_e2,
        remaining_count_e2=entry.order.count_e2 - fill_e2,
        ts_ms=NOW_US // 1000 + 5,
    )


def filled(entry: Entry, trade: str, count_e2: int) -> e.Filled:
    return e.Filled(
        trade_id=trade, count_e2=count_e2, price_e6=entry.price_e6, fee_e6=70, is_taker=True, ts_ms=NOW_US // 1000 + 9
    )


def used(path: Path, rows: int = 12) -> Ledger:
    """A ledger in which every order has come another way: resting, filled, refused, in doubt, absent, queued."""
    ledger = running(path)
    recorded(ledger, rows)
    tell(ledger, [(entry, claimed(entry)) for entry in entries(ledger, rows) if entry.command_key % 6])
    facts: list[tuple[Entry, e.Event]] = []
    for entry in entries(ledger, rows):
        match entry.command_key % 6:
            case 1:
                facts.append((entry, acknowledged(entry)))
            case 2:
                facts.append((entry, acknowledged(entry, 100)))
                facts.append((entry, filled(entry, f"t-{entry.client_order_id}", 100)))
            case 3:
                facts.append((entry, e.AttemptRefused(attempt=1, http_status=400, code="bad", message="long " * 200)))
            case 4:
                facts.append((entry, e.AttemptUnknown(attempt=1, why="http_5xx", http_status=502)))
            case 5:
                facts.append((entry, e.AttemptUnknown(attempt=1, why="no_answer")))
                absent = e.AbsenceProven(as_of_ms=2, fence_ms=1, orders_seen=3, witnesses=1, final=False)
                facts.append((entry, absent))
                facts.append((entry, e.Requeued()))
    tell(ledger, facts)
    return ledger
