"""Cancels, amends and decreases into the ledger: durable before anything of them is sent (P1).

They are recorded by whoever asks, beside a run that may be sending, so nothing is decided here that the run decides:
it claims them, withdraws what a newer one made needless, and ends what the order's own end made pointless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace
from sqlalchemy import bindparam, select, text, update
from sqlalchemy.engine import Connection

from oms.errors import InputError
from oms.intake.intents import amend_body, body_digest, decrease_body
from oms.ledger import schema
from oms.ledger.append import EVENT_COLUMNS, chain_hash
from oms.ledger.bulk import insert_rows
from oms.ledger.chunk import COMMAND_NEW, new_command, newest
from oms.ledger.ledger import Ledger
from oms.lifecycle import events as e
from oms.lifecycle.replay import terms_of
from oms.lifecycle.states import MODIFIES, CommandKind, OrderStatus, Terms
from oms.units import format_count

_CHUNK = 1_000


def record_cancels(ledger: Ledger, order_keys: Sequence[int], now_us: int) -> list[int]:
    """Record one cancel command for each order; durable on return. The new commands' keys, in order.

    An order that already has an unfinished cancel gets no second one: its key is returned instead (P6).
    """
    keys: list[int] = []
    for start in range(0, len(order_keys), _CHUNK):
        with ledger.gated_write() as connection:
            for order_key in order_keys[start : start + _CHUNK]:
                known = connection.execute(_OPEN_CANCEL, {"order_key": order_key}).scalar()
                recorded = e.Recorded(kind=CommandKind.CANCEL)
                keys.append(known if known is not None else _record(connection, order_key, recorded, None, now_us))
    return keys


@dataclass(frozen=True, slots=True)
class Change:
    """What a person asks of one order; what is None stays as it is. Exactly one of the two kinds."""

    price_e6: int | None = None  # amend: YES price
    count_e2: int | None = None  # amend: in all, what has traded included
    expiration_time: int | None = None  # amend: unix seconds, 0 for none
    reduce_to_e2: int | None = None  # decrease: what may remain
    reduce_by_e2: int | None = None  # decrease: turned into an absolute target before it is recorded

    @property
    def kind(self) -> CommandKind:
        is_decrease = self.reduce_to_e2 is not None or self.reduce_by_e2 is not None
        return CommandKind.DECREASE if is_decrease else CommandKind.AMEND


def record_change(ledger: Ledger, order_key: int, change: Change, expires_at_us: int | None, now_us: int) -> int | None:
    """Record an amend or decrease; durable on return. The command's key, or None where the order is so already.

    What is not named is taken from the order as it stands in this very transaction, or from a change of it that still
    waits: that one is made needless, and nothing of what it asked for is lost. The same change again, while the
    first is unfinished, is that one (P6). Raises InputError, and records nothing: the order has ended, a cancel or an
    unsettled change of it is under way, or the numbers cannot be.
    """
    with ledger.gated_write() as connection:
        order = _Standing._make(connection.execute(_ORDER, {"order_key": order_key}).one())
        others = [_Open._make(row) for row in connection.execute(_OPEN, {"order_key": order_key})]
        queued = _queued(others)
        terms = _terms(order, change, queued)
        kind = CommandKind.AMEND if terms.reduce_to_e2 is None else CommandKind.DECREASE
        body = _body(order, terms)
        digest = body_digest(body)
        for other in others:
            if other.kind == kind and other.digest == digest:
                return other.key
            _refuse_beside(order, other)
        if queued is None and change.expiration_time is None and _is_so(order, terms):
            return None
        recorded = e.Recorded(
            kind=kind,
            body=body,
            price_e6=terms.price_e6,
            count_e2=terms.count_e2,
            expiration_time=terms.expiration_time,
            reduce_to_e2=terms.reduce_to_e2,
        )
        return _record(connection, order_key, recorded, expires_at_us, now_us)


class _Standing(NamedTuple):
    """An order as the ledger has it."""

    client_order_id: str
    batch_key: int
    event_count: int
    chain_hash: bytes
    status: str
    ticker: str
    side: str
    working_price_e6: int
    working_count_e2: int
    fill_count_e2: int


class _Open(NamedTuple):
    """An unfinished cancel, amend or decrease."""

    key: int
    kind: str
    state: str
    digest: bytes
    data: str  # of the event that recorded it


def _queued(others: Sequence[_Open]) -> Terms | None:
    """What the newest change that waits asks for: the next one goes on from there, and takes its place."""
    waiting = [other for other in others if other.kind in MODIFIES and other.state == "queued"]
    if not waiting:
        return None
    recorded = e.decode("recorded", max(waiting).data)
    assert isinstance(recorded, e.Recorded)
    return terms_of(recorded)


def _terms(order: _Standing, change: Change, queued: Terms | None) -> Terms:
    """The absolute terms of a change; where another one waits, on top of that one's."""
    if queued is not None and queued.reduce_to_e2 is not None:
        order = order._replace(working_count_e2=order.fill_count_e2 + queued.reduce_to_e2)
    elif queued is not None and queued.price_e6 is not None and queued.count_e2 is not None:
        order = order._replace(working_price_e6=queued.price_e6, working_count_e2=queued.count_e2)
        terms = _asked(order, change)
        if terms.reduce_to_e2 is not None:  # an amend that takes the decrease along
            total_e2 = order.fill_count_e2 + terms.reduce_to_e2
            terms = Terms(price_e6=queued.price_e6, count_e2=total_e2)
        if terms.expiration_time is None:
            terms = replace(terms, expiration_time=queued.expiration_time)
        return terms
    return _asked(order, change)


