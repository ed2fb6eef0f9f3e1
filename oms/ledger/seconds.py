"""Second orders: what the exchange holds under the client_order_id of an order of this ledger, beside that order.

It must not happen (P2). Where it does, every such order is remembered from the moment it is noticed, in the same
transaction: among the orders made elsewhere, so that it counts in limits, and as a watermark, so that it is told as a
break until a person has looked at it. Costs what is open, not what is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.engine import Connection

from oms.ledger import schema
from oms.ledger.externals import NOTE, values_of
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.lifecycle.replay import status_from_counts

_ENDED = ("executed", "canceled")


@dataclass(frozen=True, slots=True)
class Second:
    """One order at the exchange beside the order of this ledger whose client_order_id it bears."""

    order_key: int
    client_order_id: str
    order_id: str
    ticker: str
    subaccount: int | None
    status: str
    count_e2: int
    fill_count_e2: int

    @property
    def is_ended(self) -> bool:
        """Whether it was seen to have ended: nothing of it can trade any more."""
        return self.status in _ENDED


def note(connection: Connection, seen: Sequence[tuple[Entry, e.Event, str]], now_us: int) -> None:
    """Remember these second orders, each with the fact that showed it, in the caller's transaction."""
    for entry, event, order_id in seen:
        connection.execute(NOTE, _shown(entry, event, order_id))
        connection.execute(_MARK, {"name": schema.SECOND + order_id, "order_key": entry.order_key, "at_us": now_us})


def _shown(entry: Entry, event: e.Event, order_id: str) -> dict[str, Any]:
    if isinstance(event, e.Found | e.Observed):
        return values_of(event.order, event.as_of_ms)
    assert isinstance(event, e.Acknowledged)
    counts = (event.fill_count_e2, event.remaining_count_e2)
    order = e.Snapshot(
        order_id=order_id,
        client_order_id=entry.client_order_id,
        ticker=entry.ticker,
        side=entry.side,
        status=status_from_counts(entry.count_e2, *counts),
        price_e6=entry.price_e6,
        initial_count_e2=entry.count_e2,
        fill_count_e2=counts[0],
        remaining_count_e2=counts[1],
        created_ts_ms=event.ts_ms,
        subaccount=entry.subaccount,
    )
    return values_of(order, event.ts_ms)


def forget(connection: Connection, order_id: str) -> None:
    """A person has looked at it: it is told no more, in the caller's transaction."""
    connection.execute(schema.watermarks.delete().where(schema.watermarks.c.name == schema.SECOND + order_id))


def standing(ledger: Ledger) -> list[Second]:
    """Every second order that no person has looked at yet, oldest first."""
    with ledger.read() as connection:
        return [Second(*row) for row in connection.execute(_STANDING)]


def resting(
    ledger: Ledger, *, batch_key: int | None = None, ticker: str | None = None, tag: str | None = None
) -> list[Second]:
    """Those that rest as far as is known, looked at or not: of a batch, a ticker, a tag of the order beside them."""
    with ledger.read() as connection:
        rows = connection.execute(_RESTING, {"batch_key": batch_key, "ticker": ticker, "tag": tag})
        return [Second(*row) for row in rows]


def owner(ledger: Ledger, name: str) -> int | None:
    """The key of the order beside which that one was seen, by its order_id or a beginning that fits only one."""
    with ledger.read() as connection:
        rows = connection.execute(_OWNER, {"name": name, "start": name if len(name) >= 8 else None}).all()
    keys = {row[0] for row in rows}
    return int(keys.pop()) if len(keys) == 1 else None


_COLUMNS = (
    "SELECT o.key, o.client_order_id, x.order_id, x.ticker, x.subaccount, x.status, x.initial_count_e2,"
    " x.fill_count_e2 FROM"
)
_STANDING = text(
    f"{_COLUMNS} watermarks AS w JOIN orders AS o ON o.key = w.value_ms JOIN external_orders AS x"
    f" ON x.order_id = substr(w.name, {len(schema.SECOND) + 1})"
    f" WHERE w.name > '{schema.SECOND}' AND w.name < '{schema.SECOND}~' ORDER BY w.at_us, w.name"
)
_RESTING = text(
    f"{_COLUMNS} external_orders AS x JOIN orders AS o ON o.client_order_id = x.client_order_id"
    " WHERE x.status = 'resting' AND o.order_id <> x.order_id"
    " AND (:batch_key IS NULL OR o.batch_key = :batch_key) AND (:ticker IS NULL OR o.ticker = :ticker)"
    " AND (:tag IS NULL OR o.tag = :tag)"
)
_OWNER = text(
    "SELECT DISTINCT o.key FROM external_orders AS x JOIN orders AS o ON o.client_order_id = x.client_order_id"
    " WHERE o.order_id <> x.order_id AND (x.order_id = :name OR substr(x.order_id, 1, length(:start)) = :start)"
)
_MARK = text(
    "INSERT INTO watermarks (name, value_ms, at_us) VALUES (:name, :order_key, :at_us) ON CONFLICT (name) DO NOTHING"
).bindparams(bindparam("name"), bindparam("order_key"), bindparam("at_us"))
