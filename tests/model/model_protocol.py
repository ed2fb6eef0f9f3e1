"""A small model of the recovery protocol: one intent, an exchange, a network, a ledger, and everything that goes wrong.

Time is a few ticks of the exchange's clock. Every step that could happen next is a successor, so a search over them
meets every order of events: senders that pause, requests that wander about in the network, commits that come late,
answers that are lost, runs that die or are taken over while their senders live on, reads that lag, lists with holes,
orders that execute before anybody looks, ledgers put back to an earlier state.

What the program concludes is not modeled: `replay.apply`, `compare.proves_absence`, `compare.conclude_absence`,
`compare.recognize` and `compare.missing_witnesses` are the program's own. A rule is left out by feeding them what a
program without that rule would feed them.
"""

from collections.abc import Iterator
from functools import cache

from model_program import claims, restarted, scans, told
from model_world import (
    ANSWERED,
    COUNT_E2,
    FLYING,
    HELD,
    LAGS,
    TAKEN,
    Attempt,
    Placed,
    State,
    Step,
    World,
    fresh,
    order_id,
)

from oms.lifecycle import events as e
from oms.lifecycle.states import CommandState, OrderStatus

S = CommandState


def start() -> State:
    return State(0, *fresh(), cid=1, attempts=(), placed=(), scan=None, rollbacks=0, must_read=False)


def is_broken(state: State) -> bool:
    """Whether the one intent has become two orders."""
    return len(state.placed) > 1


def steps(state: State, world: World) -> Iterator[Step]:
    """Everything that can happen next."""
    if state.command.state is S.ACCEPTED and not state.attempts and state.rollbacks >= world.rollbacks:
        return  # it is known where it is, and nothing of it is under way
    for label, after in _steps(state, world):
        yield label, _plain(after, world)


def _steps(state: State, world: World) -> Iterator[Step]:
    yield from _time(state, world)
    for attempt in state.attempts:
        yield from _sender(state, world, attempt)
        yield from _exchange(state, world, attempt)
    yield from _orders_end(state, world)
    yield from claims(state, world)
    yield from scans(state, world)
    yield from _person(state, world)
    yield from _death(state, world)


def _plain(state: State, world: World) -> State:
    """The state without what can make no difference any more, so that fewer of them are told apart."""
    if world.skew is not None and world.has("signed_once"):
        # What nobody waits for and the exchange would refuse for its timestamp is as good as gone.
        oldest = state.now - world.skew
        kept = tuple(a for a in state.attempts if a.waited_for or a.place == TAKEN or a.signed >= oldest)
        if len(kept) < len(state.attempts):
            state = state._replace(attempts=kept)
    # An order older than any data a read can still be made of is simply old.
    scan = state.scan if isinstance(state.scan, int) else state.now
    settled = min(scan, state.now - LAGS[-1])
    if world.has("first_attempt") and any(0 <= p.tick <= settled for p in state.placed):
        placed = tuple(sorted(p._replace(tick=-1) if p.tick <= settled else p for p in state.placed))
        state = state._replace(placed=placed)
    return state


# -- the exchange and the network ---------------------------------------------------------------------------------


def _time(state: State, world: World) -> Iterator[Step]:
    if state.now >= world.ticks:
        return
    for attempt in state.attempts:
        limit = {FLYING: world.flight, TAKEN: world.commit}.get(attempt.place)
        if limit is not None and state.now - attempt.since >= limit:
            return  # something has to happen to it first
    yield "time passes", state._replace(now=state.now + 1)


def _exchange(state: State, world: World, attempt: Attempt) -> Iterator[Step]:
    name = f"attempt {attempt.number}"
    if attempt.place == FLYING:
        # Lost is the same as never arriving, but where the network has to deliver or lose it in time.
        if world.flight is not None and state.now - attempt.since >= world.flight:
            yield f"{name} is lost on its way", _moved(state, attempt, place=ANSWERED, answer="none")
        if world.skew is None or abs(state.now - attempt.signed) <= world.skew:
            yield f"{name} reaches the exchange", _moved(state, attempt, place=TAKEN, since=state.now)
            if world.refuses:
                yield f"{name} is refused (400)", _moved(state, attempt, place=ANSWERED, answer="refused")
        else:
            yield f"{name} is refused for its timestamp (401)", _moved(state, attempt, place=ANSWERED, answer="late")
    elif attempt.place == TAKEN:
        same = [p for p in state.placed if p.cid == attempt.cid and (p.is_open or world.dedupe_forever)]
        if same:
            yield f"{name} meets an order with its id (409)", _moved(state, attempt, place=ANSWERED, answer="taken")
        else:
            placed = tuple(sorted((*state.placed, Placed(attempt.cid, state.now, True))))
            after = _moved(state._replace(placed=placed), attempt, place=ANSWERED, answer="yes")
            yield f"{name} BECOMES AN ORDER", after


