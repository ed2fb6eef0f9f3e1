"""What an order's events make of it and of its commands: the rules of docs/lifecycle.md, written a second time.

Nothing here is taken from the code that oms itself replays with. A test holds the table of moves equal to the tables
that the page shows.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from oms.lab.judge.reading import Row

DOUBT = ("on_wire", "in_doubt", "parked")
UNFINISHED = ("queued", *DOUBT)
AT_EXCHANGE = ("resting", "executed", "canceled")
TERMINAL = ("executed", "canceled")

_STATES = ("queued", "on_wire", "in_doubt", "accepted", "refused", "withdrawn", "absent", "parked")


def _from(states: str, to: str) -> dict[str, str]:
    return dict.fromkeys(states.split(), to)


_NOT_ACCEPTED = " ".join(state for state in _STATES if state != "accepted")
_ANSWERED = _from("queued on_wire in_doubt refused absent parked", "accepted")
_CHANGE = {
    "claimed": _from("queued in_doubt", "on_wire"),
    "withdrawn": _from("queued", "withdrawn"),
    "sender_died": _from("on_wire", "in_doubt"),
    "requeued": _from("absent", "queued"),
    "moot": _from("queued in_doubt", "refused"),
    "effect_absent": _from("in_doubt", "absent"),
    "not_processed": _from("on_wire in_doubt", "queued"),
    "attempt_refused": _from("on_wire in_doubt", "refused"),
    "attempt_unknown": _from("on_wire", "in_doubt"),
    "effect_seen": _from("queued on_wire in_doubt absent parked", "accepted"),
}
# kind of command -> event -> state -> the state after it. What else the tables of the page say (footnotes [1] and [2])
# is in `_settle` and `_moved`.
MOVES: dict[str, dict[str, dict[str, str]]] = {
    "create": {
        "claimed": _from("queued in_doubt", "on_wire"),
        "withdrawn": _from("queued", "withdrawn"),
        "sender_died": _from("on_wire", "in_doubt"),
        "absence_proven": _from("in_doubt", "absent"),
        "requeued": _from("absent", "queued"),
        "resolved": _from("parked", "accepted"),
        "acknowledged": _from(_NOT_ACCEPTED, "accepted"),
        "not_processed": _from("on_wire in_doubt", "queued"),
        "attempt_refused": _from("on_wire in_doubt", "refused"),
        "attempt_unknown": _from("on_wire", "in_doubt"),
        "id_taken": _from("on_wire in_doubt", "in_doubt"),
        "found": _from(_NOT_ACCEPTED, "accepted"),
        "found_foreign": _from("queued on_wire in_doubt absent", "parked"),
    },
    **{kind: _CHANGE | {f"{kind}_acknowledged": _ANSWERED} for kind in ("cancel", "amend", "decrease")},
}
# Ours to decide, hence wrong where the table has no move; everything else is evidence, which is always taken.
DECISIONS = frozenset(
    {"claimed", "withdrawn", "sender_died", "absence_proven", "requeued", "resolved", "moot", "effect_absent"}
)
STATUS_MOVES = {
    "pending": frozenset({"resting", "executed", "canceled", "rejected", "unsent"}),
    "resting": frozenset({"executed", "canceled"}),
    "executed": frozenset[str](),
    "canceled": frozenset[str](),
    "rejected": frozenset(AT_EXCHANGE),
    "unsent": frozenset(AT_EXCHANGE),
}


@dataclass(slots=True)
class Command:
    """One request; the fields are columns of `commands`."""

    kind: str
    state: str = "queued"
    attempts: int = 0
    open: list[int] = field(default_factory=list)  # the column `live`
    id_taken: int = 0
    epoch: int | None = None
    first_signed_ms: int | None = None
    last_signed_ms: int | None = None
    not_before_us: int = 0
    asked: Row = field(default_factory=dict)  # as recorded: the terms of an amend or decrease

    @property
    def live(self) -> str:
        return ",".join(map(str, self.open))


@dataclass(slots=True)
class Order:
    """One order; the fields are columns of `orders`."""

    working_count_e2: int
    working_price_e6: int
    terms_elsewhere: int = 0
    status: str = "pending"
    order_id: str | None = None
    fill_count_e2: int = 0
    remaining_count_e2: int | None = None
    average_fill_price_e6: int | None = None
    fees_e6: int | None = None
    traded_count_e2: int = 0
    traded_value_e8: int = 0
    traded_fees_e6: int = 0
    fact_ts_ms: int = 0
    created_ts_ms: int | None = None
    late: int = 0
    sent_at_us: int | None = None


@dataclass(slots=True)
class Life:
    """An order's events, replayed: what stands at their end, and what in them may not be (invariant, sentence)."""

    order: Order
    commands: dict[int, Command] = field(default_factory=dict)
    wrong: list[tuple[str, str]] = field(default_factory=list)


