"""What of the ledger's history has been told to whom: a durable cursor for each receiver, and what lies after it.

The cursor of a receiver is the newest event of the history it has been told, a row of `watermarks`. Halts and breaks
are no events: each that was told is a row beside it. All is read and moved in short transactions of its own.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Row, delete, func, literal, select

from oms.ledger import schema
from oms.ledger.bulk import execute
from oms.ledger.halt import lifted_after
from oms.ledger.ledger import Ledger
from oms.ledger.listing import ORDER_ROWS
from oms.ledger.queries import set_watermark, watermark

DELIVERED = "delivered"

_t, _a = schema.action_events.c, schema.actions.c
_e, _o, _c, _w, _k = schema.events.c, schema.orders.c, schema.commands.c, schema.watermarks.c, schema.breaks.c


@dataclass(frozen=True, slots=True)
class Told:
    """One thing told besides events: its mark's name, and the value that says which one of that name it was."""

    name: str
    value: int


def cursor(ledger: Ledger, receiver: str) -> int | None:
    """The number of the newest event this receiver has been told of; None when it was never told anything."""
    return watermark(ledger, _name(receiver))


def begin(ledger: Ledger, receiver: str, now_us: int) -> None:
    """Let the receiver be told of what happens from now on, where it has no cursor; durable on return."""
    if cursor(ledger, receiver) is None:
        newest = newest_seq(ledger)
        with ledger.gated_write() as connection:
            set_watermark(connection, _name(receiver), newest, now_us)
            acted = connection.execute(select(func.coalesce(func.max(_t.seq), 0))).scalar_one()
            set_watermark(connection, _name(receiver, "action"), acted, now_us)
            lifted = [number for number, _ in lifted_after(partial(execute, connection), 0)]
            set_watermark(connection, _name(receiver, "lifted"), max(lifted, default=0), now_us)


def newest_seq(ledger: Ledger) -> int:
    """The newest event that stays: those of a recording that dies are taken back, and their numbers used again."""
    with ledger.read() as connection:
        return int(connection.execute(_NEWEST).scalar_one())


# Backwards from the end: a recording that has just been made is passed over, and nothing else is read.
_KEPT = select(_e.seq).where(_e.kind != "recorded").order_by(_e.seq.desc()).limit(1)
_NEWEST = select(func.coalesce(_KEPT.scalar_subquery(), 0))


def confirm(ledger: Ledger, receiver: str, seq: int | None, told: list[Told], now_us: int) -> None:
    """Note what the receiver has been told; durable on return."""
    with ledger.gated_write() as connection:
        if seq is not None:
            set_watermark(connection, _name(receiver), seq, now_us)
        for each in told:
            set_watermark(connection, each.name, each.value, now_us)
        prefix = _name(receiver, "break ")
        gone = _w.name.not_in(select(literal(prefix) + _k.name))
        connection.execute(delete(schema.watermarks).where(_w.name.startswith(prefix, autoescape=True), gone))


_EVENT_ROWS: Any = (
    select(_e.seq, _e.order_key, _e.command_key, _e.at_us, _e.kind, _e.data, _e.hash, _c.kind.label("command_kind"))
    .select_from(schema.events)
    .outerjoin(schema.commands, _c.key == _e.command_key)
)


def events_after(ledger: Ledger, seq: int, upto: int, kinds: list[str], limit: int) -> list[Row[Any]]:
    """The next events of these kinds after a cursor, oldest first."""
    query = _EVENT_ROWS.where(_e.seq > seq, _e.seq <= upto, _e.kind.in_(kinds)).order_by(_e.seq).limit(limit)
    with ledger.read() as connection:
        rows: list[Row[Any]] = list(connection.execute(query).all())
    return rows


def orders_of(ledger: Ledger, keys: set[int]) -> dict[int, Row[Any]]:
    """Rows of listing.ORDER_ROWS by order key."""
    with ledger.read() as connection:
        rows = connection.execute(ORDER_ROWS.where(_o.key.in_(sorted(keys)))).all()
    return {row.key: row for row in rows}


