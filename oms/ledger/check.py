"""The ledger against itself: SQLite's own checks, every chain, every row against the events it follows from (P7).

Reads only, in short transactions that page by key, so that it can run beside a sender and needs the same memory for a
million orders as for one. A start checks the tail only (`check_tail`); `oms db check` checks everything.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from oms.errors import InvalidTransition, LedgerDamaged, LedgerFailed
from oms.intake.ids import row_digest
from oms.intake.intents import Intent, body_digest, request_body
from oms.ledger import schema
from oms.ledger.actions import check_actions
from oms.ledger.append import chain_hash, chain_start
from oms.ledger.bulk import execute
from oms.ledger.ledger import Ledger
from oms.ledger.rows import COMMAND_COLUMNS, ORDER_COLUMNS, command_values, order_values
from oms.lifecycle import events as e
from oms.lifecycle import replay
from oms.lifecycle.states import (
    Action,
    Command,
    CommandKind,
    Order,
    Outcome,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from oms.records import CheckRecord

_PAGE = 500
_NAMED = 5  # so many problems of one kind are told one by one
_RESTORE = "restore a backup with `oms db restore`; keep the damaged file, it is evidence"
# The last columns of a row are bookkeeping: when it was touched, not what is known.
_COMMAND_FACTS = COMMAND_COLUMNS[:-1]

_INTENT = (
    "client_order_id",
    "ticker",
    "side",
    "price_e6",
    "count_e2",
    "time_in_force",
    "self_trade_prevention_type",
    "post_only",
    "reduce_only",
    "expiration_time",
    "subaccount",
    "action",
    "outcome",
    "own_id",
    "tag",
    "submit_before_us",
    "order_group_id",
)


def check(ledger: Ledger, *, progress: Callable[[int], None] = lambda done: None) -> Iterator[CheckRecord]:
    """Check everything, one record per kind of check; `progress` is told how many orders are done.

    Damage is never raised: what cannot be read for it is a record too.
    """
    for name, look in _LOOKS:
        try:
            yield look(name, ledger)
        except LedgerFailed as exc:
            yield CheckRecord(name=name, ok=False, seen=exc.message, fix=_RESTORE)
    tallies = _Tallies()
    unread = ""
    try:
        for keys in _order_keys(ledger):
            with ledger.read() as connection:
                for stored in _load(connection, keys):
                    _check_order(stored, tallies)
            progress(tallies.chains.seen)
    except LedgerFailed as exc:
        unread = exc.message
    for tally in tallies.all():
        yield tally.record(unread)
    yield from check_actions(ledger, _RESTORE)


def check_tail(ledger: Ledger, most: int = 200) -> None:
    """Check the orders of the newest events; what a torn or lost write would have hit. Raises LedgerDamaged."""
    tallies = _Tallies()
    with ledger.read() as connection:
        keys = connection.execute(_TAIL, {"most": most}).scalars().all()
        orders = _load(connection, keys)
    if len(orders) != len(keys):
        tallies.chains.note("there are events of orders that are not there")
    for stored in orders:
        _check_order(stored, tallies)
    for tally in tallies.all():
        if tally.wrong:
            raise LedgerDamaged(
                f"the ledger {ledger.path} contradicts itself: {tally.problems[0]}; nothing was sent",
                hint=f"run `oms db check`, then {_RESTORE}",
            )


# -- what SQLite can tell -----------------------------------------------------------------------------------------


def _pages(name: str, ledger: Ledger) -> CheckRecord:
    with ledger.read() as connection:
        found = [str(row[0]) for row in connection.exec_driver_sql(f"PRAGMA integrity_check({_NAMED})")]
    ok = found == ["ok"]
    return CheckRecord(name=name, ok=ok, seen="intact" if ok else "; ".join(found), fix="" if ok else _RESTORE)


def _tables(name: str, ledger: Ledger) -> CheckRecord:
    """Every table has the columns of its revision: a bit flipped in a name is text like any other to SQLite."""
    tally = _Tally(name)
    with ledger.read() as connection:
        inspector = inspect(connection)
        there = set(inspector.get_table_names())
        for table in schema.metadata.sorted_tables:
            tally.seen += 1
            columns = {found["name"] for found in inspector.get_columns(table.name)} if table.name in there else set()
            differs = sorted(columns ^ set(table.columns.keys()))
            if differs:
                tally.note(f"table {table.name} differs from its revision in {', '.join(differs)}")
    return tally.record()


def _references(name: str, ledger: Ledger) -> CheckRecord:
    with ledger.read() as connection:
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(_NAMED)
    seen = "; ".join(f"row {row[1]} of {row[0]} refers to a missing row of {row[2]}" for row in broken)
    return CheckRecord(name=name, ok=not broken, seen=seen or "whole", fix=_RESTORE if broken else "")


def _batches(name: str, ledger: Ledger) -> CheckRecord:
    """Every recorded batch has all its rows, numbered from 1 (P3)."""
    tally = _Tally(name)
    with ledger.read() as connection:
        batches = connection.execute(_BATCHES).all()
    for batch in batches:
        tally.seen += 1
        with ledger.read() as connection:
            rows, last = connection.execute(_BATCH_ROWS, {"key": batch.key}).one()
        if rows != batch.row_count or (last or 0) != rows:
            tally.note(f"batch {batch.batch_key[:16]} has {rows} rows up to number {last}, not {batch.row_count}")
    return tally.record()


_LOOKS = (("pages and indexes", _pages), ("tables", _tables), ("references", _references), ("batches", _batches))


# -- what the events tell -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tally:
    """One kind of check: how many were looked at and what was wrong."""

    name: str
    seen: int = 0
    wrong: int = 0
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str) -> None:
        self.wrong += 1
        if len(self.problems) < _NAMED:
            self.problems.append(problem)

    def record(self, unread: str = "") -> CheckRecord:
        """What was found; `unread` says why not everything could be looked at."""
        if unread and not self.wrong:
            return CheckRecord(name=self.name, ok=None, seen=f"{self.seen} checked, then: {unread}", fix=_RESTORE)
        if not self.wrong:
            return CheckRecord(name=self.name, ok=True, seen=f"{self.seen} checked", fix="")
        more = f"; and {self.wrong - len(self.problems)} more" if self.wrong > len(self.problems) else ""
        return CheckRecord(name=self.name, ok=False, seen="; ".join(self.problems) + more, fix=_RESTORE)


@dataclass(slots=True)
class _Tallies:
    chains: _Tally = field(default_factory=lambda: _Tally("chains of events"))
    intents: _Tally = field(default_factory=lambda: _Tally("intents and requests"))
    projections: _Tally = field(default_factory=lambda: _Tally("rows against events"))
    fills: _Tally = field(default_factory=lambda: _Tally("trades"))

    def all(self) -> tuple[_Tally, ...]:
        return (self.chains, self.intents, self.projections, self.fills)


class _EventRow(NamedTuple):
    order_key: int
    n: int
    command_key: int | None
    epoch: int | None
    at_us: int
    seq: int
    kind: str
    data: str
    hash: bytes


class _CommandRow(NamedTuple):
    kind: str
    recorded_seq: int
    digest: bytes
    facts: tuple[Any, ...]  # _COMMAND_FACTS


@dataclass(slots=True)
class _Stored:
    """Everything the ledger holds of one order."""

    key: int
    row_digest: bytes
    intent: dict[str, Any]  # _INTENT
    facts: tuple[Any, ...]  # ORDER_COLUMNS
    commands: dict[int, _CommandRow] = field(default_factory=dict)
    events: list[_EventRow] = field(default_factory=list)
    fills: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def client_order_id(self) -> str:
        return str(self.intent["client_order_id"])


_History = Sequence[tuple[_EventRow, e.Event]]


def _check_order(stored: _Stored, tallies: _Tallies) -> None:
    name = f"order {stored.client_order_id}"
    for tally in tallies.all():
        tally.seen += 1
    problem = _chain_problem(stored)
    if problem:
        tallies.chains.note(f"{name}: {problem}")
    try:
        history = [(row, e.decode(row.kind, row.data)) for row in stored.events]
        commands, order = _replayed(stored, history)
    except (ValueError, KeyError, InvalidTransition) as exc:
        tallies.projections.note(f"{name}: its events cannot be replayed: {exc}")
        return
    for tally, found in (
        (tallies.intents, _intent_problem(stored, history)),
        (tallies.projections, _row_problem(stored, commands, order)),
        (tallies.fills, _fill_problem(stored, [event for _, event in history if isinstance(event, e.Filled)])),
    ):
        if found:
            tally.note(f"{name}: {found}")


def _chain_problem(stored: _Stored) -> str:
    before = chain_start(stored.client_order_id)
    for number, row in enumerate(stored.events, 1):
        if row.n != number:
            return f"event {number} is missing"
        before = chain_hash(before, stored.key, number, row.command_key, row.epoch, row.at_us, row.kind, row.data)
        if before != row.hash:
            return f"event {number} ({row.kind}) is not the one that was recorded"
    count, head = stored.facts[-2:]
    if count != len(stored.events):
        return f"{len(stored.events)} events are stored, {count} were recorded"
    return "" if before == head else "its newest event is not the one its row names"


def _replayed(stored: _Stored, history: _History) -> tuple[dict[int, Command], Order]:
    commands: dict[int, Command] = {}
    order = Order(count_e2=stored.intent["count_e2"], price_e6=stored.intent["price_e6"])
    for row, event in history:
        if row.command_key is None:
            order = replay.observe(order, event)
        elif isinstance(event, e.Recorded):
            commands[row.command_key] = replay.begin(event)
        else:
            commands[row.command_key], order = replay.apply(commands[row.command_key], order, event)
    return commands, order


def _row_problem(stored: _Stored, commands: dict[int, Command], order: Order) -> str:
    newest_us = stored.events[-1].at_us if stored.events else 0
    differs = _differing(ORDER_COLUMNS, stored.facts, order_values(order, newest_us, *stored.facts[-2:]))
    if differs:
        return f"its row differs from its events in {differs}"
    if commands.keys() != stored.commands.keys():
        return f"commands {sorted(stored.commands)} are stored, its events tell of {sorted(commands)}"
    for key, command in commands.items():
        row = stored.commands[key]
        differs = _differing(_COMMAND_FACTS, row.facts, command_values(command, 0)[:-1])
        if differs or row.kind != command.kind:
            return f"the row of its {command.kind} differs from its events in {differs or 'kind'}"
    return ""


def _differing(names: Sequence[str], stored: Sequence[object], replayed: Sequence[object]) -> str:
    if tuple(stored) == tuple(replayed):
        return ""
    pairs = zip(names, stored, replayed, strict=True)
    return ", ".join(f"{name} ({was!r}, by its events {now!r})" for name, was, now in pairs if was != now)


def _intent_problem(stored: _Stored, history: _History) -> str:
    """The row's intent, the request body of its create, and the digest checked at every claim are one."""
    for row, event in history:
        if not isinstance(event, e.Recorded):
            continue
        command = stored.commands.get(row.command_key or 0)
        if command is None or command.recorded_seq != row.seq:
            return f"command {row.command_key} does not name the event that recorded it"
        if command.digest != body_digest(event.body):
            return f"the digest of its {event.kind} is not that of the recorded request"
        if event.kind is CommandKind.CREATE and _differs_from_intent(stored, event):
            return "its row is not the intent that was recorded"
    return ""


