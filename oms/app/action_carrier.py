"""One action after the other over an open session: recorded, sent, and followed to its end or to a doubt by name."""

from collections.abc import Sequence

from oms.app.session import Report, Session
from oms.errors import ReadFailed
from oms.ledger import actions
from oms.ledger.actions import ActionEntry
from oms.lifecycle import events as e
from oms.lifecycle.actions import WAYS_OUT, ActionRecorded
from oms.lifecycle.states import ActionKind, CommandState
from oms.reconciler.actions import settle
from oms.records import Progress
from oms.submitter.actions import ActionSender

# So many attempts of one action in one run.
_MAX_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.1
_LAST_PAUSE_S = 2.0
# After the horizon has passed, so long for the last readings (reads lag writes).
_GRACE_S = 10.0


def record_and_carry(
    session: Session, wanted: Sequence[ActionRecorded], progress: Report = lambda _: None
) -> list[ActionEntry]:
    """Record these actions, send each, and follow it to its end; durable on return. Raises CredentialsError."""
    entries = actions.record(session.ledger, wanted, session.venue.clock.now_us())
    done: list[ActionEntry] = []
    for number, entry in enumerate(entries):
        progress(Progress(phase="sending", done=number, total=len(entries)))
        done.append(Carrier(session, progress).carry(entry))
    return done


class Carrier:
    """Carries one action after the other over a session."""

    def __init__(self, session: Session, progress: Report = lambda _: None) -> None:
        self._session = session
        self._progress = progress
        self._sender = ActionSender(
            session.ledger,
            session.venue,
            session.interrupt,
            session.ports,
            wait_s=session.config.submit.wait_s,
            horizon_ms=session.horizon_ms,
        )

    def carry(self, entry: ActionEntry) -> ActionEntry:
        """Send it and settle its doubt, as far as that goes within the horizon and a few readings."""
        entry = self._sender.send(entry)
        pause_s = _FIRST_PAUSE_S
        deadline = self._deadline()
        while entry.state is CommandState.IN_DOUBT and not self._session.must_let_go:
            self._progress(Progress(phase="resolving", done=0, total=1, in_doubt=1))
            was_read, entry = self._settled(entry)
            if self._may_send_again(entry, was_read):
                entry = self._sender.send(self._requeued(entry))
                deadline = self._deadline()
            elif entry.state is CommandState.IN_DOUBT:
                if self._session.ports.monotonic() > deadline:
                    break
                self._session.ports.sleep(pause_s)
                pause_s = min(_LAST_PAUSE_S, pause_s * 2, max(_FIRST_PAUSE_S, self._session.horizon_ms / 4000))
        return entry

    def _deadline(self) -> float:
        return self._session.ports.monotonic() + self._session.horizon_ms / 1000 + _GRACE_S

    def _settled(self, entry: ActionEntry) -> tuple[bool, ActionEntry]:
        """Whether a reading was made, and the action after it."""
        session = self._session
        try:
            event = settle(entry, session.venue, session.horizon_ms)
        except ReadFailed as exc:
            self._progress(Progress(phase="resolving", done=0, total=1, note=exc.message))
            return False, entry
        if event is None:
            return True, entry
        return True, actions.tell(session.ledger, entry, [event], session.venue.clock.now_us())

    @staticmethod
    def _may_send_again(entry: ActionEntry, was_read: bool) -> bool:
        if entry.action.attempts >= _MAX_ATTEMPTS:
            return False
        if entry.state is CommandState.ABSENT:
            return entry.kind is not ActionKind.GROUP_CREATE
        return entry.state is CommandState.IN_DOUBT and was_read and entry.kind in WAYS_OUT

    def _requeued(self, entry: ActionEntry) -> ActionEntry:
        if entry.state is not CommandState.ABSENT:
            return entry
        return actions.tell(self._session.ledger, entry, [e.Requeued()], self._session.venue.clock.now_us())
