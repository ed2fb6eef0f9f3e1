"""A run from its open session to its end: send, resolve what fell in doubt, send what was proven absent, until done.

Bounded by design: resolving ends at the in-flight horizon after the last attempt plus a few scans, whatever the
exchange does; what then is in doubt stays in doubt, and says so (P4).
"""

from collections.abc import Callable
from contextlib import suppress

from oms.app.action_doubts import go_on, settle_left, undecided_actions
from oms.app.limiting import limiting
from oms.app.session import Report, Session
from oms.errors import CredentialsError, ReadFailed
from oms.ledger import queries
from oms.ledger.claim import Desk, Scope, withdraw_expired
from oms.ledger.tray import Tray
from oms.lifecycle.states import CommandState, Resend
from oms.records import Progress, Stop
from oms.submitter.run import Run, SendSettings

_FIRST_PAUSE_S = 0.1
_LAST_PAUSE_S = 2.0
# After the horizon has passed, so long for the last scans (reads lag writes).
_GRACE_S = 10.0


class Drive:
    """Sending and resolving, in turn, over one session."""

    def __init__(
        self,
        session: Session,
        scope: Scope,
        progress: Report,
        total: int | None = None,
        tray: Tray | None = None,
        is_done: Callable[[], bool] = lambda: False,
    ) -> None:
        """With a `tray` it goes on until that is closed. Once `is_done`, it waits for nothing but what is in doubt."""
        self._session = session
        self._tray = tray
        self._progress = progress
        self._total = total
        submit = session.config.submit
        self._at_once = submit.resend is Resend.AT_ONCE
        self._desk = Desk(session.ledger, scope, at_once=self._at_once)
        settings = SendSettings(
            concurrency=submit.concurrency,
            batch_size=submit.batch_size,
            wait_s=submit.wait_s,
            timeout_s=session.config.venue.timeout_s,
        )
        limits = limiting(session.config, session.ledger, session.venue)
        self._run = Run(
            self._desk, session.venue, settings, session.interrupt, self._sent, session.ports, limits, tray, is_done
        )

    @property
    def stop(self) -> Stop | None:
        """Why the run ended before its queue was empty."""
        return self._session.stop or self._run.stop

    def go(self) -> None:
        """Until nothing of the scope is queued or on the wire and nothing more can be learned of what is in doubt."""
        try:
            if self.stop is None:
                go_on(self._session, self._progress)
            if self.stop is None:
                resolve_once(self._session, self._progress)
                self._run.drain()
                self._stay()
            if self._tray is not None:
                self._tray.end(why="" if self.stop is None else self.stop.message)
            if self._may_resolve():
                resolve_all(self._session, self._progress, self._send_more)
                with suppress(ReadFailed, CredentialsError):
                    self._session.reconciler.learn_user()
            withdraw_expired(self._session.ledger, self._session.venue.clock.now_us())
        finally:
            self._run.close()

    def _stay(self) -> None:
        """While more may be handed in: resolve what fell in doubt, and send on."""
        while self.stop is None and self._tray is not None and self._tray.is_open:
            resolve_once(self._session, self._progress)
            self._run.resolved(undecided(self._session))
            if self.stop is None:
                self._run.drain()

    def send(self) -> None:
        """Send what is in scope now, before anything is asked of the exchange; `go` does the rest."""
        if self.stop is None:
            self._run.drain()

    def close(self) -> None:
        """End the senders, after `send` alone."""
        self._run.close()

    def _may_resolve(self) -> bool:
        stop = self.stop
        return stop is None or stop.code not in ("interrupted", "credentials", "unreachable")

    def _send_more(self) -> bool:
        """Send what a resolution put back into the queue; whether there was anything."""
        self._desk.refresh()
        if self.stop is not None:
            return False
        has_more = self._desk.has_claimable()
        if has_more or self._at_once:
            self._run.drain()
        return has_more

    def _sent(self, answered: int, doubtful: int) -> None:
        self._progress(Progress(phase="sending", done=answered, total=self._total, in_doubt=doubtful))


def resolve_all(session: Session, progress: Report, send_more: Callable[[], bool] = lambda: False) -> None:
    """Resolve until nothing is in doubt, or nothing more can be learned within the horizon and a few scans."""
    pause_s = _FIRST_PAUSE_S
    deadline: float | None = None
    while (waiting := undecided(session)) and not session.must_let_go:
        deadline = deadline or session.ports.monotonic() + _longest_wait_s(session)
        if session.ports.monotonic() > deadline or (session.stop is not None and session.stop.code == "credentials"):
            return
        progress(Progress(phase="resolving", done=0, total=waiting, in_doubt=waiting))
        resolve_once(session, progress)
        if send_more():
            deadline = None  # new attempts have a horizon of their own
        elif undecided(session):
            session.ports.sleep(pause_s)
            pause_s = min(_LAST_PAUSE_S, pause_s * 2, max(_FIRST_PAUSE_S, session.horizon_ms / 4000))


def resolve_once(session: Session, progress: Report) -> None:
    """One pass over what is in doubt, and what is parked may be seen as ours after all.

    A read that fails concludes nothing and is not an error of the run.
    """
    has_commands = bool(queries.doubts(session.ledger))
    try:
        if has_commands:
            session.reconciler.resolve()
        settle_left(session)
    except ReadFailed as exc:
        progress(Progress(phase="resolving", done=0, total=None, note=exc.message))
    except CredentialsError as exc:
        session.stop = Stop(code="credentials", message=exc.message, hint=exc.hint, exit_code=exc.exit_code)


def undecided(session: Session) -> int:
    """Commands and actions in doubt that evidence can still settle; a parked one waits for a person."""
    commands = sum(x.command.state is CommandState.IN_DOUBT for x in queries.doubts(session.ledger))
    return commands + len(undecided_actions(session))


def _longest_wait_s(session: Session) -> float:
    signed = [x.command.last_signed_ms or 0 for x in queries.doubts(session.ledger)]
    signed += [x.action.last_signed_ms or 0 for x in undecided_actions(session)]
    left_ms = max(signed, default=0) + session.horizon_ms - session.venue.clock.now_ms()
    return max(0, left_ms) / 1000 + _GRACE_S
