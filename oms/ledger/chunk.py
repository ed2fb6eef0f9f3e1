"""Intents as rows: an order, its create command and its first event each, by the thousand.

Rows are prepared before the write lock is taken, because preparing costs as much as inserting and a sender waits for
that lock. They rest on the keys that were in use then; whoever inserts them sees inside the transaction whether that
still holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from oms.intake import ids
from oms.intake.intents import Intent, body_digest, request_body
from oms.ledger.append import EVENT_COLUMNS, chain_hash, chain_start
from oms.ledger.bulk import execute, insert_rows
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandKind, CommandState, OrderStatus

Row = tuple[object, ...]

ORDER_NEW = (
    "key",
    "client_order_id",
    "batch_key",
    "row",
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
    "order_group_id",
    "action",
    "outcome",
    "own_id",
    "tag",
    "submit_before_us",
    "row_digest",
    "created_at_us",
    "status",
    "working_price_e6",
    "working_count_e2",
    "terms_elsewhere",
    "fill_count_e2",
    "traded_count_e2",
    "traded_value_e8",
    "traded_fees_e6",
    "fact_ts_ms",
    "late",
    "updated_at_us",
    "event_count",
    "chain_hash",
)
COMMAND_NEW = (
    "recorded_seq",
    "key",
    "order_key",
    "batch_key",
    "kind",
    "state",
    "attempts",
    "live",
    "id_taken",
    "not_before_us",
    "expires_at_us",
    "digest",
    "created_at_us",
    "updated_at_us",
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The newest keys in use; those of events move whenever anything happens, so they are given out last."""

    order: int
    command: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows ready to be inserted behind these keys, without their events' numbers."""

    behind: Keys
    orders: list[Row]
    commands: list[Row]
    events: list[Row]


def newest(connection: Connection) -> tuple[Keys, int]:
    """The keys in use and the number of the newest event, as the caller's transaction sees them."""
    order_key, command_key, seq = execute(connection, _NEWEST).fetchone()
    return Keys(order_key, command_key), seq


_NEWEST = (
    "SELECT (SELECT coalesce(max(key), 0) FROM orders), (SELECT coalesce(max(key), 0) FROM commands),"
    " (SELECT coalesce(max(seq), 0) FROM events)"
)


def prepare(
    behind: Keys, batch_key: int, first_row: int, intents: Sequence[Intent], ttl_us: int | None, now_us: int
) -> Chunk:
    """The rows of these intents, numbered from `first_row` in their batch."""
    chunk = Chunk(behind, [], [], [])
    order_key, command_key = behind.order, behind.command
    for row, intent in enumerate(intents, first_row):
        order_key, command_key = order_key + 1, command_key + 1
        body = request_body(intent)
        data = e.encode(recorded_create(intent, body))
        start = chain_start(intent.client_order_id)
        hashed = chain_hash(start, order_key, 1, command_key, None, now_us, "recorded", data)
        chunk.orders.append(_order_row(intent, order_key, batch_key, row, now_us, hashed))
        expires = _expiry(intent, ttl_us, now_us)
        digest = body_digest(body)
        chunk.commands.append(
            new_command(command_key, order_key, batch_key, CommandKind.CREATE, expires, digest, now_us)
        )
        chunk.events.append((order_key, 1, command_key, None, now_us, "recorded", data, hashed))
    return chunk


def insert_chunk(connection: Connection, chunk: Chunk, seq: int) -> int:
    """Insert the rows, their events numbered behind `seq`; the newest number then."""
    insert_rows(connection, "orders", ORDER_NEW, chunk.orders)
    insert_rows(connection, "commands", COMMAND_NEW, [(n, *row) for n, row in enumerate(chunk.commands, seq + 1)])
    insert_rows(connection, "events", EVENT_COLUMNS, [(n, *row) for n, row in enumerate(chunk.events, seq + 1)])
    return seq + len(chunk.events)


def recorded_create(intent: Intent, body: str) -> e.Recorded:
    """The first event of an order: all that is needed to make its rows again."""
    return e.Recorded(
        kind=CommandKind.CREATE,
        body=body,
        action=intent.action,
        outcome=intent.outcome,
        own_id=intent.own_id,
        tag=intent.tag,
        submit_before_us=intent.submit_before_us,
    )


def _order_row(intent: Intent, key: int, batch_key: int, row: int, now_us: int, hashed: bytes) -> Row:
    return (
        key,
        intent.client_order_id,
        batch_key,
        row,
        intent.ticker,
        intent.side.value,
        intent.price_e6,
        intent.count_e2,
        intent.time_in_force.value,
        intent.self_trade_prevention_type.value,
        int(intent.post_only),
        int(intent.reduce_only),
        intent.expiration_time,
        intent.subaccount,
        intent.order_group_id,
        intent.action.value,
        intent.outcome.value,
        int(intent.own_id),
        intent.tag,
        intent.submit_before_us,
        ids.row_digest(intent),
        now_us,
        OrderStatus.PENDING.value,
        intent.price_e6,
        intent.count_e2,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        now_us,
        1,
        hashed,
    )


def new_command(
    key: int,
    order_key: int,
    batch_key: int,
    kind: CommandKind,
    expires_at_us: int | None,
    digest: bytes,
    now_us: int,
) -> Row:
    """A queued command as in COMMAND_NEW, but for the number of its first event, which comes first there."""
    return (
        key,
        order_key,
        batch_key,
        kind.value,
        CommandState.QUEUED.value,
        0,
        "",
        0,
        0,
        expires_at_us,
        digest,
        now_us,
        now_us,
    )


def _expiry(intent: Intent, ttl_us: int | None, now_us: int) -> int | None:
    if not ttl_us:
        return intent.submit_before_us
    end = now_us + ttl_us
    return end if intent.submit_before_us is None else min(end, intent.submit_before_us)
