"""Actions in the ledger: recorded, claimed and settled under an epoch, chained like orders, projected like commands.

The only code that writes `action_events`, and the only code that moves `actions`. An action is recorded by the very run
that sends it, with the writer lock held: so one that is queued when a run begins was never sent and never will be (but
for the cancel of one order: that goes on), and one that is on the wire then is in doubt (P5).
"""

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import bindparam, func, insert, select, text, update
from sqlalchemy.engine import Connection, Row

from oms.errors import InvalidTransition, LedgerFailed
from oms.ledger import groups, schema
from oms.ledger.append import chain_hash, chain_start
from oms.ledger.bulk import execute, insert_rows
from oms.ledger.ledger import Ledger
from oms.ledger.queries import set_watermark
from oms.lifecycle import events as e
from oms.lifecycle.actions import (
    Action,
    ActionRecorded,
    apply_action,
    begin_action,
    decode_action,
    encode_action,
    group_of,
)
from oms.lifecycle.states import ActionKind, CommandState, Reason
from oms.records import CheckRecord

# So long after a cancel-all the exchange may cancel what is placed.
TAIL_MS = 60_000

_DETAIL_LENGTH = 500  # in the projection only; the event keeps all of it
_a = schema.actions.c
_EVENT_COLUMNS = ("seq", "action_key", "n", "epoch", "at_us", "kind", "data", "hash")


class ActionEntry(msgspec.Struct, frozen=True):
    """One action as the ledger has it, and what is needed to send it."""

    key: int
    recorded: ActionRecorded
    action: Action
    created_at_us: int
    event_count: int
    chain_hash: bytes

    @property
    def kind(self) -> ActionKind:
        return self.action.kind

    @property
    def state(self) -> CommandState:
        return self.action.state


def record(ledger: Ledger, wanted: Sequence[ActionRecorded], now_us: int) -> list[ActionEntry]:
    """Record actions, each queued; durable on return (P1). Raises EpochLost, LedgerFailed."""
    entries: list[ActionEntry] = []
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        key: int = execute(connection, "SELECT coalesce(max(key), 0) FROM actions").fetchone()[0]
        for recorded in wanted:
            key += 1
            entries.append(_insert(connection, key, recorded, ledger.epoch, now_us))
    return entries


def claim(ledger: Ledger, entry: ActionEntry, signed_ms: int, now_us: int, *, tail_ms: int = 0) -> ActionEntry:
    """The next attempt, durable on return: only then may it be sent, with this very timestamp (P1).

    `tail_ms`: of a cancel-all, how long after it nothing else may be sent. Raises EpochLost, LedgerReplaced,
    LedgerFailed.
    """
    ledger.check_place()
    assert ledger.epoch is not None
    event = e.Claimed(attempt=entry.action.attempts + 1, epoch=ledger.epoch, signed_ms=signed_ms, at_us=now_us)
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        if entry.kind is ActionKind.CANCEL_ALL:
            set_watermark(connection, schema.CANCEL_ALL_TAIL, signed_ms + tail_ms, now_us)
        return _append(connection, entry, event, ledger.epoch, now_us)


def tell(
    ledger: Ledger, entry: ActionEntry, events: Sequence[e.Event], now_us: int, *, tail_until_ms: int | None = None
) -> ActionEntry:
    """Append what was learned of an action; durable on return. `tail_until_ms` moves the watermark of a cancel-all."""
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        for event in events:
            entry = _append(connection, entry, event, ledger.epoch, now_us)
        if tail_until_ms is not None:
            set_watermark(connection, schema.CANCEL_ALL_TAIL, tail_until_ms, now_us)
    ledger.tend()
    return entry


def open_run(ledger: Ledger, now_us: int) -> tuple[int, int]:
    """What a dead run left: (on the wire, and in doubt from now on; never sent, and withdrawn) (P5)."""
    left = [x for x in unfinished(ledger) if x.state is CommandState.ON_WIRE or _is_given_up(x)]
    died = 0
    if not left:
        return 0, 0
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        for entry in left:
            died += entry.state is CommandState.ON_WIRE
            assert ledger.epoch is not None
            event: e.Event = e.SenderDied(epoch=ledger.epoch)
            if entry.state is CommandState.QUEUED:
                detail = "the run that asked for it ended before it was sent"
                event = e.Withdrawn(reason=Reason.SENDER_DIED, detail=detail)
            _append(connection, entry, event, ledger.epoch, now_us)
    return died, len(left) - died


def _is_given_up(entry: ActionEntry) -> bool:
    """Whether it was never sent and never will be: only the cancel of one order outlives the run that asked."""
    return entry.state is CommandState.QUEUED and entry.kind is not ActionKind.CANCEL_EXTERNAL


