"""Facts into the ledger: events appended, projections moved with them, in the caller's transaction.

The only code that writes `events`, and the only code that moves `orders` and `commands` after they were recorded.
All facts of one turn go out in three statements. Only the run that holds the newest epoch moves projections; another
process may meanwhile have recorded a command (a cancel) on one of these orders, so the head of each order's chain is
read again here, inside the transaction, and a command that has moved since it was read is read again whole.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace
from sqlalchemy import bindparam, insert
from sqlalchemy.engine import Connection

from oms.ledger import schema, seconds
from oms.ledger.bulk import execute, insert_rows, matching_rows, placeholder, update_rows
from oms.ledger.rows import (
    COMMAND_COLUMNS,
    ENTRY_SELECT,
    ORDER_COLUMNS,
    SENT_COLUMNS,
    Entry,
    command_values,
    entry_of,
    order_values,
    sent_values,
)
from oms.lifecycle import events as e
from oms.lifecycle import replay
from oms.lifecycle.states import Order

EVENT_COLUMNS = ("seq", "order_key", "n", "command_key", "epoch", "at_us", "kind", "data", "hash")
FILL_COLUMNS = (
    "trade_id",
    "order_key",
    "order_id",
    "ticker",
    "side",
    "count_e2",
    "price_e6",
    "fee_e6",
    "is_taker",
    "ts_ms",
)

# How the reason of a halt begins that the ledger itself has set.
DUPLICATE = "a second order"

# Facts about the order alone; they move no command and name none.
_ORDER_FACTS = (e.Observed, e.Filled, e.DuplicateSeen, e.DuplicateSettled)

_NEWEST_SEQ = "SELECT coalesce(max(seq), 0) FROM events"


def chain_hash(
    before: bytes, order_key: int, n: int, command_key: int | None, epoch: int | None, at_us: int, kind: str, data: str
) -> bytes:
    """The hash of one event over the one before it: 16 bytes of SHA-256 over every column but seq."""
    head = f"{order_key}|{n}|{command_key}|{epoch}|{at_us}|{kind}|"
    return hashlib.sha256(before + head.encode() + data.encode()).digest()[:16]


def chain_start(client_order_id: str) -> bytes:
    """What an order's first event is chained to."""
    return hashlib.sha256(client_order_id.encode()).digest()[:16]


class Fact(msgspec.Struct, frozen=True):
    """One event about one entry."""

    entry: Entry
    event: e.Event


@dataclass(slots=True)
class Appended:
    """What an append made of things."""

    entries: dict[int, Entry]  # by command_key, after all facts
    newest_seq: int  # 0: nothing was appended
    duplicates: int  # second orders seen under one id; sending is halted when there is one


def append(
    connection: Connection, facts: Sequence[Fact], *, epoch: int | None, now_us: int, seq: int | None = None
) -> Appended:
    """Record facts in order and move their projections; durable when the caller's transaction commits.

    `seq` is the number of the newest event, where the caller has asked for it in this transaction.
    Raises InvalidTransition: nothing of the transaction may be kept.
    """
    if not facts:
        return Appended({}, 0, 0)
    facts = _plausible(connection, facts)
    if seq is None:
        seq = execute(connection, _NEWEST_SEQ).fetchone()[0]
    page = _Page(epoch=epoch, now_us=now_us, seq=seq, known=_moved_since(connection, facts))
    for fact in facts:
        page.take(fact)
    page.flush(connection)
    return Appended(page.entries, page.seq, page.duplicates)


def _plausible(connection: Connection, facts: Sequence[Fact]) -> Sequence[Fact]:
    """The facts, those that cannot be true of their order turned into doubt about that one order (P4).

    An answer may name an order_id that another order has, or fill more than was asked for: that must neither be
    believed nor roll back its neighbors' answers.
    """
    names = [name for fact in facts if (name := _new_order_id(fact)) is not None]
    if not names:
        return facts
    owners = _owners(connection, names)
    told = [(fact, _doubted(fact, owners)) for fact in facts]
    return [fact if event is fact.event else Fact(fact.entry, event) for fact, event in told]


