"""What the program does in the model, with its own functions: answers applied, claims, scans, starts."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import msgspec
from model_world import (
    BASE_MS,
    COUNT_E2,
    FLYING,
    HELD,
    LAGS,
    TICK_MS,
    WITNESS,
    Attempt,
    State,
    Step,
    World,
    client_order_id,
    ms,
    order_id,
)

from oms import compare
from oms.compare import Policy, View
from oms.lifecycle import events as e
from oms.lifecycle import replay
from oms.lifecycle.states import Command, CommandState, Order, Resend

S = CommandState


@dataclass(frozen=True)
class Known:
    """The ledger's entry, as compare wants to see it."""

    command: Command
    order: Order
    client_order_id: str
    order_key: int = 1
    ticker: str = "T"
    side: str = "bid"
    price_e6: int = 500_000
    own_id: bool = False
    recorded_at_us: int = 0
    expires_at_us: int | None = None


def told(state: State, world: World, event: e.Event) -> State:
    """The ledger after the answer to an attempt."""
    command = state.command
    if isinstance(event, e.AttemptUnknown) and not world.has("unknown_is_doubt"):
        event = e.NotProcessed(attempt=event.attempt, why="no_answer")
    if isinstance(event, e.IdTaken) and not world.has("taken_is_doubt"):
        event = e.AttemptRefused(attempt=event.attempt, http_status=409, code="order_already_exists")
    is_no = isinstance(event, e.NotProcessed | e.AttemptRefused)
    if is_no and not world.has("own_attempt") and command.live:
        command = _changed(command, live=(event.attempt,))  # type: ignore[attr-defined]
    return _applied(state._replace(command=command), event)


@cache
def _changed(command: Command, **changes: object) -> Command:
    return msgspec.structs.replace(command, **changes)


@cache
def _apply(command: Command, order: Order, event: e.Event) -> tuple[Command, Order]:
    return replay.apply(command, order, event)


def _applied(state: State, *events: e.Event) -> State:
    command, order = state.command, state.order
    for event in events:
        command, order = _apply(command, order, event)
    return state._replace(command=command, order=order)


def claims(state: State, world: World) -> Iterator[Step]:
    """The next attempt becomes durable, and may leave from then on."""
    number = state.command.attempts + 1
    if number > world.attempts or state.must_read:
        return
    is_waited_for = any(a.waited_for for a in state.attempts)
    at_once = world.resend is Resend.AT_ONCE and state.command.state is S.IN_DOUBT
    if is_waited_for or not (state.command.state is S.QUEUED or at_once):
        return
    cid = state.cid if world.has("one_id") else 10 * state.cid + number
    for error in world.clock_errors:
        signed = state.now + error
        claim = e.Claimed(attempt=number, epoch=1, signed_ms=ms(signed), at_us=0)
        attempt = Attempt(number, cid, signed, HELD, state.now, True)
        after = _applied(state, claim)._replace(attempts=tuple(sorted((*state.attempts, attempt))))
        yield f"attempt {number} is claimed, signed {signed}", after
        if not world.has("write_ahead"):
            flying = attempt._replace(place=FLYING, waited_for=False)
            yield (
                f"attempt {number} leaves, and the run dies before it is committed",
                state._replace(attempts=tuple(sorted((*state.attempts, flying)))),
            )


def scans(state: State, world: World) -> Iterator[Step]:
    """A scan is two steps with time between them: the age of the data, and the list."""
    if state.must_read:
        yield from account_read(state, world)
        return
    if state.command.state is not S.IN_DOUBT:
        return
    if state.scan is None:
        if world.has("as_of_first"):
            for lag in LAGS:
                if lag <= state.now:
                    yield f"a scan begins, data of {state.now - lag}", state._replace(scan=state.now - lag)
        else:
            for shown in _listings(state, world, 0):
                yield f"a list shows {_words(shown)}", state._replace(scan=shown)
    elif isinstance(state.scan, frozenset):
        yield from _concluded(state, world, state.now, state.scan, "whole")
    else:
        for shown in _listings(state, world, state.scan):
            yield from _concluded(state, world, state.scan, shown, "whole")
        for fault in world.faults:
            yield from _concluded(state, world, state.scan, frozenset(), fault)