def unfinished(ledger: Ledger) -> list[ActionEntry]:
    """Every action that is queued, on the wire, in doubt or parked, oldest first."""
    with ledger.read() as connection:
        return [_entry(connection, row) for row in connection.execute(_UNFINISHED).all()]


def entry_of(ledger: Ledger, key: int) -> ActionEntry | None:
    """One action by its number."""
    with ledger.read() as connection:
        row = connection.execute(_BY_KEY, {"key": key}).one_or_none()
        return _entry(connection, row) if row is not None else None


def newest_cancels(ledger: Ledger, order_ids: Sequence[str]) -> list[ActionEntry]:
    """The newest cancel of each of these orders that were not placed here, oldest first."""
    with ledger.read() as connection:
        rows = connection.execute(_CANCELS, {"targets": list(order_ids)}).all()
        return [_entry(connection, row) for row in rows]


def history(ledger: Ledger, order_ids: Sequence[str]) -> list[tuple[int, str, e.Event]]:
    """What happened to the cancels of these orders: (microseconds of UTC, kind of the action, event), oldest first."""
    with ledger.read() as connection:
        rows = connection.execute(_ABOUT, {"targets": list(order_ids)}).all()
    return [(row.at_us, row.action, decode_action(row.kind, row.data)) for row in rows]


def group_made_by(ledger: Ledger, key: int) -> str | None:
    """The order_group_id that a group_create has brought; None when it has none, or none is known."""
    with ledger.read() as connection:
        rows = connection.execute(_HISTORY, {"key": key}).all()
    made = [group for kind, data in rows if (group := group_of(decode_action(kind, data))) is not None]
    return made[-1] if made else None


def has_on_wire(ledger: Ledger) -> bool:
    """Whether an action is on the wire, as far as the ledger knows."""
    with ledger.read() as connection:
        return bool(connection.execute(_ON_WIRE).scalar())


def tail_until_ms(ledger: Ledger) -> int | None:
    """Exchange time until when a cancel-all of this ledger may still cancel what is placed; None: there was none."""
    with ledger.read() as connection:
        value = connection.execute(_TAIL, {"name": schema.CANCEL_ALL_TAIL}).scalar()
    return int(value) if value is not None else None


_ev = schema.action_events.c
_OF_TARGETS = (_a.kind == ActionKind.CANCEL_EXTERNAL.value, _a.target.in_(bindparam("targets", expanding=True)))
_CANCELS = (
    select(schema.actions)
    .where(_a.key.in_(select(func.max(_a.key)).where(*_OF_TARGETS).group_by(_a.target)))
    .order_by(_a.key)
)
_ABOUT = (
    select(_ev.at_us, _ev.kind, _ev.data, _a.kind.label("action"))
    .join(schema.actions, _a.key == _ev.action_key)
    .where(*_OF_TARGETS)
    .order_by(_ev.seq)
)
_UNFINISHED = text(f"SELECT * FROM actions WHERE {schema.UNFINISHED_SQL} ORDER BY key")  # noqa: S608
_BY_KEY = select(schema.actions).where(_a.key == bindparam("key"))
_ON_WIRE = text(f"SELECT count(*) FROM actions WHERE {schema.UNFINISHED_SQL} AND state = 'on_wire'")  # noqa: S608
_TAIL = text("SELECT value_ms FROM watermarks WHERE name = :name")


# -- inside -----------------------------------------------------------------------------------------------------------


def _insert(connection: Connection, key: int, recorded: ActionRecorded, epoch: int | None, now_us: int) -> ActionEntry:
    kind, data = encode_action(recorded)
    hashed = chain_hash(_start(key), key, 1, None, epoch, now_us, kind, data)
    action = begin_action(recorded)
    connection.execute(
        insert(schema.actions).values(
            key=key,
            kind=recorded.kind.value,
            target=recorded.target,
            ticker=recorded.ticker,
            subaccount=recorded.subaccount,
            body=recorded.body,
            created_at_us=now_us,
            updated_at_us=now_us,
            event_count=1,
            chain_hash=hashed,
            **_projection(action),
        )
    )
    _insert_event(connection, (key, 1, epoch, now_us, kind, data, hashed))
    return ActionEntry(key, recorded, action, now_us, 1, hashed)


