"""What recovery and people ask the ledger: doubts, live orders, witnesses, names.

Every predicate on a state is literal and repeats the partial index it relies on; a test explains each plan. Long
answers page by key in short transactions, because one open reader lets the WAL grow without limit.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import TextClause, bindparam, insert, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.sql import ColumnElement

from oms.errors import UnknownOrder
from oms.ledger import schema
from oms.ledger.bulk import execute
from oms.ledger.halt import note_lifted
from oms.ledger.ledger import ACCOUNT_READ, Ledger
from oms.ledger.rows import ENTRY_SELECT, Entry, entry_of

_c, _o, _b = schema.commands.c, schema.orders.c, schema.batches.c
_UNFINISHED_C = schema.UNFINISHED_SQL.replace("state", "commands.state", 1)
_IN_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Totals:
    """How many unfinished commands there are, by state."""

    queued: int
    on_wire: int
    in_doubt: int
    parked: int

    @property
    def doubtful(self) -> int:
        """All that count as in doubt to a user."""
        return self.on_wire + self.in_doubt + self.parked


def totals(ledger: Ledger) -> Totals:
    """Unfinished commands of recorded batches, and unfinished actions, by state; costs what is unfinished."""
    with ledger.read() as connection:
        rows = connection.execute(_TOTALS).all()
    counts = {str(row[0]): int(row[1]) for row in rows}
    return Totals(*(counts.get(word, 0) for word in ("queued", "on_wire", "in_doubt", "parked")))


_TOTALS = text(
    f"SELECT state, count(*) FROM (SELECT state FROM commands WHERE {schema.UNFINISHED_SQL}"  # noqa: S608
    " AND batch_key NOT IN (SELECT key FROM batches WHERE state = 'recording')"
    f" UNION ALL SELECT state FROM actions WHERE {schema.UNFINISHED_SQL}) GROUP BY state"
)


def doubts(ledger: Ledger) -> list[Entry]:
    """Every command in doubt or parked, oldest first."""
    with ledger.read() as connection:
        return [entry_of(row) for row in connection.execute(_DOUBTS)]


_DOUBTS = ENTRY_SELECT.where(text(_UNFINISHED_C), text("commands.state IN ('in_doubt', 'parked')")).order_by(_c.key)


def fresh(connection: Connection, entries: Sequence[Entry]) -> list[Entry]:
    """The same commands, read again in the caller's transaction, by key."""
    found: list[Entry] = []
    keys = [entry.command_key for entry in entries]
    for start in range(0, len(keys), _IN_CHUNK):
        rows = connection.execute(_BY_COMMAND_KEY, {"keys": keys[start : start + _IN_CHUNK]})
        found += map(entry_of, rows)
    return found


_BY_COMMAND_KEY = ENTRY_SELECT.where(_c.key.in_(bindparam("keys", expanding=True))).order_by(_c.key)


def creates_of(ledger: Ledger, client_order_ids: Iterable[str]) -> dict[str, Entry]:
    """The create commands of those of these ids that the ledger knows, by id."""
    found: dict[str, Entry] = {}
    wanted = list(client_order_ids)
    for start in range(0, len(wanted), _IN_CHUNK):
        part = wanted[start : start + _IN_CHUNK]
        with ledger.read() as connection:
            rows = connection.execute(_CREATES_BY_ID, {"ids": part})
            found.update((entry.client_order_id, entry) for entry in map(entry_of, rows))
    return found


_CREATES_BY_ID = ENTRY_SELECT.where(
    _o.client_order_id.in_(bindparam("ids", expanding=True)),
    _c.kind == "create",
    _b.state == "recorded",
).join(schema.batches, _b.key == _o.batch_key)


def creates_by_key(ledger: Ledger, order_keys: Sequence[int]) -> list[Entry]:
    """The create commands of these orders."""
    if not order_keys:
        return []
    query = ENTRY_SELECT.where(_o.key.in_(order_keys), _c.kind == "create")
    with ledger.read() as connection:
        return [entry_of(row) for row in connection.execute(query)]


