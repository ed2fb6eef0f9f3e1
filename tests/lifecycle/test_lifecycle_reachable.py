"""Every state that can be reached at all, by exhaustive search; the database's own rules accept each of them."""

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

from histories import COUNT_E2, PRICE_E6, S, sample, snapshot

from oms.errors import InvalidTransition
from oms.ledger.ledger import open_ledger
from oms.ledger.rows import COMMAND_COLUMNS, ORDER_COLUMNS, command_values, order_values
from oms.lifecycle import events as e
from oms.lifecycle import replay
from oms.lifecycle.states import AT_EXCHANGE, Command, CommandKind, CommandState, Order, OrderStatus, Reason

MOST_ATTEMPTS = 3
Found = tuple[Command, Order]


def alphabet() -> list[e.Event]:
    """Every event, in each variant that could matter to where it leads."""
    found: list[e.Event] = [
        sample(word)
        for word in ("sender_died", "requeued", "moot", "effect_absent", "found_foreign", "effect_seen", "filled")
    ]
    for attempt in range(1, MOST_ATTEMPTS + 1):
        words = ("claimed", "not_processed", "attempt_refused", "attempt_unknown", "id_taken")
        found += [sample(word, attempt) for word in words]
    for reason in (Reason.EXPIRED, Reason.CANCEL_REQUESTED):
        found.append(e.Withdrawn(reason=reason))
    for final in (True, False):
        found.append(e.AbsenceProven(as_of_ms=2, fence_ms=1, orders_seen=0, witnesses=0, final=final))
    for order_id in ("A", "B"):
        found.append(e.Resolved(order_id=order_id))
        found.append(e.DuplicateSeen(source="orders", order_id=order_id))
        found.append(e.DuplicateSettled(order_id=order_id))
        for reduced in (0, COUNT_E2):
            found.append(e.CancelAcknowledged(attempt=1, order_id=order_id, reduced_by_e2=reduced, ts_ms=3))
        for fill, remaining in ((0, COUNT_E2), (400, 600), (COUNT_E2, 0), (400, 0)):
            found.append(
                e.Acknowledged(attempt=1, order_id=order_id, fill_count_e2=fill, remaining_count_e2=remaining, ts_ms=3)
            )
        for status in ("resting", "executed", "canceled"):
            seen = snapshot(order_id, status, 400, updated_ms=3)
            found.append(e.Found(source="orders", as_of_ms=4, order=seen))
            found.append(e.Observed(source="orders", as_of_ms=4, order=seen))
    return [*found, e.Resolved(order_id=None)]


def reachable(start: Found) -> dict[Found, tuple[Found, e.Event] | None]:
    """All that can be reached, each with the step that first led there; one trade is enough."""
    came: dict[Found, tuple[Found, e.Event] | None] = {start: None}
    events = alphabet()
    frontier = [start]
    while frontier:
        following: list[Found] = []
        for before in frontier:
            for event in events:
                if isinstance(event, e.Filled) and before[1].traded_count_e2:
                    continue
                try:
                    after = replay.apply(*before, event)
                except InvalidTransition:
                    continue
                if after not in came:
                    came[after] = (before, event)
                    following.append(after)
        frontier = following
    return came


@cache
def creates() -> list[Found]:
    return list(reachable((Command(kind=CommandKind.CREATE), Order(count_e2=COUNT_E2, price_e6=PRICE_E6))))


@cache
def cancels() -> list[Found]:
    """Cancels of orders in each status that an order can have while it is asked to be canceled."""
    orders = [
        Order(count_e2=COUNT_E2, price_e6=PRICE_E6),
        Order(count_e2=COUNT_E2, price_e6=PRICE_E6, status=OrderStatus.UNSENT, reason=Reason.EXPIRED),
        *(
            Order(count_e2=COUNT_E2, price_e6=PRICE_E6, status=status, order_id="A", remaining_count_e2=COUNT_E2)
            for status in AT_EXCHANGE
        ),
    ]
    return [found for order in orders for found in reachable((Command(kind=CommandKind.CANCEL), order))]


# Columns without a say in any rule of a projection.
ORDER = {
    "batch_key": 1,
    "ticker": "T",
    "side": "bid",
    "price_e6": 560_000,
    "count_e2": COUNT_E2,
    "own_id": 0,
    "time_in_force": "good_till_canceled",
    "self_trade_prevention_type": "taker_at_cross",
    "post_only": 0,
    "reduce_only": 0,
    "action": "buy",
    "outcome": "yes",
    "row_digest": b"d",
    "created_at_us": 1,
}
COMMAND = {"order_key": 1, "batch_key": 1, "recorded_seq": 1, "digest": b"d", "created_at_us": 1}


def put(connection: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    names = ", ".join(f'"{name}"' for name in row)
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def test_every_state_that_can_be_reached_meets_the_rules_of_the_database(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    open_ledger(f"sqlite:///{path}", "sandbox", create=True).close()
    found = [*creates(), *cancels()]
    commands = {(command.kind, command_values(command, 0)) for command, _ in found}
    orders = {order_values(order, 0, 1, b"h") for _, order in found}
    with closing(sqlite3.connect(path)) as connection:
        for key, values in enumerate(orders, 1):
            row = dict(zip(ORDER_COLUMNS, values, strict=True))
            if row["order_id"] is not None:
                row["order_id"] = f"{row['order_id']}{key}"  # unique in a ledger
            put(connection, "orders", {**ORDER, "key": key, "row": key, "client_order_id": f"c{key}", **row})
        for key, (kind, values) in enumerate(commands, 1):
            row = dict(zip(COMMAND_COLUMNS, values, strict=True))
            put(connection, "commands", {**COMMAND, "key": key, "kind": kind.value, **row})
    assert {values[0] for _, values in commands} == set(CommandState)
    assert {values[0] for values in orders} == set(OrderStatus)


def test_no_create_is_ever_sent_again_once_an_order_of_it_is_known() -> None:
    """P2: a claim needs the order to be unknown to us, and every earlier attempt known to be no or proven absent."""
    for found in creates():
        command, order = found
        number = command.attempts + 1
        try:
            replay.apply(command, order, sample("claimed", number))
        except InvalidTransition:
            continue
        assert order.order_id is None
        assert order.status is OrderStatus.PENDING
        assert command.state is S.IN_DOUBT or not command.live


def test_evidence_is_accepted_in_every_state() -> None:
    evidence = [event for event in alphabet() if isinstance(event, e.EVIDENCE)]
    for found in (*creates(), *cancels()):
        for event in evidence:
            replay.apply(*found, event)


def test_from_every_state_a_create_can_still_be_found() -> None:
    """Nothing we ever conclude closes the door to what the exchange shows (P3)."""
    shown = e.Found(source="orders", as_of_ms=9, order=snapshot("A"))
    for command, order in creates():
        if order.order_id in (None, "A"):
            after, there = replay.apply(command, order, shown)
            assert (after.state, there.order_id) == (S.ACCEPTED, "A")
