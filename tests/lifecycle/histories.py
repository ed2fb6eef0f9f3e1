"""Events, commands and orders for tests of the lifecycle: one of each kind, with what matters left to choose."""

import msgspec

from oms.errors import InvalidTransition
from oms.lifecycle import events as e
from oms.lifecycle import replay
from oms.lifecycle.states import Command, CommandKind, CommandState, Order, OrderStatus, Reason, Terms

S = CommandState

COUNT_E2 = 1000
PRICE_E6 = 560_000
SIGNED_MS = 1_000_000


def snapshot(
    order_id: str = "A", status: str = "resting", fill_e2: int = 0, updated_ms: int | None = None
) -> e.Snapshot:
    return e.Snapshot(
        order_id=order_id,
        client_order_id="c",
        ticker="T",
        side="bid",
        status=status,
        price_e6=PRICE_E6,
        initial_count_e2=COUNT_E2,
        fill_count_e2=fill_e2,
        remaining_count_e2=COUNT_E2 - fill_e2 if status == "resting" else 0,
        created_ts_ms=SIGNED_MS,
        updated_ts_ms=updated_ms,
    )


def sample(word: str, attempt: int = 1) -> e.Event:
    """One event of each kind, about that attempt where it is about one."""
    match word:
        case "claimed":
            return e.Claimed(attempt=attempt, epoch=1, signed_ms=SIGNED_MS, at_us=1)
        case "withdrawn":
            return e.Withdrawn(reason=Reason.EXPIRED)
        case "sender_died":
            return e.SenderDied(epoch=2)
        case "absence_proven":
            return e.AbsenceProven(as_of_ms=2, fence_ms=1, orders_seen=0, witnesses=0, final=True)
        case "requeued":
            return e.Requeued()
        case "resolved":
            return e.Resolved(order_id="A")
        case "moot":
            return e.Moot(detail="the order is executed")
        case "effect_absent":
            return e.EffectAbsent(as_of_ms=2, fence_ms=1)
        case "acknowledged":
            return e.Acknowledged(
                attempt=attempt, order_id="A", fill_count_e2=0, remaining_count_e2=COUNT_E2, ts_ms=SIGNED_MS
            )
        case "cancel_acknowledged":
            return e.CancelAcknowledged(attempt=attempt, order_id="A", reduced_by_e2=COUNT_E2, ts_ms=SIGNED_MS)
        case "amend_acknowledged":
            return e.AmendAcknowledged(attempt=attempt, order_id="A", ts_ms=SIGNED_MS)
        case "decrease_acknowledged":
            return e.DecreaseAcknowledged(attempt=attempt, order_id="A", remaining_count_e2=100, ts_ms=SIGNED_MS)
        case "not_processed":
            return e.NotProcessed(attempt=attempt, why="rate_limited")
        case "attempt_refused":
            return e.AttemptRefused(attempt=attempt, http_status=400, code="invalid_price")
        case "attempt_unknown":
            return e.AttemptUnknown(attempt=attempt, why="no_answer")
        case "id_taken":
            return e.IdTaken(attempt=attempt)
        case "found":
            return e.Found(source="orders", as_of_ms=SIGNED_MS, order=snapshot())
        case "found_foreign":
            return e.FoundForeign(source="orders", as_of_ms=SIGNED_MS, order=snapshot("X"), differs="price")
        case "effect_seen":
            return e.EffectSeen(source="order", as_of_ms=SIGNED_MS, order=snapshot(status="canceled"))
        case "observed":
            return e.Observed(source="orders", as_of_ms=SIGNED_MS, order=snapshot())
        case "filled":
            return e.Filled(trade_id="t", count_e2=100, price_e6=560_000, fee_e6=70, is_taker=True, ts_ms=SIGNED_MS)
        case "duplicate_seen":
            return e.DuplicateSeen(source="orders", order_id="B")
        case "duplicate_settled":
            return e.DuplicateSettled(order_id="B")
    raise AssertionError(f"no sample of {word}")


WORDS = tuple(str(kind.__struct_config__.tag) for kind in e.ALL_EVENTS if kind is not e.Recorded)

_STATUS_OF = {
    S.ACCEPTED: OrderStatus.RESTING,
    S.REFUSED: OrderStatus.REJECTED,
    S.WITHDRAWN: OrderStatus.UNSENT,
}


TERMS = {
    CommandKind.AMEND: Terms(price_e6=570_000, count_e2=800),
    CommandKind.DECREASE: Terms(reduce_to_e2=100),
}


def command_in(kind: CommandKind, state: CommandState, live: tuple[int, ...] = (1,)) -> Command:
    """A command that has come to a state; `live` is kept where the state allows a live attempt."""
    may_live = state in (S.ON_WIRE, S.IN_DOUBT, S.PARKED)
    attempts = max(live)
    return Command(
        kind=kind,
        state=state,
        attempts=attempts,
        live=live if may_live else (),
        epoch=1,
        first_signed_ms=SIGNED_MS,
        last_signed_ms=SIGNED_MS,
        terms=TERMS.get(kind),
    )


def order_of(command: Command) -> Order:
    """The order as it stands beside that command."""
    status = OrderStatus.RESTING
    if command.kind is CommandKind.CREATE:
        status = _STATUS_OF.get(command.state, OrderStatus.PENDING)
    return order_in(status)


def order_in(status: OrderStatus, fill_e2: int = 0) -> Order:
    is_there = status in (OrderStatus.RESTING, OrderStatus.EXECUTED, OrderStatus.CANCELED)
    return Order(
        count_e2=COUNT_E2,
        price_e6=PRICE_E6,
        status=status,
        order_id="A" if is_there else None,
        fill_count_e2=fill_e2,
        remaining_count_e2=(COUNT_E2 - fill_e2 if status is OrderStatus.RESTING else 0) if is_there else None,
        created_ts_ms=SIGNED_MS if is_there else None,
        reason=None if is_there or status is OrderStatus.PENDING else Reason.REFUSED,
    )


def outcome(command: Command, event: e.Event) -> str:
    """What the event makes of the command, in the words of the tables: the state, `.` (nothing), `x` (not allowed)."""
    order = order_of(command)
    before = msgspec.to_builtins((command, order))
    try:
        after, _ = replay.apply(command, order, event)
    except InvalidTransition:
        assert msgspec.to_builtins((command, order)) == before, "an event that is not allowed changed something"
        return "x"
    return "." if after == command else after.state.value