def _differs_from_intent(stored: _Stored, event: e.Recorded) -> bool:
    values = dict(stored.intent)
    try:
        values.update((name, words(values[name])) for name, words in _WORDS.items())
    except ValueError:
        return True  # a word that no recorded intent has
    intent = Intent(**values)
    kept = (event.action, event.outcome, event.own_id, event.tag, event.submit_before_us)
    wanted = (intent.action, intent.outcome, intent.own_id, intent.tag, intent.submit_before_us)
    return kept != wanted or event.body != request_body(intent) or stored.row_digest != row_digest(intent)


_WORDS: dict[str, Callable[[Any], object]] = {
    "side": Side,
    "time_in_force": TimeInForce,
    "self_trade_prevention_type": SelfTradePrevention,
    "action": Action,
    "outcome": Outcome,
    "post_only": bool,
    "reduce_only": bool,
    "own_id": bool,
}


def _fill_problem(stored: _Stored, filled: Sequence[e.Filled]) -> str:
    told = {x.trade_id: (x.count_e2, x.price_e6, x.fee_e6, int(x.is_taker), x.ts_ms) for x in filled}
    if len(told) != len(filled):
        return "a trade was counted twice"
    if told == stored.fills:
        return ""
    differs = sorted(str(name) for name in told.keys() ^ stored.fills.keys()) or ["their figures"]
    return f"its trades differ from its events in {', '.join(differs[:_NAMED])}"