def replay(count_e2: int, price_e6: int, events: Iterable[Row]) -> Life:
    """Replay the events of one order, recorded with that count and price."""
    life = Life(Order(count_e2, price_e6))
    for event in events:
        kind, said = event["kind"], event["said"]
        try:
            if said is None:
                raise ValueError("its data are not whole-numbered JSON")
            _take(life, event["command_key"], kind, said)
        except (KeyError, TypeError, ValueError, AttributeError) as wrong:
            life.wrong.append(("I12", f"event {event['n']} ({kind}) cannot be read: {wrong!r}"))
    return life


def _take(life: Life, command_key: int | None, kind: str, said: Row) -> None:
    if command_key is None:
        _shown(life.order, kind, said)
        return
    if kind == "recorded":
        life.commands[command_key] = Command(said["kind"], asked=said)
        return
    command = life.commands[command_key]
    to = MOVES[command.kind].get(kind, {}).get(command.state)
    if kind in DECISIONS:
        wrong = _objection(command, life.order, kind, said, to)
        if wrong:
            life.wrong.append(wrong)
            return
    if to is None:
        _shown(life.order, kind, said)
        return
    before = command.state
    _moved(command, kind, said, to)
    if command.kind == "create":
        _created(life.order, command, before, kind, said)
    elif kind == "cancel_acknowledged":
        _canceled(life.order, said)
    elif kind in ("amend_acknowledged", "decrease_acknowledged"):
        _changed(life.order, command.asked, kind, said)
    elif kind == "effect_seen" and command.kind != "cancel":
        _shown(life.order, kind, said)
        life.order.terms_elsewhere = 0
    else:
        _shown(life.order, kind, said)


def _objection(command: Command, order: Order, kind: str, said: Row, to: str | None) -> tuple[str, str] | None:
    """Why a decision of ours may not have been taken."""
    what = f"its {command.kind} was {kind} while {command.state}"
    if to is None:
        return ("I6" if kind == "claimed" else "I10"), what
    if kind == "claimed" and said["attempt"] != command.attempts + 1:
        return "I10", f"attempt {said['attempt']} of its {command.kind} was claimed after attempt {command.attempts}"
    if kind == "requeued" and command.kind == "create" and order.status != "pending":
        return "I6", f"its create was queued again while the order is {order.status}"
    # Only what was read past the last attempt's time on the way can show that nothing of it arrived.
    if (
        kind in ("absence_proven", "effect_absent")
        and not (command.last_signed_ms or 0) < said["fence_ms"] <= said["as_of_ms"]
    ):
        return "I8", f"{kind} rests on data of {said['as_of_ms']} ms, too old to show attempt {command.attempts}"
    return None


def _moved(command: Command, kind: str, said: Row, to: str) -> None:
    if kind == "claimed":
        command.state, command.attempts = to, said["attempt"]
        # What is known to be no bounds nothing any more; all others do.
        latest_ms = command.last_signed_ms if command.open else None
        command.open.append(said["attempt"])
        command.epoch, command.not_before_us = said["epoch"], 0
        command.first_signed_ms = min(command.first_signed_ms or said["signed_ms"], said["signed_ms"])
        command.last_signed_ms = max(latest_ms or 0, said["signed_ms"])
    elif kind in ("not_processed", "attempt_refused"):
        _settle(command, kind, said, to)
    elif kind in ("attempt_unknown", "id_taken"):
        if kind == "id_taken":
            command.id_taken = 1
        if not _is_earlier(command, said["attempt"]):
            command.state = to
    elif kind in ("sender_died", "found_foreign", "withdrawn"):
        command.state = to
    else:
        if kind == "absence_proven" and command.id_taken:
            to = "refused"  # [2]: the exchange keeps the id
        elif kind == "resolved" and said.get("order_id") is None:
            to = "absent"  # [2]: the person says that it is not there
        command.state = to
        command.open.clear()


def _is_earlier(command: Command, attempt: int) -> bool:
    """[1]: an answer to an earlier attempt leaves the later one on the wire."""
    return command.state == "on_wire" and attempt != command.attempts


def _settle(command: Command, kind: str, said: Row, to: str) -> None:
    """A no to one attempt: it ends the command only where no other attempt may still be live [1]."""
    attempt = said["attempt"]
    if attempt not in command.open:
        return
    command.open.remove(attempt)
    if command.open:
        command.state = "on_wire" if _is_earlier(command, attempt) else "in_doubt"
        return
    command.state = to
    if kind == "not_processed":
        command.not_before_us = said.get("not_before_us", 0)


# -- orders ---------------------------------------------------------------------------------------------------------