def histories_of(ledger: Ledger, keys: set[int]) -> dict[int, list[Row[Any]]]:
    """The whole history of each of these orders, in order: seq, command_key, kind, data."""
    found: dict[int, list[Row[Any]]] = {key: [] for key in keys}
    query: Any = select(_e.order_key, _e.seq, _e.command_key, _e.kind, _e.data).where(_e.order_key.in_(sorted(keys)))
    with ledger.read() as connection:
        rows: list[Row[Any]] = list(connection.execute(query.order_by(_e.order_key, _e.n)).all())
        for row in rows:
            found[row.order_key].append(row)
    return found


def actions_untold(ledger: Ledger, receiver: str, kinds: list[str], limit: int) -> list[tuple[Told, Row[Any]]]:
    """Facts of these kinds about actions that come after those the receiver was told of, oldest first."""
    name = _name(receiver, "action")
    after = watermark(ledger, name) or 0
    query: Any = (
        select(schema.action_events, _a.target, _a.ticker, _a.kind.label("action_kind"))
        .join(schema.actions, _a.key == _t.action_key)
        .where(_t.seq > after, _t.kind.in_(kinds))
        .order_by(_t.seq)
        .limit(limit)
    )
    with ledger.read() as connection:
        rows: list[Row[Any]] = list(connection.execute(query).all())
    return [(Told(name, int(row.seq)), row) for row in rows]


def history_of_action(ledger: Ledger, key: int) -> list[Row[Any]]:
    """Everything recorded about an action, in order: seq, kind, data."""
    query: Any = select(_t.seq, _t.kind, _t.data).where(_t.action_key == key).order_by(_t.n)
    with ledger.read() as connection:
        return list(connection.execute(query).all())


def lifted_after_cursor(ledger: Ledger, receiver: str) -> list[tuple[Told, Told | None, str]]:
    """Halts that were lifted since, oldest first: the receiver's new cursor, the halt's own mark, its reason.

    The mark is None where the receiver was told of that halt while it stood.
    """
    name = _name(receiver, "lifted")
    with ledger.read() as connection:
        number = connection.execute(select(_w.value_ms).where(_w.name == name)).scalar() or 0
        found = lifted_after(partial(execute, connection), number)
        told = connection.execute(select(_w.value_ms).where(_w.name == _name(receiver, "halt"))).scalar()
    mark = _name(receiver, "halt")
    return [(Told(name, each), None if x.at_us == told else Told(mark, x.at_us or 0), x.reason) for each, x in found]


def halt_untold(ledger: Ledger, receiver: str) -> tuple[Told, str] | None:
    """The halt in force with its reason, unless the receiver was told of it; its value is when it was set (us)."""
    name = _name(receiver, "halt")
    by_file = ledger.halt.read()
    with ledger.read() as connection:
        row = connection.execute(_HALT).one_or_none()
        known = connection.execute(select(_w.value_ms).where(_w.name == name)).scalar()
    if by_file is not None:
        at_us, reason = by_file.at_us or 0, by_file.reason
    elif row is not None:
        at_us, reason = row.at_us, row.reason
    else:
        return None
    return None if known == at_us else (Told(name, at_us), str(reason))


_HALT: Any = select(schema.controls.c.reason, schema.controls.c.at_us).where(schema.controls.c.name == "halt")


def breaks_untold(ledger: Ledger, receiver: str, limit: int) -> list[tuple[Told, Row[Any]]]:
    """Breaks the receiver was not told of, oldest first; their value is when each was first seen (us)."""
    prefix = _name(receiver, "break ")
    told = schema.watermarks.alias("told")
    query = (
        select(schema.breaks)
        .outerjoin(told, told.c.name == prefix + _k.name)
        .where((told.c.name.is_(None)) | (told.c.value_ms != _k.first_seen_us))
        .order_by(_k.first_seen_us, _k.name)
        .limit(limit)
    )
    with ledger.read() as connection:
        rows = connection.execute(query).all()
    return [(Told(prefix + row.name, int(row.first_seen_us)), row) for row in rows]


def _name(receiver: str, what: str = "") -> str:
    return f"{DELIVERED} {receiver}" + (f" {what}" if what else "")