# -- reading --------------------------------------------------------------------------------------------------------


def _order_keys(ledger: Ledger) -> Iterator[Sequence[int]]:
    last = 0
    while True:
        with ledger.read() as connection:
            keys = connection.execute(_NEXT_KEYS, {"last": last, "most": _PAGE}).scalars().all()
        if not keys:
            return
        yield keys
        last = keys[-1]


def _load(connection: Connection, keys: Collection[int]) -> list[_Stored]:
    """These orders with all that belongs to them, of one moment."""
    if not keys:
        return []
    wanted = f"IN ({','.join(map(str, keys))})"  # integers of our own, written out
    intent = len(_INTENT)
    found: dict[int, _Stored] = {}
    for row in execute(connection, f"{_ORDERS} WHERE key {wanted} ORDER BY key"):
        kept = dict(zip(_INTENT, row[2 : 2 + intent], strict=True))
        found[row[0]] = _Stored(row[0], row[1], kept, tuple(row[2 + intent :]))
    wanted = f"IN ({','.join(map(str, found))})"
    for row in execute(connection, f"{_COMMANDS} WHERE order_key {wanted}"):
        found[row[0]].commands[row[1]] = _CommandRow(row[2], row[3], row[4], tuple(row[5:]))
    for row in execute(connection, f"{_EVENTS} WHERE order_key {wanted} ORDER BY order_key, n"):
        found[row[0]].events.append(_EventRow._make(row))
    for row in execute(connection, f"{_FILLS} WHERE order_key {wanted}"):
        found[row[0]].fills[row[1]] = tuple(row[2:])
    return list(found.values())


_ORDERS = f"SELECT key, row_digest, {', '.join((*_INTENT, *ORDER_COLUMNS))} FROM orders"  # noqa: S608 - names are ours
_COMMANDS = f"SELECT order_key, key, kind, recorded_seq, digest, {', '.join(_COMMAND_FACTS)} FROM commands"  # noqa: S608
_EVENTS = "SELECT order_key, n, command_key, epoch, at_us, seq, kind, data, hash FROM events"
_FILLS = "SELECT order_key, trade_id, count_e2, price_e6, fee_e6, is_taker, ts_ms FROM fills"
_NEXT_KEYS = text("SELECT key FROM orders WHERE key > :last ORDER BY key LIMIT :most")
_TAIL = text("SELECT DISTINCT order_key FROM (SELECT order_key FROM events ORDER BY seq DESC LIMIT :most)")
_BATCHES = text("SELECT key, batch_key, row_count FROM batches WHERE state = 'recorded' ORDER BY key")
_BATCH_ROWS = text("SELECT count(*), max(row) FROM orders WHERE batch_key = :key")
