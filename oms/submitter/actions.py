"""One action to the exchange: claimed (committed, fsynced), sent once, its ending recorded. No threads: there are few.

Promises kept: P1 (nothing leaves before its attempt is durable) and P4 (whatever goes wrong on the way is recorded as
unknown). What certainly had no effect is tried again for a while; what may have had one is left in doubt here.
"""

from oms.errors import CredentialsError
from oms.interrupt import Interrupt
from oms.ledger import actions, groups, queries
from oms.ledger.actions import ActionEntry
from oms.ledger.ledger import Ledger
from oms.lifecycle import events as e
from oms.lifecycle.states import ActionKind, CommandState, Reason
from oms.submitter.ports import Ports
from oms.venue.account_writes import endpoint_of
from oms.venue.door import Venue

_FIRST_PAUSE_S = 0.1
_LAST_PAUSE_S = 2.0


class ActionSender:
    """Sends actions over one venue, one after the other."""

    def __init__(
        self, ledger: Ledger, venue: Venue, interrupt: Interrupt, ports: Ports, *, wait_s: float, horizon_ms: int
    ) -> None:
        """`wait_s`: for an exchange that is paused, out of reach or out of tokens; `horizon_ms`: of a late arrival."""
        self._ledger = ledger
        self._venue = venue
        self._interrupt = interrupt
        self._ports = ports
        self._wait_s = wait_s
        self._horizon_ms = horizon_ms

    def send(self, entry: ActionEntry) -> ActionEntry:
        """Send a queued action (or one in doubt that may be repeated) once, again only while nothing of it was done.

        Durable on return: accepted, refused, in doubt; or withdrawn, where it could not be sent in time (the cancel of
        one order stays queued). Raises CredentialsError (the same then), EpochLost, LedgerFailed, LedgerReplaced.
        """
        deadline = self._ports.monotonic() + self._wait_s
        pause_s, unauthorized = _FIRST_PAUSE_S, 0
        while True:
            if self._interrupt.is_requested:
                return self._give_up(entry, "interrupted before it was sent")
            halted = queries.halt_reason(self._ledger) if groups.loosens(self._ledger, entry.recorded) else None
            if halted is not None:
                return self._give_up(entry, f"sending is halted: {halted}", Reason.HALTED)
            if not self._await_tokens(entry.kind, deadline):
                return self._give_up(entry, "no write token within the time")
            entry, event = self._attempt(entry)
            if entry.state is not CommandState.QUEUED:
                return entry
            assert isinstance(event, e.NotProcessed)
            unauthorized += event.why == "unauthorized"
            if unauthorized > 1:  # the first may have been our clock, which its Date header has corrected
                self._give_up(entry, event.detail or "HTTP 401")
                raise CredentialsError(
                    f"the exchange refused the API key twice ({event.detail or 'HTTP 401'})",
                    hint="check the key id, the key file and the environment with `oms doctor`",
                )
            if self._ports.monotonic() + pause_s > deadline:
                return self._give_up(entry, entry.action.detail or event.why)
            self._ports.sleep(pause_s)
            pause_s = min(_LAST_PAUSE_S, pause_s * 2)

    def _attempt(self, entry: ActionEntry) -> tuple[ActionEntry, e.Event]:
        clock = self._venue.clock
        is_all = entry.kind is ActionKind.CANCEL_ALL
        signed_ms = clock.now_ms()
        # Until its answer is there it may arrive as late as anything, and its tail begins then.
        tail_ms = actions.TAIL_MS + self._horizon_ms
        entry = actions.claim(self._ledger, entry, signed_ms, clock.now_us(), tail_ms=tail_ms)
        attempt = entry.action.attempts
        try:
            event = self._venue.account_writes.send(self._venue.channel(), entry.recorded, attempt, signed_ms)
        except Exception as exc:  # a bug of ours: the request may have left
            detail = f"internal error: {type(exc).__name__}"
            event = e.AttemptUnknown(attempt=attempt, why="internal", detail=detail)
        if isinstance(event, e.NotProcessed) and event.why == "rate_limited":
            self._venue.limiter.drain_write(clock.now_us())
        is_known = not isinstance(event, e.AttemptUnknown)
        tail_until_ms = clock.now_ms() + actions.TAIL_MS if is_all and is_known else None
        return actions.tell(self._ledger, entry, [event], clock.now_us(), tail_until_ms=tail_until_ms), event

    def _await_tokens(self, kind: ActionKind, deadline: float) -> bool:
        limiter, clock = self._venue.limiter, self._venue.clock
        while wait_us := limiter.take_write(endpoint_of(kind), clock.now_us()):
            if self._interrupt.is_requested or self._ports.monotonic() + wait_us / 1e6 > deadline:
                return False
            self._ports.sleep(wait_us / 1e6)
        return True

    def _give_up(self, entry: ActionEntry, why: str, reason: Reason = Reason.EXPIRED) -> ActionEntry:
        """End what is not on its way; what is in doubt stays there, the cancel of one order waits for the next run."""
        if entry.state is not CommandState.QUEUED or entry.kind is ActionKind.CANCEL_EXTERNAL:
            return entry
        event = e.Withdrawn(reason=reason, detail=f"it could not be sent: {why}")
        return actions.tell(self._ledger, entry, [event], self._venue.clock.now_us())
