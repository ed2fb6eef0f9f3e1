"""Orders, batches and histories as people and exports read them: paged by key, in short read transactions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, func, or_, select, text
from sqlalchemy.sql import ColumnElement

from oms.errors import UnknownOrder
from oms.intake.intents import Intent
from oms.ledger import schema
from oms.ledger.ledger import Ledger
from oms.lifecycle.states import (
    DOUBTFUL,
    MODIFIES,
    Action,
    CommandKind,
    Outcome,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
)

_o, _c, _b, _e = schema.orders.c, schema.commands.c, schema.batches.c, schema.events.c
_PAGE = 500
_DOUBTFUL_SQL = schema.sql_list(DOUBTFUL)


def _latest(kinds: Sequence[str]) -> Any:
    """The state of the latest command of these kinds of an order, if any: a correlated look-up by index."""
    return (
        select(schema.commands.alias("k").c.state)
        .where(text(f"k.order_key = orders.key AND k.kind IN {schema.sql_list(kinds)}"))
        .order_by(text("k.key DESC"))
        .limit(1)
        .scalar_subquery()
    )


ORDER_ROWS: Select[Any] = (
    select(
        schema.orders,
        _b.name.label("batch_name"),
        _b.batch_key.label("batch_hex"),
        _c.state.label("command_state"),
        _c.attempts.label("command_attempts"),
        _c.reason.label("command_reason"),
        _c.detail.label("command_detail"),
        _c.updated_at_us.label("command_updated_at_us"),
        _latest([CommandKind.CANCEL]).label("cancel_state"),
        _latest(MODIFIES).label("change_state"),
    )
    .select_from(schema.orders)
    .join(schema.batches, _b.key == _o.batch_key)
    .join(schema.commands, and_(_c.order_key == _o.key, _c.kind == "create"))
    .where(_b.state == "recorded")
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which orders to list."""

    batch_keys: Sequence[int] | None = None
    status: str | None = None
    in_doubt: bool = False


def order_rows(ledger: Ledger, wanted: Filter, *, newest_first: bool, limit: int | None) -> Iterator[Row[Any]]:
    """Rows of ORDER_ROWS, in key order; memory stays flat, and a page costs the same, however many there are."""
    last: Row[Any] | None = None
    left = limit
    while left is None or left > 0:
        page = _page_of_keys(wanted, last, newest_first).limit(min(_PAGE, left) if left is not None else _PAGE)
        with ledger.read() as connection:
            # The page is found by an index first: asked for in one query, SQLite reads every command for each page.
            keys = connection.execute(page).scalars().all()
            query = ORDER_ROWS.where(_o.key.in_(keys)).order_by(_o.key.desc() if newest_first else _o.key)
            rows = connection.execute(query).all() if keys else []
        yield from rows
        if len(keys) < _PAGE:
            return
        last = rows[-1]
        left = None if left is None else left - len(rows)


def _page_of_keys(wanted: Filter, last: Row[Any] | None, newest_first: bool) -> Select[Any]:
    """The keys that follow `last`; within one batch they are in the order of its rows, which has an index."""
    is_one_batch = wanted.batch_keys is not None and len(wanted.batch_keys) == 1
    column = _o.row if is_one_batch else _o.key
    conditions = [*_conditions(wanted), _b_recorded(_o.batch_key)]
    if last is not None:
        before = last._mapping[column.name]
        conditions.append(column < before if newest_first else column > before)
    return select(_o.key).where(*conditions).order_by(column.desc() if newest_first else column)


def _b_recorded(batch_key: ColumnElement[Any]) -> ColumnElement[bool]:
    return batch_key.not_in(select(_b.key).where(_b.state == "recording"))