def _append(connection: Connection, entry: ActionEntry, event: e.Event, epoch: int | None, now_us: int) -> ActionEntry:
    action = apply_action(entry.action, event)
    kind, data = encode_action(event)
    n = entry.event_count + 1
    hashed = chain_hash(entry.chain_hash, entry.key, n, None, epoch, now_us, kind, data)
    _insert_event(connection, (entry.key, n, epoch, now_us, kind, data, hashed))
    connection.execute(
        update(schema.actions)
        .where(_a.key == entry.key)
        .values(event_count=n, chain_hash=hashed, updated_at_us=now_us, **_projection(action))
    )
    after = msgspec.structs.replace(entry, action=action, event_count=n, chain_hash=hashed)
    if action.state is CommandState.ACCEPTED and entry.state is not CommandState.ACCEPTED:
        groups.note_accepted(connection, entry.recorded, event, now_us)
    return after


def _insert_event(connection: Connection, values: tuple[object, ...]) -> None:
    seq: int = execute(connection, "SELECT coalesce(max(seq), 0) + 1 FROM action_events").fetchone()[0]
    insert_rows(connection, "action_events", _EVENT_COLUMNS, [(seq, *values)])


def _start(key: int) -> bytes:
    return chain_start(f"action {key}")


def _projection(action: Action) -> dict[str, object]:
    detail = action.detail
    return {
        "state": action.state.value,
        "attempts": action.attempts,
        "live": ",".join(map(str, action.live)),
        "epoch": action.epoch,
        "first_signed_ms": action.first_signed_ms,
        "last_signed_ms": action.last_signed_ms,
        "not_before_us": action.not_before_us,
        "reason": action.reason.value if action.reason is not None else None,
        "detail": detail if detail is None or len(detail) <= _DETAIL_LENGTH else detail[: _DETAIL_LENGTH - 1] + "…",
    }


def _entry(connection: Connection, row: Row[tuple[object, ...]]) -> ActionEntry:
    """An action from its events: there are few of them, and they are what the row follows from."""
    history = [decode_action(each[0], each[1]) for each in connection.execute(_HISTORY, {"key": row.key})]
    recorded, action = _replayed(history)
    return ActionEntry(row.key, recorded, action, row.created_at_us, row.event_count, row.chain_hash)


_HISTORY = text("SELECT kind, data FROM action_events WHERE action_key = :key ORDER BY n")


def _replayed(history: Sequence[e.Event]) -> tuple[ActionRecorded, Action]:
    recorded = history[0]
    if not isinstance(recorded, ActionRecorded):
        raise ValueError("its first event is not that it was recorded")
    action = begin_action(recorded)
    for event in history[1:]:
        action = apply_action(action, event)
    return recorded, action


# -- the ledger against itself ----------------------------------------------------------------------------------------


def check_actions(ledger: Ledger, fix: str) -> Iterator[CheckRecord]:
    """Every action's chain and row against its events, as one record (P7)."""
    problems: list[str] = []
    seen = 0
    try:
        with ledger.read() as connection:
            keys = connection.execute(_KEYS).scalars().all()
        for key in keys:
            seen += 1
            with ledger.read() as connection:
                problem = _problem(connection, key)
            if problem:
                problems.append(f"action {key}: {problem}")
    except LedgerFailed as exc:
        yield CheckRecord(name="actions", ok=None, seen=f"{seen} checked, then: {exc.message}", fix=fix)
        return
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    told = "; ".join(problems[:5]) + more if problems else f"{seen} checked"
    yield CheckRecord(name="actions", ok=not problems, seen=told, fix=fix if problems else "")


_KEYS = text("SELECT key FROM actions ORDER BY key")
_EVENTS = text("SELECT n, epoch, at_us, kind, data, hash FROM action_events WHERE action_key = :key ORDER BY n")


def _problem(connection: Connection, key: int) -> str:
    row = connection.execute(_BY_KEY, {"key": key}).one()
    before, history = _start(key), []
    for number, event in enumerate(connection.execute(_EVENTS, {"key": key}).all(), 1):
        if event.n != number:
            return f"event {number} is missing"
        before = chain_hash(before, key, number, None, event.epoch, event.at_us, event.kind, event.data)
        if before != event.hash:
            return f"event {number} ({event.kind}) is not the one that was recorded"
        try:
            history.append(decode_action(event.kind, event.data))
        except ValueError as exc:
            return f"event {number} cannot be read: {exc}"
    if (row.event_count, row.chain_hash) != (len(history), before):
        return "its newest event is not the one its row names"
    try:
        recorded, action = _replayed(history)
    except (ValueError, IndexError, InvalidTransition) as exc:
        return f"its events cannot be replayed: {exc}"
    wanted = _projection(action) | {
        "kind": recorded.kind.value,
        "target": recorded.target,
        "ticker": recorded.ticker,
        "subaccount": recorded.subaccount,
        "body": recorded.body,
    }
    differs = [name for name, value in wanted.items() if row._mapping[name] != value]
    return f"its row differs from its events in {', '.join(differs)}" if differs else ""
