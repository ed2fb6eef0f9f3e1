"""Actions that a run before this one left in doubt: settled by readings, never sent again."""

from oms.app.session import Session
from oms.ledger import actions
from oms.ledger.actions import ActionEntry
from oms.lifecycle.states import CommandState
from oms.reconciler.actions import settle


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