def order_rows_by_key(ledger: Ledger, keys: Sequence[int]) -> Iterator[Row[Any]]:
    """Rows of ORDER_ROWS for these order keys, in key order."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), _PAGE):
        with ledger.read() as connection:
            query = ORDER_ROWS.where(_o.key.in_(ordered[start : start + _PAGE])).order_by(_o.key)
            rows = connection.execute(query).all()
        yield from rows


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.batch_keys is not None:
        found.append(_o.batch_key.in_(wanted.batch_keys))
    if wanted.status is not None:
        found.append(_o.status == wanted.status)
    if wanted.in_doubt:
        doubtful = select(text("order_key")).select_from(text("commands")).where(text(_DOUBT))
        found.append(_o.key.in_(doubtful))
    return found


_DOUBT = f"{schema.UNFINISHED_SQL} AND state IN {_DOUBTFUL_SQL}"


def counts_by_status(ledger: Ledger, keys: Sequence[int]) -> dict[str, int]:
    """How many of these orders stand where."""
    counts: dict[str, int] = {}
    for start in range(0, len(keys), _PAGE):
        with ledger.read() as connection:
            query = select(_o.status, func.count()).where(_o.key.in_(keys[start : start + _PAGE])).group_by(_o.status)
            for status, count in connection.execute(query):
                counts[status] = counts.get(status, 0) + count
    return counts


def counts_by_batch(ledger: Ledger, batch_key: int) -> dict[str, int]:
    """Orders of one batch by status."""
    with ledger.read() as connection:
        rows = connection.execute(
            select(_o.status, func.count()).where(_o.batch_key == batch_key).group_by(_o.status)
        ).all()
    return {str(row[0]): int(row[1]) for row in rows}


def counts_all(ledger: Ledger) -> dict[str, int]:
    """All orders of recorded batches by status."""
    with ledger.read() as connection:
        rows = connection.execute(
            text(
                "SELECT status, count(*) FROM orders"
                " WHERE batch_key NOT IN (SELECT key FROM batches WHERE state = 'recording') GROUP BY status"
            )
        ).all()
    return {str(row[0]): int(row[1]) for row in rows}


def unfinished_of(ledger: Ledger, batch_keys: Sequence[int] | None) -> tuple[int, int]:
    """(queued, doubtful) commands of these batches, or of all."""
    query = text(
        f"SELECT state, count(*) FROM commands WHERE {schema.UNFINISHED_SQL}"  # noqa: S608
        + ("" if batch_keys is None else " AND batch_key IN :keys")
        + " AND batch_key NOT IN (SELECT key FROM batches WHERE state = 'recording') GROUP BY state"
    )
    values: dict[str, Any] = {}
    if batch_keys is not None:
        query = query.bindparams(bindparam("keys", expanding=True))
        values = {"keys": list(batch_keys)}
    with ledger.read() as connection:
        counts = {str(row[0]): int(row[1]) for row in connection.execute(query, values)}
    queued = counts.pop("queued", 0)
    return queued, sum(counts.values())


def unfinished_of_orders(ledger: Ledger, order_keys: Sequence[int]) -> tuple[int, int]:
    """(queued, doubtful) commands of these orders."""
    queued = doubtful = 0
    for start in range(0, len(order_keys), _PAGE):
        with ledger.read() as connection:
            query = (
                select(_c.state, func.count())
                .where(_c.order_key.in_(order_keys[start : start + _PAGE]), _c.state.in_([*DOUBTFUL, "queued"]))
                .group_by(_c.state)
            )
            for state, count in connection.execute(query):
                queued += count if state == "queued" else 0
                doubtful += count if state != "queued" else 0
    return queued, doubtful


def ended_since(ledger: Ledger, batch_key: int, since_us: int) -> tuple[int, int]:
    """(rejected, unsent) orders of a batch that ended so since then; a row that a retry had placed is none of them."""
    with ledger.read() as connection:
        query = (
            select(_o.status, func.count())
            .where(_o.batch_key == batch_key, _o.updated_at_us >= since_us, _o.status.in_(["rejected", "unsent"]))
            .where(_o.reason != Reason.RETRIED)
            .group_by(_o.status)
        )
        counts = {str(row[0]): int(row[1]) for row in connection.execute(query)}
    return counts.get("rejected", 0), counts.get("unsent", 0)


def batch_by_key(ledger: Ledger, key: int) -> Row[Any]:
    """One batch by its number in this ledger."""
    with ledger.read() as connection:
        return connection.execute(select(schema.batches).where(_b.key == key)).one()


def batch_of_key(ledger: Ledger, key_hex: str) -> Row[Any] | None:
    """The recorded batch of that batch key, or None."""
    with ledger.read() as connection:
        query = select(schema.batches).where(_b.batch_key == key_hex, _b.state == "recorded")
        return connection.execute(query).one_or_none()


def batch_rows(ledger: Ledger, limit: int | None = None) -> list[Row[Any]]:
    """Recorded batches, newest first."""
    with ledger.read() as connection:
        query = select(schema.batches).where(_b.state == "recorded").order_by(_b.key.desc())
        return list(connection.execute(query if limit is None else query.limit(limit)).all())


def batch_named(ledger: Ledger, name: str) -> Row[Any]:
    """The batch of that name, key, or start of a key (8 characters or more). Raises UnknownOrder."""
    with ledger.read() as connection:
        rows = connection.execute(
            select(schema.batches).where(_b.state == "recorded", or_(_b.name == name, _b.batch_key == name))
        ).all()
        if not rows and len(name) >= 8 and all(x in "0123456789abcdef" for x in name):
            rows = connection.execute(
                select(schema.batches).where(_b.state == "recorded", _b.batch_key.like(name + "%")).limit(3)
            ).all()
    if len(rows) != 1:
        raise UnknownOrder(
            f"no batch of this ledger is called {name!r}" if not rows else f"{name!r} fits several batches",
            hint="`oms batches` lists them",
        )
    return rows[0]


def newest_batch_key(ledger: Ledger) -> int:
    """The highest batch key there is, 0 for none."""
    with ledger.read() as connection:
        return int(connection.execute(text("SELECT coalesce(max(key), 0) FROM batches")).scalar_one())


def money(ledger: Ledger) -> tuple[int | None, int]:
    """(balance as last seen in dollars x 10^6, or None; number of positions that are not zero)."""
    with ledger.read() as connection:
        balance = connection.execute(text(_BALANCE)).scalar()
        positions = connection.execute(text("SELECT count(*) FROM positions WHERE position_e2 <> 0")).scalar_one()
    return (int(balance) if balance is not None else None), int(positions)


_BALANCE = "SELECT balance_e6 FROM balances WHERE subaccount = 0 ORDER BY as_of_ms DESC LIMIT 1"


def event_rows(ledger: Ledger, order_key: int) -> list[Row[Any]]:
    """The whole history of one order, with the kind of the command each event is about."""
    with ledger.read() as connection:
        query = (
            select(schema.events, _c.kind.label("command_kind"))
            .select_from(schema.events)
            .outerjoin(schema.commands, _c.key == _e.command_key)
            .where(_e.order_key == order_key)
            .order_by(_e.n)
        )
        return list(connection.execute(query).all())


def oldest_doubt_us(ledger: Ledger) -> int | None:
    """When the oldest command in doubt was last moved."""
    with ledger.read() as connection:
        value = connection.execute(
            text(f"SELECT min(updated_at_us) FROM commands WHERE {_DOUBT}")  # noqa: S608
        ).scalar()
    return int(value) if value is not None else None


def oldest_queued_us(ledger: Ledger, batch_key: int | None = None) -> int | None:
    """When the oldest queued create was recorded, of all batches or of one."""
    query = (
        f"SELECT min(batch_key) FROM commands WHERE {schema.UNFINISHED_SQL} AND state = 'queued' AND kind = 'create'"  # noqa: S608
    )
    of_batch = "" if batch_key is None else " AND batch_key = :key"
    with ledger.read() as connection:
        key = connection.execute(text(query + of_batch), {} if batch_key is None else {"key": batch_key}).scalar()
        if key is None:
            return None
        value = connection.execute(_RECORDED_AT, {"key": key}).scalar()
    return int(value) if value is not None else None


_RECORDED_AT = text("SELECT created_at_us FROM batches WHERE key = :key")


def retryable_rows(ledger: Ledger, batch_key: int) -> Iterator[Row[Any]]:
    """Orders of a batch that were rejected or never reached the exchange, in row order; not those retried already."""
    for row in order_rows(ledger, Filter(batch_keys=(batch_key,)), newest_first=False, limit=None):
        if row._mapping["status"] in ("rejected", "unsent") and row._mapping["command_reason"] != Reason.RETRIED:
            yield row


def queued_intents(ledger: Ledger, batch_key: int) -> Iterator[tuple[str, Intent]]:
    """The rows of a batch whose create was not sent so far, by client_order_id, in row order."""
    wanted = Filter(batch_keys=(batch_key,), status="pending")
    for row in order_rows(ledger, wanted, newest_first=False, limit=None):
        if row._mapping["command_state"] == "queued":
            yield row._mapping["client_order_id"], intent_of(row)


def intent_of(row: Row[Any]) -> Intent:
    """What a row of ORDER_ROWS was recorded to do, without its id."""
    r = row._mapping
    return Intent(
        client_order_id="",
        ticker=r["ticker"],
        side=Side(r["side"]),
        price_e6=r["price_e6"],
        count_e2=r["count_e2"],
        time_in_force=TimeInForce(r["time_in_force"]),
        self_trade_prevention_type=SelfTradePrevention(r["self_trade_prevention_type"]),
        post_only=bool(r["post_only"]),
        reduce_only=bool(r["reduce_only"]),
        expiration_time=r["expiration_time"],
        subaccount=r["subaccount"],
        action=Action(r["action"]),
        outcome=Outcome(r["outcome"]),
        tag=r["tag"],
        submit_before_us=r["submit_before_us"],
        order_group_id=r["order_group_id"],
    )


def resting_of_group(ledger: Ledger, order_group_id: str) -> list[str]:
    """The order_ids of orders of this ledger that rest in that group, oldest first."""
    with ledger.read() as connection:
        return list(connection.execute(_RESTING_OF_GROUP, {"order_group_id": order_group_id}).scalars())


_RESTING_OF_GROUP = text(
    "SELECT order_id FROM orders WHERE status = 'resting' AND order_group_id = :order_group_id ORDER BY key"
)


def resting_by_group(ledger: Ledger) -> dict[str, int]:
    """How many orders of this ledger rest in which order group."""
    with ledger.read() as connection:
        return {row[0]: row[1] for row in connection.execute(_RESTING_BY_GROUP)}


_RESTING_BY_GROUP = text(
    "SELECT order_group_id, count(*) FROM orders WHERE status = 'resting' AND order_group_id IS NOT NULL"
    " GROUP BY order_group_id"
)