def creates_by_order_id(ledger: Ledger, order_ids: Iterable[str]) -> dict[str, Entry]:
    """The create commands of those of these exchange order_ids that the ledger knows, by order_id."""
    found: dict[str, Entry] = {}
    wanted = list(order_ids)
    for start in range(0, len(wanted), _IN_CHUNK):
        with ledger.read() as connection:
            rows = connection.execute(_CREATES_BY_ORDER_ID, {"ids": wanted[start : start + _IN_CHUNK]})
            for entry in map(entry_of, rows):
                assert entry.order.order_id is not None
                found[entry.order.order_id] = entry
    return found


_CREATES_BY_ORDER_ID = ENTRY_SELECT.where(
    text("orders.order_id IS NOT NULL"), _o.order_id.in_(bindparam("ids", expanding=True)), _c.kind == "create"
)


def resting(ledger: Ledger) -> list[Entry]:
    """The create commands of every order that is resting as far as the ledger knows."""
    with ledger.read() as connection:
        return [entry_of(row) for row in connection.execute(_RESTING)]


# By a list of keys: joined directly, SQLite reads every command there is.
_RESTING = ENTRY_SELECT.where(
    text("orders.key IN (SELECT key FROM orders WHERE status = 'resting')"), _c.kind == "create"
)


def resting_ids(ledger: Ledger) -> list[tuple[str, int]]:
    """(order_id, creation in ms) of every order that rests as far as the ledger knows; creation 0 where unknown."""
    with ledger.read() as connection:
        return [(row[0], row[1] or 0) for row in connection.execute(_RESTING_IDS)]


_RESTING_IDS = text("SELECT order_id, created_ts_ms FROM orders WHERE status = 'resting'")


def canceled_here(ledger: Ledger, order_keys: Sequence[int]) -> set[int]:
    """Those of these orders for which a cancel was ever recorded."""
    query = select(_c.order_key).where(_c.order_key.in_(order_keys), _c.kind == "cancel")
    with ledger.read() as connection:
        return set(connection.execute(query).scalars())


def closed_markets(ledger: Ledger, tickers: Collection[str]) -> dict[str, int | None]:
    """Those of these markets that trade no more, by what was last read of them, and when they closed (ms)."""
    market = schema.markets.c
    query = select(market.ticker, market.close_ts_ms).where(market.ticker.in_(tickers), market.status.not_in(_TRADING))
    with ledger.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


_TRADING = ("initialized", "inactive", "active")


def crossing(ledger: Ledger, tickers: Collection[str], since_ms: int) -> list[tuple[int, str, str, int, int]]:
    """Orders in these markets since then that cancel others of ours: key, ticker, side, price, when they were made."""
    o = schema.orders.c
    query = select(o.key, o.ticker, o.side, o.price_e6, o.created_ts_ms).where(
        o.self_trade_prevention_type == "maker", o.created_ts_ms >= since_ms, o.ticker.in_(tickers)
    )
    with ledger.read() as connection:
        return [(row[0], row[1], row[2], row[3], row[4]) for row in connection.execute(query)]


def triggered_groups(ledger: Ledger) -> set[str]:
    """order_group_ids of groups whose limit was met, or that were triggered by hand or deleted."""
    group = schema.order_groups.c
    query = select(group.order_group_id).where(group.state != "open")
    with ledger.read() as connection:
        return set(connection.execute(query).scalars())


def newest_order_id(ledger: Ledger) -> str | None:
    """The exchange's id of the order it took last, as far as the ledger knows; None when it knows none."""
    with ledger.read() as connection:
        return connection.execute(_NEWEST_ORDER_ID).scalar()


_NEWEST_ORDER_ID = text(
    "SELECT order_id FROM orders WHERE created_ts_ms IS NOT NULL AND order_id IS NOT NULL"
    " ORDER BY created_ts_ms DESC LIMIT 1"
)


def newest_created_ms(ledger: Ledger) -> int | None:
    """When the exchange took the newest order that we know it took (its time, ms); None where there is none."""
    with ledger.read() as connection:
        found: int | None = connection.execute(_NEWEST_CREATED).scalar()
        return found


_NEWEST_CREATED = text(
    "SELECT created_ts_ms FROM orders WHERE created_ts_ms IS NOT NULL AND order_id IS NOT NULL"
    " ORDER BY created_ts_ms DESC LIMIT 1"
)