def _created(order: Order, command: Command, before: str, kind: str, said: Row) -> None:
    """What an event that moved its create makes of the order."""
    # Found after we had concluded that it was not there.
    is_late = int(order.late or before in ("refused", "withdrawn", "absent") or order.status in ("rejected", "unsent"))
    if kind == "claimed":
        if order.sent_at_us is None:
            order.sent_at_us = said["at_us"]
    elif kind == "acknowledged":
        _acknowledged(order, said)
        order.late = is_late
    elif kind == "found":
        if _merged(order, said):
            order.late = is_late
    elif kind == "resolved" and command.state == "accepted":
        order.status, order.order_id, order.late = "resting", said["order_id"], is_late
    elif command.state == "refused":
        order.status = "rejected"
    elif command.state == "withdrawn" or (command.state == "absent" and said.get("final", True)):
        order.status = "unsent"


def _by_counts(count_e2: int, filled_e2: int, remaining_e2: int) -> str:
    if remaining_e2 > 0:
        return "resting"
    return "executed" if filled_e2 >= count_e2 else "canceled"


def _acknowledged(order: Order, said: Row) -> None:
    filled, remaining = said["fill_count_e2"], said["remaining_count_e2"]
    order.status = _by_counts(order.working_count_e2, filled, remaining)
    order.order_id = said["order_id"]
    order.fill_count_e2 = max(order.fill_count_e2, filled)
    order.remaining_count_e2 = remaining
    order.average_fill_price_e6 = said.get("average_fill_price_e6")
    if not filled:
        order.fees_e6 = 0
    order.fact_ts_ms = max(order.fact_ts_ms, said["ts_ms"])
    if order.created_ts_ms is None:
        order.created_ts_ms = said["ts_ms"]


def _canceled(order: Order, said: Row) -> None:
    if said["reduced_by_e2"] > 0 and said["order_id"] == order.order_id and order.status == "resting":
        order.status, order.remaining_count_e2 = "canceled", 0
        order.fact_ts_ms = max(order.fact_ts_ms, said.get("ts_ms") or 0)


def _changed(order: Order, asked: Row, kind: str, said: Row) -> None:
    """An amend or decrease of a resting order that the exchange has taken."""
    if said["order_id"] != order.order_id or order.status != "resting":
        return
    if kind == "amend_acknowledged":
        order.working_count_e2, order.working_price_e6 = asked["count_e2"], asked["price_e6"]
        left = said.get("remaining_count_e2")
        order.remaining_count_e2 = max(0, asked["count_e2"] - order.fill_count_e2) if left is None else left
    else:
        order.remaining_count_e2 = said["remaining_count_e2"]
        order.working_count_e2 = order.fill_count_e2 + said["remaining_count_e2"]
    order.terms_elsewhere = 0
    order.fact_ts_ms = max(order.fact_ts_ms, said.get("ts_ms") or 0)


def _shown(order: Order, kind: str, said: Row) -> None:
    """What evidence about an order that is known makes of it."""
    if kind in ("observed", "found", "effect_seen") and order.order_id is not None:
        _merged(order, said)
    elif kind == "filled":
        _filled(order, said)


def _merged(order: Order, said: Row) -> bool:
    """Join the order with a reading of it; False where the reading is older than what is known, or of another order."""
    seen = said["order"]
    as_of_ms = max(said["as_of_ms"], seen.get("updated_ts_ms") or 0)
    if order.order_id is not None and (seen["order_id"] != order.order_id or as_of_ms < order.fact_ts_ms):
        return False
    filled, remaining = seen["fill_count_e2"], seen["remaining_count_e2"]
    status = seen["status"]
    if status not in AT_EXCHANGE:
        status = _by_counts(seen["initial_count_e2"], filled, remaining)
    if status in STATUS_MOVES[order.status]:
        order.status = status
    count = order.working_count_e2
    if order.status == "executed" or (order.status == "resting" and remaining > 0):
        count = max(filled + remaining, order.fill_count_e2)
    if (count, seen["price_e6"]) != (order.working_count_e2, order.working_price_e6):
        order.terms_elsewhere = 1
    order.working_count_e2, order.working_price_e6 = count, seen["price_e6"]
    is_newer = filled >= order.fill_count_e2
    order.order_id = seen["order_id"]
    order.fill_count_e2 = max(order.fill_count_e2, filled)
    if order.status != "resting":
        order.remaining_count_e2 = 0
    elif is_newer:
        order.remaining_count_e2 = remaining
    if is_newer:
        order.fees_e6 = seen.get("fees_e6", 0)
    order.fact_ts_ms = max(order.fact_ts_ms, seen.get("updated_ts_ms") or 0)
    if order.created_ts_ms is None:
        order.created_ts_ms = seen.get("created_ts_ms")
    return True


def _filled(order: Order, said: Row) -> None:
    order.traded_count_e2 += said["count_e2"]
    order.traded_value_e8 += said["count_e2"] * said["price_e6"]
    order.traded_fees_e6 += said["fee_e6"]
    order.fill_count_e2 = max(order.fill_count_e2, order.traded_count_e2)
    if order.remaining_count_e2 is not None:
        left = max(0, order.working_count_e2 - order.traded_count_e2)
        order.remaining_count_e2 = min(order.remaining_count_e2, left)