def _listings(state: State, world: World, as_of: int) -> set[frozenset[int]]:
    """What a whole list can show: what was committed by then, and of later orders all or none."""
    listed = [p for p in state.placed if p.tick >= _reach(state, world)]
    return {frozenset(p.cid for p in listed if p.tick <= as_of), frozenset(p.cid for p in listed)}


def _reach(state: State, world: World) -> int:
    """The tick a list goes back to: far enough for every attempt, unless that rule is left out."""
    signed = state.command.last_signed_ms
    if world.has("first_attempt") or signed is None or state.command.id_taken:
        return -1
    return (signed - BASE_MS) // TICK_MS - world.horizon


def _words(shown: frozenset[int]) -> str:
    return "the order" if shown else "nothing of it"


def _concluded(state: State, world: World, as_of: int, shown: frozenset[int], kind: str) -> Iterator[Step]:
    """What the program's own rules make of a scan."""
    after = state._replace(scan=None)
    known = Known(state.command, state.order, client_order_id(state.cid))
    name = f"a list ({kind}, data of {as_of}) shows {_words(shown)}"
    if state.cid in shown:
        found = compare.recognize(known, _snapshot(state.cid), ms(as_of), "orders")
        assert found is not None
        yield f"{name}: found", _applied(after, found)
    elif _proves_absence(known, world, as_of, kind):
        view = View(ms(as_of), None, True, (), ())
        for expires in (None, 0) if world.expires else (None,):
            policy = Policy(horizon_ms=world.horizon * TICK_MS, resend=world.resend, now_us=0)
            entry = Known(known.command, known.order, known.client_order_id, expires_at_us=expires)
            yield f"{name}: ABSENT", _applied(after, *compare.conclude_absence(entry, view, 1, policy))
    else:
        yield f"{name}: nothing is concluded", after


def _proves_absence(known: Known, world: World, as_of: int, kind: str) -> bool:
    horizon_ms = world.horizon * TICK_MS
    command = known.command
    if not world.has("latest_attempt"):
        command = _changed(command, last_signed_ms=command.first_signed_ms)
    if not world.has("first_attempt"):
        command = _changed(command, first_signed_ms=command.last_signed_ms)
    first = command.first_signed_ms
    assert first is not None
    view = View(
        as_of_ms=ms(as_of) if world.has("fence") else ms(999),
        min_ts_ms=None if command.id_taken else first - horizon_ms,
        is_complete=kind != "with a hole" or not world.has("complete"),
        order_ids=() if kind == "empty by mistake" else (WITNESS,),
        client_order_ids=(),
        sees_all=kind != "of a narrower key" or not world.has("same_user"),
    )
    missing = compare.missing_witnesses({WITNESS: min(ms(as_of), first)}, view) if world.has("witnessed") else []
    judged = Known(command, known.order, known.client_order_id)
    return compare.proves_absence(judged, view, missing, horizon_ms)


@cache
def _snapshot(cid: int) -> e.Snapshot:
    return e.Snapshot(
        order_id=order_id(cid),
        client_order_id=client_order_id(cid),
        ticker="T",
        side="bid",
        status="executed",
        price_e6=500_000,
        initial_count_e2=COUNT_E2,
        fill_count_e2=COUNT_E2,
        remaining_count_e2=0,
    )


def account_read(state: State, world: World) -> Iterator[Step]:
    """After a ledger was put back: its orders at the exchange are recognized before anything is sent."""
    after = state._replace(must_read=False)
    if any(p.cid == state.cid for p in state.placed):
        known = Known(state.command, state.order, client_order_id(state.cid))
        found = compare.recognize(known, _snapshot(state.cid), ms(state.now), "orders")
        assert found is not None
        yield "the account is read: it is there", _applied(after, found)
    else:
        yield "the account is read: nothing of it", after


def restarted(state: State, world: World, attempts: list[Attempt]) -> State:
    """A start is recovery: what the dead run left on the wire is in doubt from now on."""
    left = tuple(sorted(a._replace(waited_for=False) for a in attempts))
    after = state._replace(attempts=left)
    if state.command.state is not S.ON_WIRE:
        return after
    died: e.Event = e.SenderDied(epoch=2)
    if not world.has("died_is_doubt"):
        died = e.NotProcessed(attempt=state.command.attempts, why="stopped")
    return _applied(after, died)
