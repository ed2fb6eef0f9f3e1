"""What the ledger's history says, as messages: which facts are worth one, and what each message holds.

Facts about orders, and about actions (cancel all, order groups), which have a history of their own.

Whether a fact brought an order into doubt, parked or refused it follows from the order's own history, replayed: the
same fact may settle a doubt, or come too late to mean anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from oms.app.views import order_record, sentence
from oms.errors import InvalidTransition
from oms.ledger import deliveries
from oms.ledger.deliveries import Told
from oms.ledger.ledger import Ledger
from oms.lifecycle import events as e
from oms.lifecycle import replay
from oms.lifecycle.actions import Action, ActionRecorded, Undecidable, apply_action, begin_action, decode_action
from oms.lifecycle.states import Command, CommandState, Order, Reason
from oms.records import OrderRecord
from oms.units import format_time

if TYPE_CHECKING:
    from sqlalchemy import Row

MOST = 100  # messages in one delivery

# Facts that may bring a command into a state worth telling, by the word for that state.
_MOVES = {
    "in_doubt": ("attempt_unknown", "id_taken", "sender_died"),
    "parked": ("found_foreign",),
    "refused": ("attempt_refused", "absence_proven", "withdrawn"),
}
_STATES = {
    "in_doubt": (CommandState.IN_DOUBT,),
    "parked": (CommandState.PARKED,),
    "refused": (CommandState.REFUSED, CommandState.WITHDRAWN),
}
_FILLS = ("filled", "acknowledged")
_ACTION_FACTS = {
    "in_doubt": ("attempt_unknown", "sender_died"),
    "parked": ("undecidable",),
    "refused": ("attempt_refused",),
}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, as a hook is told of it; docs/hooks.md describes each field."""

    event_id: str
    event: str
    at: str
    text: str
    command: str | None = None
    fact: str | None = None
    data: dict[str, Any] | None = None
    order: OrderRecord | None = None
    hash: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The next messages for a receiver, and what to note when it has taken them."""

    messages: list[Message]
    seq: int | None  # the cursor then; None where it stays
    told: list[Told] = field(default_factory=list)


def next_page(ledger: Ledger, receiver: str, wanted: Sequence[str]) -> Page:
    """What this receiver has not been told: of orders first, then of actions, then a halt, then breaks."""
    after = deliveries.cursor(ledger, receiver) or 0
    upto = deliveries.newest_seq(ledger)
    kinds = [kind for word in wanted for kind in _MOVES.get(word, ())] + (list(_FILLS) if "filled" in wanted else [])
    if kinds and upto > after:
        rows = deliveries.events_after(ledger, after, upto, kinds, MOST)
        seq = rows[-1].seq if len(rows) == MOST else upto
        messages = _of_events(ledger, rows, wanted)
        if messages or len(rows) == MOST:
            return Page(messages, seq)
        after = seq
    return _others(ledger, receiver, wanted, max(after, upto))


def _others(ledger: Ledger, receiver: str, wanted: Sequence[str], seq: int) -> Page:
    messages: list[Message] = []
    told: list[Told] = []
    kinds = [kind for word in wanted for kind in _ACTION_FACTS.get(word, ())]
    for mark, row in deliveries.actions_untold(ledger, receiver, kinds, MOST) if kinds else []:
        told.append(mark)
        messages += _of_action(ledger, row)
    for cursor, lifted, reason in deliveries.lifted_after_cursor(ledger, receiver) if "halt" in wanted else []:
        told.append(cursor)
        if lifted is not None:
            told.append(lifted)
            messages.append(_of_halt(lifted, reason, "sending was halted, and goes on"))
    halt = deliveries.halt_untold(ledger, receiver) if "halt" in wanted else None
    if halt is not None:
        told.append(halt[0])
        messages.append(_of_halt(*halt))
    for mark, row in deliveries.breaks_untold(ledger, receiver, MOST) if "break" in wanted else []:
        told.append(mark)
        messages.append(_of_break(mark, row))
    return Page(messages, seq, told)


def _of_action(ledger: Ledger, row: "Row[Any]") -> list[Message]:
    """The message of a fact about an action; none where it moved nothing."""
    before, after = _action_moved(deliveries.history_of_action(ledger, row.action_key), row.seq)
    word = next((word for word, kinds in _ACTION_FACTS.items() if row.kind in kinds and after in _STATES[word]), "")
    if before is after or not word:
        return []
    event = decode_action(row.kind, row.data)
    data: dict[str, Any] = msgspec.json.decode(row.data)
    data.pop("event", None)
    what = row.action_kind.replace("_", " ")
    text = f"{what}: {event.detail}" if isinstance(event, Undecidable) else sentence(event, what)
    return [
        Message(
            event_id=f"action {row.seq}",
            event=word,
            at=format_time(row.at_us),
            text=text,
            command=row.action_kind,
            fact=row.kind,
            data={"target": row.target, "ticker": row.ticker, **data},
            hash=row.hash.hex(),
        )
    ]


def _action_moved(history: "Sequence[Row[Any]]", seq: int) -> tuple[CommandState | None, CommandState | None]:
    """The state of an action before and after one fact about it."""
    action: Action | None = None
    for row in history:
        event = decode_action(row.kind, row.data)
        before = None if action is None else action.state
        if isinstance(event, ActionRecorded):
            action = begin_action(event)
        elif action is not None:
            try:
                action = apply_action(action, event)
            except InvalidTransition:  # a damaged history; `oms db check` names it
                break
        if row.seq == seq:
            return before, None if action is None else action.state
    return None, None


def _of_halt(mark: Told, reason: str, what: str = "sending is halted") -> Message:
    text = f"{what}: {reason}"
    return Message(event_id=f"halt {mark.value}", event="halt", at=format_time(mark.value), text=text)


def _of_break(mark: Told, row: "Row[Any]") -> Message:
    names = ("kind", "client_order_id", "order_id", "ticker", "expected", "seen", "suggestion")
    return Message(
        event_id=f"break {mark.value} {row.name}",
        event="break",
        at=format_time(mark.value),
        text=f"{row.kind}: expected {row.expected}, seen {row.seen}; {row.suggestion}",
        data={name: row._mapping[name] for name in names},
    )


def _of_events(ledger: Ledger, rows: "Sequence[Row[Any]]", wanted: Sequence[str]) -> list[Message]:
    if not rows:
        return []
    keys = {row.order_key for row in rows}
    orders = deliveries.orders_of(ledger, keys)
    histories = deliveries.histories_of(ledger, {row.order_key for row in rows if row.kind not in _FILLS})
    moves: dict[int, tuple[CommandState, CommandState]] = {}
    for key, history in histories.items():
        if key in orders:
            moves |= moved(history, Order(count_e2=orders[key].count_e2, price_e6=orders[key].price_e6))
    messages = []
    for row in rows:
        event = e.decode(row.kind, row.data)
        word = _word(event, row, moves)
        if word in wanted and row.order_key in orders:
            messages.append(_of_event(row, event, word, order_record(orders[row.order_key], ledger.environment)))
    return messages


def moved(history: "Sequence[Row[Any]]", order: Order) -> dict[int, tuple[CommandState, CommandState]]:
    """For each fact about a command of one order: the command's state before it and after it, by its number."""
    found: dict[int, tuple[CommandState, CommandState]] = {}
    commands: dict[int, Command] = {}
    for row in history:
        event = e.decode(row.kind, row.data)
        if row.command_key is None:
            order = replay.observe(order, event)
        elif isinstance(event, e.Recorded):
            commands[row.command_key] = replay.begin(event)
        else:
            before = commands[row.command_key]
            try:
                commands[row.command_key], order = replay.apply(before, order, event)
            except InvalidTransition:  # a damaged history; `oms db check` names it
                return found
            found[row.seq] = (before.state, commands[row.command_key].state)
    return found


def _word(event: e.Event, row: "Row[Any]", moves: dict[int, tuple[CommandState, CommandState]]) -> str:
    """What a fact is called as a message; "" where it is none."""
    if isinstance(event, e.Filled):
        return "filled"
    if isinstance(event, e.Acknowledged):
        return "filled" if event.fill_count_e2 else ""
    before, after = moves.get(row.seq, (None, None))
    if before is after or (isinstance(event, e.Withdrawn) and event.reason is not Reason.LIMIT):
        return ""
    for word, kinds in _MOVES.items():
        if row.kind in kinds and after in _STATES[word]:
            return word
    return ""


def _of_event(row: "Row[Any]", event: e.Event, word: str, order: OrderRecord) -> Message:
    data: dict[str, Any] = msgspec.json.decode(row.data)
    data.pop("event", None)
    return Message(
        event_id=str(row.seq),
        event=word,
        at=format_time(row.at_us),
        text=sentence(event, row.command_kind),
        command=row.command_kind,
        fact=row.kind,
        data=data,
        order=order,
        hash=row.hash.hex(),
    )
