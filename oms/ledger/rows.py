"""Rows to lifecycle records and back: the one place that knows how a projection is stored."""

import msgspec
from sqlalchemy import Row, RowMapping, Select, select

from oms.ledger import schema
from oms.lifecycle import events as e
from oms.lifecycle.states import Command, CommandKind, CommandState, Order, OrderStatus, Reason

_o, _c, _e = schema.orders.c, schema.commands.c, schema.events.c


class Entry(msgspec.Struct, frozen=True):
    """One command with its order, as the ledger has them, and what is needed to send it or to recognise it."""

    order_key: int
    command_key: int
    batch_key: int
    client_order_id: str
    ticker: str
    side: str
    price_e6: int
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

_DETAIL_LENGTH = 500  # in the projection only; the event keeps all of it


def command_values(command: Command, now_us: int) -> tuple[object, ...]:
    """The projection columns of a command, in the order of COMMAND_COLUMNS."""
    return (
        command.state.value,
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
        order.status.value,
        order.order_id,
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


def _clipped(text: str | None) -> str | None:
    return text if text is None or len(text) <= _DETAIL_LENGTH else text[: _DETAIL_LENGTH - 1] + "…"


# Columns that both tables have, under names that tell them apart.
_PREFIXED = [_c[name].label(f"c_{name}") for name in (*COMMAND_COLUMNS, "key", "kind", "digest", "expires_at_us")]

ENTRY_SELECT: Select[tuple[object, ...]] = (
    select(schema.orders, *_PREFIXED, _e.data.label("recorded"))
    .select_from(schema.commands)
    .join(schema.orders, _o.key == _c.order_key)
    .join(schema.events, _e.seq == _c.recorded_seq)
)


def entry_of(row: Row[tuple[object, ...]]) -> Entry:
    """One row of ENTRY_SELECT as an Entry."""
    r = row._mapping
    recorded = e.decode("recorded", r["recorded"])
    assert isinstance(recorded, e.Recorded)
    return Entry(
        order_key=r["key"],
        command_key=r["c_key"],
        batch_key=r["batch_key"],
        client_order_id=r["client_order_id"],
        ticker=r["ticker"],
        side=r["side"],
        price_e6=r["price_e6"],
        subaccount=r["subaccount"],
        own_id=bool(r["own_id"]),
        recorded_at_us=r["created_at_us"],
        expires_at_us=r["c_expires_at_us"],
        body=recorded.body,
        digest=r["c_digest"],
        command=_command(r),
        order=order_of(row),
        event_count=r["event_count"],
        chain_hash=r["chain_hash"],
    )


def _command(r: RowMapping) -> Command:
    live = r["c_live"]
    return Command(
        kind=CommandKind(r["c_kind"]),
        state=CommandState(r["c_state"]),
        attempts=r["c_attempts"],
        live=tuple(map(int, live.split(","))) if live else (),
        id_taken=bool(r["c_id_taken"]),
        epoch=r["c_epoch"],
        first_signed_ms=r["c_first_signed_ms"],
        last_signed_ms=r["c_last_signed_ms"],
        not_before_us=r["c_not_before_us"],
        reason=Reason(r["c_reason"]) if r["c_reason"] is not None else None,
        detail=r["c_detail"],
    )


def order_of(row: Row[tuple[object, ...]]) -> Order:
    """The order's projection from any row that holds the columns of `orders`."""
    r = row._mapping
    return Order(
        count_e2=r["count_e2"],
        status=OrderStatus(r["status"]),
        order_id=r["order_id"],
        fill_count_e2=r["fill_count_e2"],
        remaining_count_e2=r["remaining_count_e2"],
        average_fill_price_e6=r["average_fill_price_e6"],
        fees_e6=r["fees_e6"],
        traded_count_e2=r["traded_count_e2"],
        traded_value_e8=r["traded_value_e8"],
        traded_fees_e6=r["traded_fees_e6"],
        fact_ts_ms=r["fact_ts_ms"],
        created_ts_ms=r["created_ts_ms"],
        late=bool(r["late"]),
        reason=Reason(r["reason"]) if r["reason"] is not None else None,
        detail=r["detail"],
        sent_at_us=r["sent_at_us"],
    )
