"""One turn without threads: the answers are recorded, the signs in them are read, the next commands are claimed.

Promises kept: P1 (what is returned was committed first), P4 (an unknown answer is recorded as such, whatever else
goes wrong), and that one closed door does not reject a whole batch: sending stops, the rest stays queued.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from oms.ledger.claim import Desk, Now, Record
from oms.ledger.claim import Turn as Claimed
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandKind
from oms.records import Stop
from oms.submitter.gate import Gate
from oms.venue.clock import ExchangeClock
from oms.venue.limiter import AMEND, CANCEL, CREATE, DECREASE, Limiter

Answer = tuple[Entry, e.Event]

_ENDPOINTS = {
    CommandKind.CREATE: CREATE,
    CommandKind.CANCEL: CANCEL,
    CommandKind.AMEND: AMEND,
    CommandKind.DECREASE: DECREASE,
}

# So many refusals with one code in a row mean that the door is closed, not that each order is wrong (design 4).
REFUSALS_IN_A_ROW = 10
# Pauses between attempts while the exchange cannot be reached: doubled up to the last.
FIRST_BACKOFF_US = 100_000
LAST_BACKOFF_US = 5_000_000
PAUSED_BACKOFF_US = 2_000_000


@dataclass(slots=True)
class Signs:
    """What the answers so far say about going on."""

    stop: Stop | None = None
    is_paused: bool = False  # the exchange said so; its status has to be asked before the next claim
    are_cancels_held: bool = False  # it takes no cancels either
    hold_until_us: int = 0  # our clock: claim nothing before
    trouble_since_us: int | None = None  # first of an unbroken row of answers that nothing was processed
    trouble: str = ""
    backoff_us: int = 0
    unauthorized: set[int] = field(default_factory=set)  # commands answered 401 since the last understood answer
    refusal_code: str = ""
    refusals: int = 0  # in a row with that code
    rejected: int = 0
    answered: int = 0
    doubtful: int = 0  # answers that left doubt, since whoever resolves them set this back


class Turns:
    """The deciding half of the submitter."""

    def __init__(self, desk: Desk, limiter: Limiter, clock: ExchangeClock, gate: Gate | None = None) -> None:
        self._desk = desk
        self._gate = gate
        self._limiter = limiter
        self._clock = clock
        self.signs = Signs()
        self.singly: set[int] = set()  # command keys whose batched request was refused as a whole

    def turn(self, answers: Sequence[Answer], want: int, record: Record = lambda _: 0) -> Claimed:
        """Record the answers, read their signs, claim up to `want`; durable on return (see Desk.turn for errors).

        `record` puts in, first, what was handed to this run.
        """
        now_us = self._clock.now_us()
        noted = [(entry, self._note(entry, event, now_us)) for entry, event in answers]
        for entry, _ in answers:
            self._limiter.answered(_ENDPOINTS[entry.command.kind], now_us)
        if self._clock.jumped():
            want = 0  # like a restart: the next turn claims with a timestamp of the clock as it is now
            self.signs.hold_until_us, self.signs.trouble_since_us = 0, None  # they were by the clock as it was
        signs = self.signs
        if signs.stop is not None or signs.are_cancels_held or now_us < signs.hold_until_us:
            want = 0
        now = Now(at_us=now_us, signed_ms=self._clock.now_ms())
        only = signs.is_paused
        return self._desk.turn(noted, want, now, lambda entry: self._admit(entry, now_us), record, cancels_only=only)

    def resume(self, *, trading: bool = True) -> None:
        """The exchange says that it is there: cancels may be claimed again, and where it trades, everything."""
        self.signs.are_cancels_held = False
        self.signs.is_paused = self.signs.is_paused and not trading

    def _admit(self, entry: Entry, now_us: int) -> bool | e.Withdrawn:
        verdict = True if self._gate is None else self._gate.judge(entry, now_us)
        if verdict is not True:
            return verdict
        if entry.command.kind is CommandKind.CREATE:
            wait_us = self._limiter.take_create(now_us, until_answered=True)
        else:
            wait_us = self._limiter.take_write(_ENDPOINTS[entry.command.kind], now_us, until_answered=True)
        if not wait_us and self._gate is not None:
            self._gate.claimed(entry)
        return wait_us == 0

    def _note(self, entry: Entry, event: e.Event, now_us: int) -> e.Event:
        """Read what an answer says about going on; the event, with its backoff filled in."""
        signs = self.signs
        signs.answered += 1
        match event:
            case e.NotProcessed():
                return self._not_processed(entry, event, now_us)
            case _:
                self.singly.discard(entry.command_key)
        match event:
            case e.AttemptRefused():
                self._refused(event)
            case (
                e.Acknowledged()
                | e.CancelAcknowledged()
                | e.AmendAcknowledged()
                | e.DecreaseAcknowledged()
                | e.IdTaken()
            ):
                signs.refusals = 0
        signs.doubtful += isinstance(event, e.AttemptUnknown | e.IdTaken)
        if not isinstance(event, e.AttemptUnknown):
            signs.unauthorized.clear()
            signs.backoff_us = 0
            if not signs.is_paused:  # a cancel that the exchange took meanwhile does not say that it trades
                signs.trouble_since_us = None
        return event

    def _not_processed(self, entry: Entry, event: e.NotProcessed, now_us: int) -> e.Event:
        signs = self.signs
        match event.why:
            case "rate_limited":
                self._limiter.drain_write(now_us)
                return self._backed_off(event, now_us)
            case "not_sent" | "claim_too_old":  # too old: connecting takes longer than a claim may wait
                return self._backed_off(event, now_us)
            case "paused":
                signs.is_paused = True
                # While trading alone is paused, cancels go on: they make the account safer.
                is_all = entry.command.kind is CommandKind.CANCEL or event.detail != "trading_is_paused"
                signs.are_cancels_held = signs.are_cancels_held or is_all
                signs.trouble_since_us, signs.trouble = signs.trouble_since_us or now_us, event.why
                # One market may be paused while the exchange says that it trades: the others must not wait for it.
                return msgspec.structs.replace(event, not_before_us=now_us + PAUSED_BACKOFF_US)
            case "unauthorized":
                # Many may be under way when the clock turns out to be off: only a second 401 for one order, signed
                # after the first had corrected the clock, says that the key is refused.
                if entry.command_key in signs.unauthorized:
                    signs.stop = signs.stop or _credentials(event.detail)
                signs.unauthorized.add(entry.command_key)
                self._desk.refresh()  # so that those are tried again first, and not every other order once
            case "batch_refused":
                self.singly.add(entry.command_key)
        return event

    def _backed_off(self, event: e.NotProcessed, now_us: int) -> e.Event:
        """Hold all claims for a while, twice as long each time that the wait was in vain."""
        signs = self.signs
        signs.trouble_since_us, signs.trouble = signs.trouble_since_us or now_us, event.why
        if now_us >= signs.hold_until_us:
            signs.backoff_us = min(LAST_BACKOFF_US, max(FIRST_BACKOFF_US, signs.backoff_us * 2))
            signs.hold_until_us = now_us + signs.backoff_us
        return msgspec.structs.replace(event, not_before_us=signs.hold_until_us)

    def _refused(self, event: e.AttemptRefused) -> None:
        signs = self.signs
        signs.rejected += 1
        signs.refusals = signs.refusals + 1 if event.code == signs.refusal_code else 1
        signs.refusal_code = event.code
        if event.http_status in (403, 410):
            signs.stop = signs.stop or _closed_door(event)
        elif signs.refusals >= REFUSALS_IN_A_ROW:
            signs.stop = signs.stop or Stop(
                code="refusals",
                message=f"{signs.refusals} orders in a row were refused with {event.code}; the rest stays queued",
                hint="mend the cause, then `oms submit` goes on; `oms withdraw --batch NAME` gives the rest up",
                exit_code=5,
            )


def _credentials(detail: str) -> Stop:
    return Stop(
        code="credentials",
        message=f"the exchange refused the API key twice ({detail or 'HTTP 401'}); everything else stays queued",
        hint="check the key id, the key file and the environment with `oms doctor`, then run `oms submit`",
        exit_code=4,
    )


def _closed_door(event: e.AttemptRefused) -> Stop:
    text = f"the exchange answered {event.http_status} {event.code}: {event.message or 'no reason given'}"
    if event.http_status == 403:
        hint = "check what the API key is allowed to do (scopes, subaccount, region), then run `oms submit`"
        return Stop(code="credentials", message=f"{text}; the rest stays queued", hint=hint, exit_code=4)
    hint = "this way of placing orders is closed: upgrade oms, then run `oms submit`"
    return Stop(code="refusals", message=f"{text}; the rest stays queued", hint=hint, exit_code=5)