def _asked(order: _Standing, change: Change) -> Terms:
    name, filled_e2 = order.client_order_id, order.fill_count_e2
    if order.status not in (OrderStatus.PENDING, OrderStatus.RESTING):
        raise InputError(f"order {name} is {order.status}: nothing of it rests", hint=f"`oms why {name}` tells how")
    remaining_e2 = order.working_count_e2 - filled_e2
    if change.kind is CommandKind.AMEND:
        count_e2 = order.working_count_e2 if change.count_e2 is None else change.count_e2
        if count_e2 <= filled_e2:
            raise InputError(
                f"order {name}: --count is the total, and {format_count(filled_e2)} of it are filled;"
                f" {format_count(count_e2)} would leave nothing",
                hint=f"`oms cancel {name}` takes the rest off the book",
            )
        price_e6 = order.working_price_e6 if change.price_e6 is None else change.price_e6
        return Terms(price_e6=price_e6, count_e2=count_e2, expiration_time=change.expiration_time)
    to_e2 = change.reduce_to_e2
    if to_e2 is None:
        assert change.reduce_by_e2 is not None
        to_e2 = remaining_e2 - change.reduce_by_e2
    if to_e2 <= 0:
        raise InputError(
            f"order {name}: {format_count(remaining_e2)} remain, and nothing would be left",
            hint=f"`oms cancel {name}` takes it off the book",
        )
    if to_e2 > remaining_e2:
        raise InputError(
            f"order {name}: {format_count(remaining_e2)} remain, which is not more than {format_count(to_e2)}",
            hint=f"a decrease only takes away; `oms amend {name} --count N` raises the total",
        )
    return Terms(reduce_to_e2=to_e2)


def _is_so(order: _Standing, terms: Terms) -> bool:
    if terms.reduce_to_e2 is not None:
        return terms.reduce_to_e2 == order.working_count_e2 - order.fill_count_e2
    return (terms.price_e6, terms.count_e2) == (order.working_price_e6, order.working_count_e2)


def _body(order: _Standing, terms: Terms) -> str:
    if terms.reduce_to_e2 is not None:
        return decrease_body(order.ticker, terms.reduce_to_e2)
    assert terms.price_e6 is not None
    assert terms.count_e2 is not None
    return amend_body(order.ticker, order.side, terms.price_e6, terms.count_e2, terms.expiration_time)


def _refuse_beside(order: _Standing, other: _Open) -> None:
    """One change at a time: what is queued gives way to the newer one, what may be at the exchange does not."""
    name = order.client_order_id
    if other.kind == CommandKind.CANCEL:
        raise InputError(f"order {name} is being canceled", hint=f"`oms why {name}` tells how far that is")
    if other.state != "queued":
        raise InputError(
            f"order {name}: the outcome of its last {other.kind} is not known yet",
            hint="`oms reconcile` settles it; then change the order as it is then",
        )


def _record(
    connection: Connection, order_key: int, recorded: e.Recorded, expires_at_us: int | None, now_us: int
) -> int:
    order = _Standing._make(connection.execute(_ORDER, {"order_key": order_key}).one())
    keys, seq = newest(connection)
    command_key, seq, n = keys.command + 1, seq + 1, order.event_count + 1
    data = e.encode(recorded)
    hashed = chain_hash(order.chain_hash, order_key, n, command_key, None, now_us, "recorded", data)
    digest = body_digest(recorded.body)
    row = new_command(command_key, order_key, order.batch_key, recorded.kind, expires_at_us, digest, now_us)
    insert_rows(connection, "commands", COMMAND_NEW, [(seq, *row)])
    event = (seq, order_key, n, command_key, None, now_us, "recorded", data, hashed)
    insert_rows(connection, "events", EVENT_COLUMNS, [event])
    connection.execute(_HEAD, {"order_key": order_key, "n": n, "hash": hashed, "now_us": now_us})
    return command_key


_o, _c, _e = schema.orders.c, schema.commands.c, schema.events.c
_OPEN_CANCEL = select(_c.key).where(
    _c.order_key == bindparam("order_key"), _c.kind == CommandKind.CANCEL.value, text(schema.UNFINISHED_SQL)
)
_OPEN = (
    select(_c.key, _c.kind, _c.state, _c.digest, _e.data)
    .join(schema.events, _e.seq == _c.recorded_seq)
    .where(
        _c.order_key == bindparam("order_key"),
        text(f"commands.kind IN {schema.sql_list([CommandKind.CANCEL, *MODIFIES])}"),
        text(schema.UNFINISHED_SQL),
    )
)
_ORDER = select(
    *(_o.client_order_id, _o.batch_key, _o.event_count, _o.chain_hash, _o.status, _o.ticker, _o.side),
    *(_o.working_price_e6, _o.working_count_e2, _o.fill_count_e2),
).where(_o.key == bindparam("order_key"))
_HEAD = (
    update(schema.orders)
    .where(_o.key == bindparam("order_key"))
    .values(event_count=bindparam("n"), chain_hash=bindparam("hash"), updated_at_us=bindparam("now_us"))
)