def _orders_end(state: State, world: World) -> Iterator[Step]:
    for order in state.placed:
        if order.is_open and not world.dedupe_forever:  # else it makes no difference
            rest = [p for p in state.placed if p is not order]
            ended = tuple(sorted([*rest, order._replace(is_open=False)]))
            yield "the order executes", state._replace(placed=ended)


def _moved(state: State, attempt: Attempt, **changes: object) -> State:
    after = attempt._replace(**changes)  # type: ignore[arg-type]
    rest = [a for a in state.attempts if a is not attempt]
    if after.place == ANSWERED and not after.waited_for:
        return state._replace(attempts=tuple(rest))
    return state._replace(attempts=tuple(sorted([*rest, after])))


# -- senders ------------------------------------------------------------------------------------------------------


def _sender(state: State, world: World, attempt: Attempt) -> Iterator[Step]:
    """A sender may pause for any time before it writes; a run that was taken over may still have one."""
    name = f"attempt {attempt.number}"
    if attempt.place == HELD:
        # Where the exchange looks at timestamps, a pause between the look at the age and the write does no harm.
        is_young = state.now - attempt.since <= 1 or world.skew is not None
        if is_young or not world.has("claim_age"):
            signed = attempt.signed if world.has("signed_once") else state.now
            yield f"{name} is written", _moved(state, attempt, place=FLYING, since=state.now, signed=signed)
        if attempt.waited_for:
            gone = state._replace(attempts=tuple(a for a in state.attempts if a is not attempt))
            event = e.NotProcessed(attempt=attempt.number, why="claim_too_old")
            yield f"{name} is handed back, too old", told(gone, world, event)
    elif attempt.waited_for:
        answer, after = _answer(attempt), _forgotten(state, attempt)
        if attempt.place == ANSWERED and answer is not None:
            yield f"the answer to attempt {attempt.number}: {attempt.answer}", told(after, world, answer)
        yield f"no answer to {name}", told(after, world, e.AttemptUnknown(attempt=attempt.number, why="no_answer"))


def _forgotten(state: State, attempt: Attempt) -> State:
    rest = [a for a in state.attempts if a is not attempt]
    if attempt.place != ANSWERED:
        rest.append(attempt._replace(waited_for=False))
    return state._replace(attempts=tuple(sorted(rest)))


@cache
def _answer(attempt: Attempt) -> e.Event | None:
    number = attempt.number
    match attempt.answer:
        case "yes":
            return e.Acknowledged(
                attempt=number, order_id=order_id(attempt.cid), fill_count_e2=0, remaining_count_e2=COUNT_E2, ts_ms=0
            )
        case "taken":
            return e.IdTaken(attempt=number)
        case "refused":
            return e.AttemptRefused(attempt=number, http_status=400, code="invalid_order")
        case "late":
            return e.NotProcessed(attempt=number, why="unauthorized")
        case _:
            return None


# -- people and accidents -----------------------------------------------------------------------------------------


def _person(state: State, world: World) -> Iterator[Step]:
    """Records again, under a new id, what was rejected or never arrived (`submit --retry`)."""
    if state.cid == 1 and state.order.status in (OrderStatus.REJECTED, OrderStatus.UNSENT):
        command, order = fresh()
        waits = tuple(sorted(a._replace(waited_for=False) for a in state.attempts if a.place != ANSWERED))
        yield (
            "it is recorded again under a new id",
            state._replace(command=command, order=order, cid=2, attempts=waits, scan=None),
        )


def _death(state: State, world: World) -> Iterator[Step]:
    if any(a.waited_for for a in state.attempts):
        after = state._replace(scan=None)
        killed = [a for a in state.attempts if a.place in (FLYING, TAKEN)]
        yield "the run is killed; another starts", restarted(after, world, killed)
        # Taken over (its lock was lost, its machine slept): its senders may still write what they hold.
        alive = [a for a in state.attempts if a.place != ANSWERED]
        if len(alive) > len(killed):
            yield "the run is taken over; another starts", restarted(after, world, alive)
    if state.rollbacks < world.rollbacks and state.command.attempts:
        moving = any(a.place != ANSWERED for a in state.attempts)
        if world.rollback_in_flight or not moving:
            command, order = fresh()
            yield (
                "an old copy of the ledger is put back",
                state._replace(
                    command=command,
                    order=order,
                    attempts=tuple(sorted(a._replace(waited_for=False) for a in state.attempts if a.place != ANSWERED)),
                    scan=None,
                    rollbacks=state.rollbacks + 1,
                    must_read=world.has("account_read"),
                ),
            )


def reaches(state: State) -> str:
    """Where the intent stands, for a count of what a search has met."""
    return f"{state.command.state} after {state.command.attempts}, {len(state.placed)} at the exchange"
