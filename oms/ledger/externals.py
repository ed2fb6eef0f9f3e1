"""Orders at the exchange that this ledger did not make, as they were last seen. Shown and counted, never adopted."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from sqlalchemy import bindparam, select, text, update

from oms.ledger import schema
from oms.ledger.ledger import Ledger
from oms.lifecycle.events import Snapshot

# Our own word: it does not rest any more, and how it ended was not read.
ENDED = "ended"
_x = schema.external_orders.c
_PAGE = 1_000


def note(ledger: Ledger, seen: Iterable[Snapshot], as_of_ms: int) -> None:
    """Remember these orders as they are shown; durable on return. An older reading changes nothing."""
    rows = [values_of(order, as_of_ms) for order in seen]
    if rows:
        with ledger.write() as connection:
            connection.execute(NOTE, rows)


def values_of(order: Snapshot, as_of_ms: int) -> dict[str, Any]:
    """The row of an order as it is shown."""
    return {
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "ticker": order.ticker,
        "side": order.side,
        "price_e6": order.price_e6,
        "initial_count_e2": order.initial_count_e2,
        "fill_count_e2": order.fill_count_e2,
        "remaining_count_e2": order.remaining_count_e2,
        "status": order.status,
        "subaccount": order.subaccount,
        "created_ts_ms": order.created_ts_ms,
        "as_of_ms": as_of_ms,
    }


NOTE = text(
    "INSERT INTO external_orders (order_id, client_order_id, ticker, side, price_e6, initial_count_e2, fill_count_e2,"
    " remaining_count_e2, status, subaccount, created_ts_ms, as_of_ms) VALUES (:order_id, :client_order_id, :ticker,"
    " :side, :price_e6, :initial_count_e2, :fill_count_e2, :remaining_count_e2, :status, :subaccount, :created_ts_ms,"
    " :as_of_ms) ON CONFLICT (order_id) DO UPDATE SET client_order_id = excluded.client_order_id,"
    " price_e6 = excluded.price_e6, initial_count_e2 = excluded.initial_count_e2,"
    " fill_count_e2 = excluded.fill_count_e2, remaining_count_e2 = excluded.remaining_count_e2,"
    " status = excluded.status, as_of_ms = excluded.as_of_ms WHERE excluded.as_of_ms >= external_orders.as_of_ms"
)


def forget(ledger: Ledger, order_ids: Collection[str]) -> None:
    """Drop orders that turned out to be this ledger's own; durable on return."""
    if order_ids:
        with ledger.write() as connection:
            connection.execute(schema.external_orders.delete().where(_x.order_id.in_(order_ids)))


def named(ledger: Ledger, name: str) -> list[Any]:
    """Rows of those whose order_id is that name, else of at most five whose order_id begins so."""
    with ledger.read() as connection:
        rows = connection.execute(_NAMED, {"name": name}).all()
        if not rows and len(name) >= 8:
            rows = connection.execute(_STARTING, {"name": name}).all()
    return list(rows)


_NAMED = select(schema.external_orders).where(_x.order_id == bindparam("name"))
_STARTING = (
    select(schema.external_orders)
    .where(text("substr(order_id, 1, length(:name)) = :name"))
    .order_by(_x.order_id)
    .limit(5)
)


def end(ledger: Ledger, order_id: str, as_of_ms: int) -> None:
    """It was canceled from here, at that exchange time; an older reading changes nothing. Durable on return."""
    values = {"status": "canceled", "remaining_count_e2": 0, "as_of_ms": as_of_ms}
    with ledger.write() as connection:
        connection.execute(update(schema.external_orders).where(_x.order_id == order_id).values(values))


def has_resting(ledger: Ledger) -> bool:
    """Whether any rests, as far as is known."""
    with ledger.read() as connection:
        return connection.execute(_ANY_RESTING).scalar() is not None


_ANY_RESTING = text("SELECT 1 FROM external_orders WHERE status = 'resting' LIMIT 1")


def resting_ids(ledger: Ledger, most: int) -> list[str]:
    """Some of those that rest, as far as is known, at most so many."""
    with ledger.read() as connection:
        return list(connection.execute(_SOME_RESTING, {"most": most}).scalars())


_SOME_RESTING = text("SELECT order_id FROM external_orders WHERE status = 'resting' LIMIT :most")


def end_all_but(ledger: Ledger, resting: Collection[str], as_of_ms: int) -> int:
    """Those that a complete list of what rests does not show, rest no more; durable on return. How many were."""
    with ledger.read() as connection:
        known = connection.execute(_RESTING, {"as_of_ms": as_of_ms}).scalars().all()
    gone = [order_id for order_id in known if order_id not in resting]
    for start in range(0, len(gone), _PAGE):
        with ledger.write() as connection:
            connection.execute(_END, {"ids": gone[start : start + _PAGE], "as_of_ms": as_of_ms})
    return len(gone)


_RESTING = text("SELECT order_id FROM external_orders WHERE status = 'resting' AND as_of_ms <= :as_of_ms")
_END = (
    update(schema.external_orders)
    .where(_x.order_id.in_(bindparam("ids", expanding=True)))
    .values(status=ENDED, remaining_count_e2=0, as_of_ms=bindparam("as_of_ms"))
)


def listed(ledger: Ledger, *, resting_only: bool = False) -> Iterator[Any]:
    """Rows of `external_orders`, newest first, in pages."""
    offset = 0
    query = select(schema.external_orders).order_by(_x.created_ts_ms.desc(), _x.order_id).limit(_PAGE)
    if resting_only:
        query = query.where(text("status = 'resting'"))
    while True:
        with ledger.read() as connection:
            rows = connection.execute(query.offset(offset)).all()
        yield from rows
        if len(rows) < _PAGE:
            return
        offset += len(rows)
