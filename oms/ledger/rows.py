"""Rows to lifecycle records and back: the one place that knows how a projection is stored."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, select, text

from oms.ledger import schema
from oms.lifecycle import events as e
from oms.lifecycle.replay import terms_of
from oms.lifecycle.states import MODIFIES, Command, CommandKind, CommandState, Order, OrderStatus, Reason

_o, _c, _e = schema.orders.c, schema.commands.c, schema.events.c


class Entry(msgspec.Struct, frozen=True):
    """One command with its order, as the ledger has them, and what is needed to send it or to recognise it."""

    order_key: int
    command_key: int
    batch_key: int
    client_order_id: str
    ticker: str
    side: str
    price_e6: int  # as recorded; what it rests at now is the order's
    count_e2: int  # likewise
    subaccount: int | None
    own_id: bool
    recorded_at_us: int
    expires_at_us: int | None
    body: str
    digest: bytes
    command: Command
    order: Order
    event_count: int
    chain_hash: bytes


COMMAND_COLUMNS = (
    "state",
    "attempts",
    "live",
    "id_taken",
    "epoch",
    "first_signed_ms",
    "last_signed_ms",
    "not_before_us",
    "reason",
    "detail",
    "updated_at_us",
)

ORDER_COLUMNS = (
    "status",
    "order_id",
    "working_price_e6",
    "working_count_e2",
    "terms_elsewhere",
    "fill_count_e2",
    "remaining_count_e2",
    "average_fill_price_e6",
    "fees_e6",
    "traded_count_e2",
    "traded_value_e8",
    "traded_fees_e6",
    "fact_ts_ms",
    "created_ts_ms",
    "late",
    "reason",
    "detail",
    "sent_at_us",
    "updated_at_us",
    "event_count",
    "chain_hash",
)

# What a claim, or an answer that tells nothing of the order, moves of it.
SENT_COLUMNS = ("sent_at_us", "updated_at_us", "event_count", "chain_hash")

_DETAIL_LENGTH = 500  # in the projection only; the event keeps all of it


def command_values(command: Command, now_us: int) -> tuple[object, ...]:
    """The projection columns of a command, in the order of COMMAND_COLUMNS."""
    return (
        command.state._value_,
        command.attempts,
        ",".join(map(str, command.live)),
        int(command.id_taken),
        command.epoch,
        command.first_signed_ms,
        command.last_signed_ms,
        command.not_before_us,
        command.reason.value if command.reason is not None else None,
        _clipped(command.detail),
        now_us,
    )


def order_values(order: Order, now_us: int, event_count: int, chain_hash: bytes) -> tuple[object, ...]:
    """The projection columns of an order, in the order of ORDER_COLUMNS."""
    return (
        order.status._value_,
        order.order_id,
        order.price_e6,
        order.count_e2,
        int(order.terms_elsewhere),
        order.fill_count_e2,
        order.remaining_count_e2,
        order.average_fill_price_e6,
        order.fees_e6,
        order.traded_count_e2,
        order.traded_value_e8,
        order.traded_fees_e6,
        order.fact_ts_ms,
        order.created_ts_ms,
        int(order.late),
        order.reason.value if order.reason is not None else None,
        _clipped(order.detail),
        order.sent_at_us,
        now_us,
        event_count,
        chain_hash,
    )


def sent_values(order: Order, now_us: int, event_count: int, chain_hash: bytes) -> tuple[object, ...]:
    """The projection columns of an order that was sent and of which nothing else is new, as in SENT_COLUMNS."""
    return (order.sent_at_us, now_us, event_count, chain_hash)


def _clipped(text: str | None) -> str | None:
    return text if text is None or len(text) <= _DETAIL_LENGTH else text[: _DETAIL_LENGTH - 1] + "…"


# What an Entry is made of, in the order in which `entry_of` takes it apart.
_OF_ENTRY = (
    *(_o.key, _c.key, _o.batch_key, _o.client_order_id, _o.ticker, _o.side, _o.price_e6, _o.count_e2, _o.subaccount),
    *(_o.own_id, _o.created_at_us, _c.expires_at_us, _e.data, _c.digest, _o.event_count, _o.chain_hash),
)
_OF_COMMAND = (
    *(_c.kind, _c.state, _c.attempts, _c.live, _c.id_taken, _c.epoch, _c.first_signed_ms, _c.last_signed_ms),
    *(_c.not_before_us, _c.reason, _c.detail),
)
_OF_ORDER = (
    *(_o.working_count_e2, _o.working_price_e6, _o.terms_elsewhere, _o.status, _o.order_id, _o.fill_count_e2),
    *(_o.remaining_count_e2, _o.average_fill_price_e6),
    *(_o.fees_e6, _o.traded_count_e2, _o.traded_value_e8, _o.traded_fees_e6, _o.fact_ts_ms, _o.created_ts_ms),
    *(_o.late, _o.reason, _o.detail, _o.sent_at_us),
)

# Written out: a run compiles several of these before its first claim, and each column costs it 10 us and more.
ENTRY_SELECT: Select[Any] = (
    select(text(", ".join(f"{x.table.name}.{x.name}" for x in (*_OF_ENTRY, *_OF_COMMAND, *_OF_ORDER))))
    .select_from(schema.commands)
    .join(schema.orders, _o.key == _c.order_key)
    .join(schema.events, _e.seq == _c.recorded_seq)
)

# Looked up here and not by the enum's own call, nor its `value`: those cost as much as the rest of a row.
_KINDS = {kind.value: kind for kind in CommandKind}
_STATES = {state.value: state for state in CommandState}
_STATUSES = {status.value: status for status in OrderStatus}

_COMMAND_AT = len(_OF_ENTRY)
_ORDER_AT = _COMMAND_AT + len(_OF_COMMAND)


def entry_of(row: Sequence[Any]) -> Entry:
    """One row of ENTRY_SELECT as an Entry; taken apart by place, because look-ups by name cost more than the query."""
    (key, command_key, batch_key, client_order_id, ticker, side, price_e6) = row[:7]
    (count_e2, subaccount, own_id, recorded_at_us, expires_at_us, data, digest) = row[7:14]
    event_count, chain_hash = row[14:_COMMAND_AT]
    recorded = e.decode("recorded", data)
    assert isinstance(recorded, e.Recorded)
    return Entry(
        order_key=key,
        command_key=command_key,
        batch_key=batch_key,
        client_order_id=client_order_id,
        ticker=ticker,
        side=side,
        price_e6=price_e6,
        count_e2=count_e2,
        subaccount=subaccount,
        own_id=bool(own_id),
        recorded_at_us=recorded_at_us,
        expires_at_us=expires_at_us,
        body=recorded.body,
        digest=digest,
        command=_command(row[_COMMAND_AT:_ORDER_AT], recorded),
        order=_order(row[_ORDER_AT:]),
        event_count=event_count,
        chain_hash=chain_hash,
    )


def _command(values: Sequence[Any], recorded: e.Recorded) -> Command:
    (kind, state, attempts, live, id_taken, epoch, first_signed_ms, last_signed_ms) = values[:8]
    (not_before_us, reason, detail) = values[8:]
    return Command(
        kind=_KINDS[kind],
        state=_STATES[state],
        attempts=attempts,
        live=tuple(map(int, live.split(","))) if live else (),
        id_taken=bool(id_taken),
        epoch=epoch,
        first_signed_ms=first_signed_ms,
        last_signed_ms=last_signed_ms,
        not_before_us=not_before_us,
        reason=Reason(reason) if reason is not None else None,
        detail=detail,
        terms=terms_of(recorded) if recorded.kind in MODIFIES else None,
    )


def _order(values: Sequence[Any]) -> Order:
    (count_e2, price_e6, terms_elsewhere, status, order_id, fill_count_e2, remaining_count_e2) = values[:7]
    (average_fill_price_e6, fees_e6, traded_count_e2, traded_value_e8, traded_fees_e6) = values[7:12]
    (fact_ts_ms, created_ts_ms, late, reason, detail, sent_at_us) = values[12:]
    return Order(
        count_e2=count_e2,
        price_e6=price_e6,
        terms_elsewhere=bool(terms_elsewhere),
        status=_STATUSES[status],
        order_id=order_id,
        fill_count_e2=fill_count_e2,
        remaining_count_e2=remaining_count_e2,
        average_fill_price_e6=average_fill_price_e6,
        fees_e6=fees_e6,
        traded_count_e2=traded_count_e2,
        traded_value_e8=traded_value_e8,
        traded_fees_e6=traded_fees_e6,
        fact_ts_ms=fact_ts_ms,
        created_ts_ms=created_ts_ms,
        late=bool(late),
        reason=Reason(reason) if reason is not None else None,
        detail=detail,
        sent_at_us=sent_at_us,
    )