def witnesses(ledger: Ledger, from_ms: int, to_ms: int) -> dict[str, int]:
    """order_id -> creation time (ms) of every order we know the exchange took in that span of its time."""
    with ledger.read() as connection:
        rows = connection.execute(_WITNESSES, {"from_ms": from_ms, "to_ms": to_ms})
        return {row[0]: row[1] for row in rows}


_WITNESSES = text(
    "SELECT order_id, created_ts_ms FROM orders WHERE created_ts_ms IS NOT NULL"
    " AND created_ts_ms BETWEEN :from_ms AND :to_ms AND order_id IS NOT NULL"
)


def are_unfinished(ledger: Ledger, command_keys: Sequence[int]) -> bool:
    """Whether any of these commands is not finished."""
    query = select(_c.key).where(text(_UNFINISHED_C), _c.key.in_(command_keys)).limit(1)
    with ledger.read() as connection:
        return connection.execute(query).scalar() is not None


def unfinished_twins(ledger: Ledger, batch_key: int) -> int:
    """Unfinished creates of other batches whose row is also one of this batch: perhaps the same intent, twice."""
    with ledger.read() as connection:
        return int(connection.execute(_TWINS, {"batch_key": batch_key}).scalar_one())


_TWINS = text(
    "SELECT count(*) FROM commands JOIN orders ON orders.key = commands.order_key"  # noqa: S608
    f" WHERE {_UNFINISHED_C} AND commands.kind = 'create' AND commands.batch_key <> :batch_key"
    " AND orders.row_digest IN (SELECT row_digest FROM orders WHERE batch_key = :batch_key LIMIT 100)"
)


def cancels_asked(ledger: Ledger, order_keys: Iterable[int]) -> set[int]:
    """Those of these orders for which a cancel is recorded and not finished."""
    wanted = set(order_keys)
    with ledger.read() as connection:
        rows = connection.execute(_OPEN_CANCELS)
        return {row[0] for row in rows} & wanted


_OPEN_CANCELS = text(
    f"SELECT order_key FROM commands WHERE {schema.UNFINISHED_SQL}"  # noqa: S608
    " AND state IN ('queued', 'on_wire', 'in_doubt') AND kind = 'cancel'"
)


def live_keys(
    ledger: Ledger, *, batch_key: int | None = None, ticker: str | None = None, tag: str | None = None
) -> list[int]:
    """Orders that rest or may come to, as far as the ledger knows, oldest first; costs what lives."""
    conditions: list[ColumnElement[bool] | TextClause] = [text(_IS_LIVE)]
    if batch_key is not None:
        conditions.append(_o.batch_key == batch_key)
    if ticker is not None:
        conditions.append(_o.ticker == ticker)
    if tag is not None:
        conditions.append(_o.tag == tag)
    query = select(_o.key).join(schema.batches, _b.key == _o.batch_key).where(_b.state == "recorded", *conditions)
    with ledger.read() as connection:
        return list(connection.execute(query.order_by(_o.key)).scalars())


_IS_LIVE = (
    "orders.key IN (SELECT key FROM orders WHERE status = 'resting' UNION"  # noqa: S608
    f" SELECT order_key FROM commands WHERE {schema.UNFINISHED_SQL} AND kind = 'create')"
)


def change(ledger: Ledger, command_key: int) -> Entry:
    """One command with its order, as it stands."""
    with ledger.read() as connection:
        (entry,) = connection.execute(_BY_COMMAND_KEY, {"keys": [command_key]}).all()
    return entry_of(entry)


def changes_open(ledger: Ledger, order_keys: Iterable[int]) -> set[int]:
    """Those of these orders of which an amend or decrease may have left and is not settled."""
    wanted = set(order_keys)
    with ledger.read() as connection:
        return {row[0] for row in connection.execute(_OPEN_CHANGES)} & wanted


_OPEN_CHANGES = text(
    f"SELECT order_key FROM commands WHERE {schema.UNFINISHED_SQL}"  # noqa: S608
    " AND state IN ('on_wire', 'in_doubt') AND kind IN ('amend', 'decrease')"
)


def amended_elsewhere(ledger: Ledger) -> list[Entry]:
    """The create commands of resting orders whose terms nobody asked for here."""
    with ledger.read() as connection:
        return [entry_of(row) for row in connection.execute(_AMENDED_ELSEWHERE)]


