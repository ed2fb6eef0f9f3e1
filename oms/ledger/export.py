"""Orders, fills and events one after the other, for exports: paged by key, each page a short read of its own.

Memory stays flat and a page costs the same however many rows there are, and no page keeps a writer from its
checkpoint. A walk ends at what was there when it began, so that it ends beside a process that goes on writing; each
row is as it was when its page was read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, and_, case, func, literal_column, select, text

from oms.ledger import schema
from oms.ledger.ledger import Ledger
from oms.ledger.listing import ORDER_ROWS
from oms.lifecycle.states import DOUBTFUL

PAGE = 1_000

_o, _c, _b, _e, _f = schema.orders.c, schema.commands.c, schema.batches.c, schema.events.c, schema.fills.c
# The plus keeps SQLite from walking a batch by its index, and sorting all that is left of it for every page.
_BATCH_OF_ORDER: Any = literal_column("+orders.batch_key")
_RECORDING = select(_b.key).where(_b.state == "recording")


@dataclass(frozen=True, slots=True)
class Span:
    """What of the ledger is wanted: from a time on (UTC microseconds), of one batch, or all of it."""

    since_us: int | None = None
    batch_key: int | None = None


def orders(ledger: Ledger, span: Span) -> Iterator[Row[Any]]:
    """Rows of listing.ORDER_ROWS of orders recorded in the span, in the order of recording."""
    with ledger.read() as connection:
        top = connection.execute(select(func.coalesce(func.max(_o.key), 0))).scalar_one()
    keys = select(_o.key).where(_o.key <= top, *_of_span(span), *_since(_o.created_at_us, span.since_us))
    last = 0
    while True:
        with ledger.read() as connection:
            page = connection.execute(keys.where(_o.key > last).order_by(_o.key).limit(PAGE)).scalars().all()
            rows = connection.execute(ORDER_ROWS.where(_o.key.in_(page)).order_by(_o.key)).all() if page else []
        yield from rows
        if len(page) < PAGE:
            return
        last = page[-1]


def _of_span(span: Span) -> list[Any]:
    wanted = [_BATCH_OF_ORDER.not_in(_RECORDING)]
    return wanted if span.batch_key is None else [*wanted, span.batch_key == _BATCH_OF_ORDER]


def _since(column: Any, since: int | None) -> list[Any]:
    return [] if since is None else [column >= since]


_FILL_ROWS: Select[Any] = (
    select(
        schema.fills,
        _o.client_order_id,
        _o.action,
        _o.outcome,
        _o.tag,
        _b.name.label("batch_name"),
        _b.batch_key.label("batch_hex"),
    )
    .select_from(schema.fills)
    .outerjoin(schema.orders, _o.key == _f.order_key)
    .outerjoin(schema.batches, _b.key == _o.batch_key)
)


def fills(ledger: Ledger, span: Span) -> Iterator[Row[Any]]:
    """Trades of the span with the order each belongs to (none: made elsewhere), in the exchange's order of time."""
    with ledger.read() as connection:
        top = connection.execute(select(func.coalesce(func.max(_f.ts_ms), 0))).scalar_one()
    since_ms = None if span.since_us is None else -(-span.since_us // 1000)
    query = _FILL_ROWS.where(_f.ts_ms <= top, *_since(_f.ts_ms, since_ms))
    if span.batch_key is not None:
        query = query.where(span.batch_key == _BATCH_OF_ORDER)
    last: tuple[int, str] = (-1, "")
    while True:
        after = and_(_f.ts_ms >= last[0], (_f.ts_ms > last[0]) | (_f.trade_id > last[1]))
        with ledger.read() as connection:
            rows = connection.execute(query.where(after).order_by(_f.ts_ms, _f.trade_id).limit(PAGE)).all()
        yield from rows
        if len(rows) < PAGE:
            return
        last = (rows[-1].ts_ms, rows[-1].trade_id)


_EVENT_ROWS: Select[Any] = (
    select(
        *(_e.seq, _e.n, _e.epoch, _e.at_us, _e.kind, _e.data, _o.client_order_id, _o.ticker),
        _c.kind.label("command_kind"),
    )
    .select_from(schema.events)
    .join(schema.orders, _o.key == _e.order_key)
    .outerjoin(schema.commands, _c.key == _e.command_key)
)


def events(ledger: Ledger, span: Span) -> Iterator[Row[Any]]:
    """Everything that was recorded about orders of the span, in the order of recording."""
    with ledger.read() as connection:
        top = connection.execute(select(func.coalesce(func.max(_e.seq), 0))).scalar_one()
    wanted = _EVENT_ROWS.where(_e.seq <= top, *_of_span(span), *_since(_e.at_us, span.since_us))
    last = 0
    while True:
        with ledger.read() as connection:
            rows = connection.execute(wanted.where(_e.seq > last).order_by(_e.seq).limit(PAGE)).all()
        yield from rows
        if len(rows) < PAGE:
            return
        last = rows[-1].seq


# -- what a report adds up ------------------------------------------------------------------------------------------

ANSWERS = ("acknowledged", "attempt_refused", "attempt_unknown", "not_processed", "id_taken")


def attempts(ledger: Ledger, since_us: int | None) -> Iterator[Row[Any]]:
    """Every claim and what came of it, in order: seq, kind, at_us, command_key, command_kind, recorded_us."""
    with ledger.read() as connection:
        top = connection.execute(select(func.coalesce(func.max(_e.seq), 0))).scalar_one()
    wanted: Any = (
        select(
            *(_e.seq, _e.kind, _e.at_us, _e.command_key),
            _c.kind.label("command_kind"),
            _c.created_at_us.label("recorded_us"),
        )
        .select_from(schema.events)
        .join(schema.commands, _c.key == _e.command_key)
        .where(_e.kind.in_(["claimed", *ANSWERS]), _e.seq <= top, *_since(_e.at_us, since_us))
    )
    last = 0
    while True:
        with ledger.read() as connection:
            rows = connection.execute(wanted.where(_e.seq > last).order_by(_e.seq).limit(PAGE)).all()
        yield from rows
        if len(rows) < PAGE:
            return
        last = rows[-1].seq


def outcomes(ledger: Ledger, since_us: int | None) -> list[tuple[str, str | None, int]]:
    """(status, reason where it was refused or not sent, how many) of the orders recorded since then."""
    reason = case((_o.status.in_(["rejected", "unsent"]), _o.reason))
    query = (
        select(_o.status, reason, func.count())
        .where(_BATCH_OF_ORDER.not_in(_RECORDING), *_since(_o.created_at_us, since_us))
        .group_by(_o.status, reason)
    )
    with ledger.read() as connection:
        return [(str(row[0]), row[1], int(row[2])) for row in connection.execute(query)]


def in_doubt(ledger: Ledger, since_us: int | None) -> int:
    """How many commands of the orders recorded since then are in doubt or parked."""
    query = (
        select(func.count())
        .select_from(schema.commands)
        .join(schema.orders, _o.key == _c.order_key)
        .where(text(f"commands.{schema.UNFINISHED_SQL}"), _c.state.in_(list(DOUBTFUL)))
        .where(*_since(_o.created_at_us, since_us))
    )
    with ledger.read() as connection:
        return int(connection.execute(query).scalar_one())
