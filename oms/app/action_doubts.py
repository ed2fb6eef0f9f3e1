"""Actions that a run before this one left: settled by readings, and not sent again but for cancels of single orders."""

from collections.abc import Sequence

from oms.app.session import Report, Session
from oms.errors import CredentialsError, ReadFailed
from oms.ledger import actions, externals
from oms.ledger.actions import ActionEntry
from oms.lifecycle.actions import ActionRecorded
from oms.lifecycle.states import ActionKind, CommandState
from oms.reconciler.actions import settle
from oms.records import Stop


def undecided_actions(session: Session) -> list[ActionEntry]:
    """Actions in doubt that evidence can still settle; a parked one waits for a person."""
    return [entry for entry in actions.unfinished(session.ledger) if entry.state is CommandState.IN_DOUBT]


def settle_left(session: Session) -> None:
    """One reading for each action in doubt; what it shows is durable on return.

    Raises ReadFailed and CredentialsError: nothing was concluded of those that were not read then.
    """
    for entry in undecided_actions(session):
        event = settle(entry, session.venue, session.horizon_ms)
        if event is not None:
            actions.tell(session.ledger, entry, [event], session.venue.clock.now_us())


def record_cancels(session: Session, wanted: Sequence[ActionRecorded]) -> None:
    """Record cancels of single orders, durable on return; one that is unfinished already is that cancel (P6)."""
    left = {x.recorded.target for x in actions.unfinished(session.ledger) if x.kind is ActionKind.CANCEL_EXTERNAL}
    new = [recorded for recorded in wanted if recorded.target not in left]
    session.canceling.update(recorded.target for recorded in wanted)
    if new:
        actions.record(session.ledger, new, session.venue.clock.now_us())


def go_on(session: Session, progress: Report) -> None:
    """Send the cancels of single orders that are unfinished, whichever run recorded them, and follow each to its end.

    An order_id never means another order, and an order that is canceled twice is canceled: so they may be repeated,
    late too. Sets the session's `stop` where the key is refused.
    """
    left = [x for x in actions.unfinished(session.ledger) if x.kind is ActionKind.CANCEL_EXTERNAL]
    if not left:
        return
    from oms.app.action_carrier import Carrier  # rarely needed

    carrier = Carrier(session, progress)
    try:
        for entry in left:
            if entry.state in (CommandState.QUEUED, CommandState.IN_DOUBT):
                done = carrier.carry(entry)
                _keep(session, done)
                if done.recorded.target not in session.canceling:
                    session.notes.append(f"the cancel of order {done.recorded.target}, asked for earlier: {done.state}")
    except CredentialsError as exc:
        session.stop = Stop(code="credentials", message=exc.message, hint=exc.hint, exit_code=exc.exit_code)


def _keep(session: Session, entry: ActionEntry) -> None:
    """How the order stands after its cancel, as far as that can be read."""
    order_id = entry.recorded.target
    try:
        as_of_ms = session.venue.exchange.user_data_timestamp_ms()
        shown = session.venue.account.get_order(order_id)
    except ReadFailed:
        shown, as_of_ms = None, 0
    if shown is not None:
        externals.note(session.ledger, [shown], as_of_ms)
    if entry.state is CommandState.ACCEPTED:  # the reading may be older than that
        externals.end(session.ledger, order_id, session.venue.clock.now_ms())