_AMENDED_ELSEWHERE = ENTRY_SELECT.where(
    text("orders.key IN (SELECT key FROM orders WHERE status = 'resting' AND terms_elsewhere = 1)"), _c.kind == "create"
)


def known_trades(ledger: Ledger, trade_ids: Sequence[str]) -> set[str]:
    """Those of these trade_ids that are recorded already."""
    found: set[str] = set()
    for start in range(0, len(trade_ids), _IN_CHUNK):
        part = list(trade_ids[start : start + _IN_CHUNK])
        with ledger.read() as connection:
            found |= set(connection.execute(_TRADES, {"ids": part}).scalars())
    return found


_TRADES = select(schema.fills.c.trade_id).where(schema.fills.c.trade_id.in_(bindparam("ids", expanding=True)))


def entry_named(ledger: Ledger, name: str) -> Entry:
    """The create command of the order a person names by client_order_id, order_id, or an unambiguous start of one.

    Raises UnknownOrder, naming the candidates where several fit.
    """
    with ledger.read() as connection:
        rows = connection.execute(_BY_NAME, {"name": name}).all()
        if not rows and len(name) >= 8:
            pattern = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            rows = connection.execute(_BY_START, {"pattern": pattern}).all()
    if len(rows) == 1:
        return entry_of(rows[0])
    if rows:
        ids = ", ".join(str(row._mapping["client_order_id"]) for row in rows)
        raise UnknownOrder(f"{name!r} fits several orders: {ids}", hint="give more of the id")
    raise UnknownOrder(
        f"no order of this ledger is called {name!r}",
        hint="`oms orders` lists them; ids may be shortened to 8 characters",
    )


_CREATES = ENTRY_SELECT.join(schema.batches, _b.key == _o.batch_key).where(_c.kind == "create", _b.state == "recorded")
_BY_NAME = _CREATES.where((_o.client_order_id == bindparam("name")) | (_o.order_id == bindparam("name")))
_BY_START = _CREATES.where(
    _o.client_order_id.like(bindparam("pattern"), escape="\\") | _o.order_id.like(bindparam("pattern"), escape="\\")
).limit(5)


def untraded(ledger: Ledger, most: int) -> list[tuple[str, int]]:
    """(order_id, creation in ms) of filled orders some of whose trades were never shown, oldest first, at most so many.

    Creation is 0 where it is not known.
    """
    with ledger.read() as connection:
        rows = connection.execute(_UNTRADED, {"most": most})
        return [(row[0], row[1] or 0) for row in rows]


_UNTRADED = text(
    "SELECT order_id, created_ts_ms FROM orders WHERE traded_count_e2 < fill_count_e2 AND order_id IS NOT NULL"
    " ORDER BY created_ts_ms LIMIT :most"
)


def watermark(ledger: Ledger, name: str = ACCOUNT_READ) -> int | None:
    """Exchange time (ms) up to which something was read, or None if never."""
    with ledger.read() as connection:
        value = connection.execute(_WATERMARK, {"name": name}).scalar()
    return int(value) if value is not None else None


def noted(ledger: Ledger, name: str) -> tuple[int, int] | None:
    """A watermark's value (ms), and when it was set (our clock, microseconds)."""
    with ledger.read() as connection:
        row = connection.execute(_WATERMARK, {"name": name}).one_or_none()
    return None if row is None else (row[0], row[1])


_WATERMARK = text("SELECT value_ms, at_us FROM watermarks WHERE name = :name")


def newest_batch(ledger: Ledger) -> int:
    """The key of the newest batch, whether all of it is recorded or not; 0 for none."""
    with ledger.read() as connection:
        return int(execute(connection, _NEWEST_BATCH).fetchone()[0])


_NEWEST_BATCH = "SELECT coalesce(max(key), 0) FROM batches WHERE state = 'recorded'"


def queued_batches(ledger: Ledger) -> list[tuple[int, bytes]]:
    """Recorded batches with creates that were not sent: their number here, and the key that ids derive from."""
    with ledger.read() as connection:
        return [(row[0], bytes.fromhex(row[1])) for row in execute(connection, _QUEUED_BATCHES)]