def _new_order_id(fact: Fact) -> str | None:
    match fact.event:
        case e.Acknowledged(order_id=name):
            return name
        case e.Found(order=seen):
            return seen.order_id
        case _:
            return None


def _owners(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """order_id -> order key, of those that orders of this ledger have."""
    found: dict[str, int] = {}
    for start in range(0, len(names), 500):
        part = names[start : start + 500]
        marks = ",".join([placeholder(connection)] * len(part))
        # The condition of the partial index, repeated.
        query = f"SELECT order_id, key FROM orders WHERE order_id IS NOT NULL AND order_id IN ({marks})"  # noqa: S608
        found.update(execute(connection, query, part).fetchall())
    return found


def _doubted(fact: Fact, owners: dict[str, int]) -> e.Event:
    """The event, or the doubt that it comes down to; `owners` learns who has which order_id."""
    event, key = fact.event, fact.entry.order_key
    name = _new_order_id(fact)
    if name is None:
        return event
    is_taken = owners.setdefault(name, key) != key
    if isinstance(event, e.Found):
        if not is_taken:
            return event
        return e.FoundForeign(source=event.source, as_of_ms=event.as_of_ms, order=event.order, differs="order_id")
    assert isinstance(event, e.Acknowledged)
    if is_taken:
        detail = f"the answer names order {name}, which is another order of this ledger"
        return e.AttemptUnknown(attempt=event.attempt, why="order_id_taken", detail=detail)
    if event.fill_count_e2 + event.remaining_count_e2 > fact.entry.order.count_e2:
        detail = f"the answer for order {name} tells of more contracts than were asked for"
        return e.AttemptUnknown(attempt=event.attempt, why="impossible_counts", detail=detail)
    return event


def chain_heads(connection: Connection, order_keys: Collection[int]) -> dict[int, tuple[int, bytes]]:
    """The number and hash of the newest event of each of these orders."""
    if not order_keys:
        return {}
    # Integers of our own, written out: one statement, whatever their number.
    keys = ",".join(map(str, order_keys))
    rows = execute(connection, f"SELECT key, event_count, chain_hash FROM orders WHERE key IN ({keys})")  # noqa: S608
    return {row[0]: (row[1], row[2]) for row in rows}


def _moved_since(connection: Connection, facts: Sequence[Fact]) -> dict[int, Entry]:
    """The commands of these facts whose order has had events since its entry was read, as they are now.

    A fact is applied to what the ledger holds, never to a memory of it: else an old entry would undo what came since.
    """
    # Counted in one step, not fetched: at each row sqlite3 gives up the interpreter lock.
    ours = {(f.entry.order_key, f.entry.event_count, f.entry.chain_hash) for f in facts}
    if matching_rows(connection, "orders", ("event_count", "chain_hash"), list(ours)) == len(ours):
        return {}
    heads = chain_heads(connection, {fact.entry.order_key for fact in facts})
    old = {f.entry.command_key for f in facts if heads[f.entry.order_key] != (f.entry.event_count, f.entry.chain_hash)}
    rows = connection.execute(_ENTRIES, {"keys": sorted(old)})
    return {entry.command_key: entry for entry in map(entry_of, rows)}


_ENTRIES = ENTRY_SELECT.where(schema.commands.c.key.in_(bindparam("keys", expanding=True)))


class _Page:
    """The facts of one transaction while they are being applied."""

    def __init__(self, *, epoch: int | None, now_us: int, seq: int, known: dict[int, Entry]) -> None:
        self.epoch = epoch
        self.now_us = now_us
        self.seq = seq
        self.entries: dict[int, Entry] = {}
        self.duplicates = 0
        self._first_duplicate = ""
        self._seconds: list[tuple[Entry, e.Event, str]] = []
        self._orders: dict[int, Entry] = {}  # the newest entry of each order: the order's side of it counts
        self._before: dict[int, Order] = {}  # each order as the ledger has it
        self._events: list[tuple[object, ...]] = []
        self._fills: list[tuple[object, ...]] = []
        self._known = known

    def take(self, fact: Fact) -> None:
        entry = self._current(fact.entry)
        other = replay.second_order_id(entry.order, fact.event)
        entry = self._apply(entry, fact.event)
        if other is not None:
            self.duplicates += 1
            self._first_duplicate = self._first_duplicate or (
                f"{DUPLICATE}, {other}, was seen under client_order_id {entry.client_order_id}"
            )
            self._seconds.append((entry, fact.event, other))
            entry = self._apply(entry, e.DuplicateSeen(source=e.kind_of(fact.event), order_id=other))
        self.entries[entry.command_key] = entry
        self._orders[entry.order_key] = entry

    def flush(self, connection: Connection) -> None:
        if not self._events:
            return
        insert_rows(connection, "events", EVENT_COLUMNS, self._events)
        commands = [(x.command_key, *command_values(x.command, self.now_us)) for x in self.entries.values()]
        update_rows(connection, "commands", COMMAND_COLUMNS, commands)
        self._flush_orders(connection)
        if self._fills:
            insert_rows(connection, "fills", FILL_COLUMNS, self._fills)
        if self.duplicates:
            seconds.note(connection, self._seconds, self.now_us)
            set_halt(connection, self._first_duplicate, self.now_us)

    def _flush_orders(self, connection: Connection) -> None:
        """The orders' rows: of those that were only claimed, the few columns that moved (half the cost of all)."""
        sent, moved = [], []
        for key, x in self._orders.items():
            if replace(self._before[key], sent_at_us=x.order.sent_at_us) == x.order:
                sent.append((key, *sent_values(x.order, self.now_us, x.event_count, x.chain_hash)))
            else:
                moved.append((key, *order_values(x.order, self.now_us, x.event_count, x.chain_hash)))
        update_rows(connection, "orders", SENT_COLUMNS, sent)
        update_rows(connection, "orders", ORDER_COLUMNS, moved)

    def _current(self, entry: Entry) -> Entry:
        """The entry with what earlier facts of this page made of its command and its order."""
        mine = self.entries.get(entry.command_key) or self._known.get(entry.command_key, entry)
        newest = self._orders.get(entry.order_key)
        if newest is None:
            self._before[entry.order_key] = mine.order
            return mine
        return replace(mine, order=newest.order, event_count=newest.event_count, chain_hash=newest.chain_hash)

    def _apply(self, entry: Entry, event: e.Event) -> Entry:
        about_order = isinstance(event, _ORDER_FACTS)
        if about_order:
            command, order = entry.command, replay.observe(entry.order, event)
        else:
            command, order = replay.apply(entry.command, entry.order, event)
        if isinstance(event, e.Filled):
            self._fills.append(_fill_row(entry, event))
        self.seq += 1
        n, kind, data = entry.event_count + 1, e.kind_of(event), e.encode(event)
        command_key = None if about_order else entry.command_key
        hashed = chain_hash(entry.chain_hash, entry.order_key, n, command_key, self.epoch, self.now_us, kind, data)
        self._events.append((self.seq, entry.order_key, n, command_key, self.epoch, self.now_us, kind, data, hashed))
        return replace(entry, command=command, order=order, event_count=n, chain_hash=hashed)


def _fill_row(entry: Entry, event: e.Filled) -> tuple[object, ...]:
    assert entry.order.order_id is not None
    return (
        event.trade_id,
        entry.order_key,
        entry.order.order_id,
        entry.ticker,
        entry.side,
        event.count_e2,
        event.price_e6,
        event.fee_e6,
        int(event.is_taker),
        event.ts_ms,
    )


def set_halt(connection: Connection, reason: str, now_us: int) -> None:
    """Stop claiming in every process from the next turn on; survives restarts."""
    connection.execute(schema.controls.delete().where(schema.controls.c.name == "halt"))
    connection.execute(insert(schema.controls).values(name="halt", reason=reason, at_us=now_us))