_QUEUED_BATCHES = (
    "SELECT batches.key, batches.batch_key FROM (SELECT DISTINCT batch_key FROM commands"  # noqa: S608
    f" WHERE {schema.UNFINISHED_SQL} AND state = 'queued' AND kind = 'create') AS queued"
    " JOIN batches ON batches.key = queued.batch_key WHERE batches.state = 'recorded' ORDER BY batches.key"
)


def strange_queued(ledger: Ledger) -> dict[str, int]:
    """Batches with queued orders that the exchange has shown before they were known here: see schema.STRANGE.

    The watermark's name and its value: when the first of their orders was created there (ms).
    """
    with ledger.read() as connection:
        return {row[0]: row[1] for row in execute(connection, schema.STRANGE_QUEUED_SQL)}


def set_watermark(connection: Connection, name: str, value_ms: int, now_us: int) -> None:
    """Move a watermark, in the caller's transaction."""
    connection.execute(_UNSET, {"name": name})
    connection.execute(_SET, {"name": name, "value_ms": value_ms, "at_us": now_us})


_UNSET = text("DELETE FROM watermarks WHERE name = :name")
_SET = text("INSERT INTO watermarks (name, value_ms, at_us) VALUES (:name, :value_ms, :at_us)")


def halt_reason(ledger: Ledger) -> str | None:
    """Why sending is halted, by the file beside the ledger or by its row; None when it is not."""
    by_file = ledger.halt.read()
    if by_file is not None:
        return by_file.reason
    with ledger.read() as connection:
        row = execute(connection, "SELECT reason FROM controls WHERE name = 'halt'").fetchone()
    return str(row[0]) if row is not None else None


def keep_halt(ledger: Ledger, reason: str, now_us: int) -> None:
    """Write the row of a halt that only the file knows, because the ledger could not be written then."""
    by_file = ledger.halt.read()
    at_us = now_us if by_file is None or by_file.at_us is None else by_file.at_us  # one halt, of one moment
    row = insert(schema.controls).values(name="halt", reason=reason, at_us=at_us)
    with ledger.gated_write() as connection:
        if connection.execute(select(schema.controls.c.name).where(schema.controls.c.name == "halt")).first() is None:
            connection.execute(row)


def lift_halt(ledger: Ledger) -> None:
    """Let claims be made again, the row first: cut off in between, it is still halted. Durable on return."""
    by_file = ledger.halt.read()
    with ledger.gated_write() as connection:
        note_lifted(partial(execute, connection), by_file)
        connection.execute(schema.controls.delete().where(schema.controls.c.name == "halt"))
    ledger.halt.lift()


def queued_entries(ledger: Ledger, batch_key: int | None, page: int = 500) -> Iterator[list[Entry]]:
    """Queued creates of one batch (or all), in pages by key."""
    last = 0
    while True:
        values = {"last": last, "most": page, "batch_key": batch_key}
        with ledger.read() as connection:
            query = _QUEUED_PAGE if batch_key is None else _QUEUED_PAGE.where(_c.batch_key == bindparam("batch_key"))
            entries = [entry_of(row) for row in connection.execute(query, values)]
        if not entries:
            return
        yield entries
        last = entries[-1].command_key


_QUEUED_PAGE = (
    ENTRY_SELECT.where(
        text(_UNFINISHED_C),
        text("commands.state = 'queued' AND commands.kind = 'create'"),
        _c.key > bindparam("last"),
    )
    .order_by(_c.key)
    .limit(bindparam("most"))
)


def key_print_of_epoch(ledger: Ledger, epoch: int) -> str | None:
    """The fingerprint of the API key that a run sent with."""
    with ledger.read() as connection:
        return connection.execute(select(schema.epochs.c.key_print).where(schema.epochs.c.epoch == epoch)).scalar()


def last_key_print(ledger: Ledger) -> str | None:
    """The fingerprint of the API key that the newest run used which used one; None for none."""
    with ledger.read() as connection:
        row = execute(connection, _LAST_KEY_PRINT).fetchone()
    return None if row is None else str(row[0])


_LAST_KEY_PRINT = "SELECT key_print FROM epochs WHERE key_print IS NOT NULL ORDER BY epoch DESC LIMIT 1"
