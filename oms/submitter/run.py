"""The loop that joins turns and senders until nothing this run may send is queued or on the wire.

One thread writes the ledger: this one. It waits for answers, records them together with the next claims in one
commit, and hands the claims over. Everything is bounded: outstanding requests, waiting for a closed exchange, waiting
for answers after a stop.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty
from typing import Protocol

from oms.errors import ReadFailed
from oms.interrupt import Interrupt
from oms.ledger.claim import Desk, Turn
from oms.ledger.rows import Entry
from oms.ledger.tray import Tray
from oms.lifecycle.states import CommandKind
from oms.records import Stop
from oms.submitter.gate import Gate
from oms.submitter.ports import SYSTEM, Ports
from oms.submitter.senders import Job
from oms.submitter.turn import Answer, Turns
from oms.venue.door import Venue

# One command ahead of each sender keeps the pipeline full while a commit is under way (measured: without it a slow
# disk costs a third of the throughput); more would only grow old.
_AHEAD = 1
# A batched request is kept small: when its answer is lost, all its orders are in doubt at once.
LARGEST_BATCH = 20
# How long to wait for an answer before looking at the queue again.
_LOOK_S = 0.05
# While no sender is about to be idle, more answers are awaited for so long: a turn of its own costs an order as much as
# five that share one.
_GATHER_S = 0.004
# While nothing can be sent: how often the exchange's status is asked, and what has waited too long is withdrawn.
_ASK_S = 1.0
# A run that stays open looks after what is in doubt so long after it was met, then after twice as long each time.
_FIRST_RESOLVE_S = 1.0
_LAST_RESOLVE_S = 30.0


@dataclass(frozen=True, slots=True)
class SendSettings:
    """How a run sends."""

    concurrency: int
    batch_size: int | None  # None: what the account's write bucket allows
    wait_s: float  # for an exchange that is paused or out of reach
    timeout_s: float  # of one request


class Limiting(Protocol):
    """The trader's limits at the claim, and how their markets are read (`oms.app.limits.Limiting`)."""

    gate: Gate

    def read(self, tickers: Collection[str]) -> None: ...


class Run:
    """One draining of the queue; may be drained again after doubts were resolved."""

    def __init__(
        self,
        desk: Desk,
        venue: Venue,
        settings: SendSettings,
        interrupt: Interrupt,
        progress: Callable[[int, int], None] = lambda done, doubtful: None,
        ports: Ports = SYSTEM,
        limits: Limiting | None = None,
        tray: Tray | None = None,
        is_done: Callable[[], bool] = lambda: False,
    ) -> None:
        """With a `tray` the run goes on until that is closed and empty, and takes up whatever lies in it.

        `is_done` tells that what this run is about has its end: it does not wait for the rest of its scope then.
        """
        self.turns = Turns(desk, venue.limiter, venue.clock, None if limits is None else limits.gate)
        self._limits = limits
        self._desk = desk
        self._venue = venue
        self._settings = settings
        self._interrupt = interrupt
        self._progress = progress
        self._ports = ports
        self._senders = ports.senders(venue, settings.concurrency)
        self._outstanding = 0  # commands claimed and not yet recorded as answered
        self._requests = 0  # handed to senders and not yet answered
        self._asked_at = 0.0
        self._tray = tray
        self._is_done = is_done
        self._resolve_at: float | None = None
        self._resolve_pause_s = _FIRST_RESOLVE_S
        self.is_halted = False

    @property
    def stop(self) -> Stop | None:
        """Why sending ended before the queue was empty."""
        return self.turns.signs.stop

    def drain(self) -> None:
        """Send until nothing in scope can be sent, or sending stops. Raises LedgerFailed, EpochLost, LedgerReplaced.

        With an open tray it ends only where sending stops, or where something in doubt has to be resolved now and
        nothing is under way. When it raises, claims that no sender had begun are not sent any more.
        """
        self._desk.refresh()
        self._requests = 0
        self._interrupt.on_request(self._senders.wake)
        if self._tray is not None:
            self._tray.on_handed(self._senders.wake)
        try:
            answers: list[Answer] = []
            while self._step(answers):
                answers = self._collect()
            self._finish()
        except BaseException:
            self._senders.take_back()
            raise
        finally:
            self._interrupt.on_request(None)

    def close(self) -> None:
        """End the sender threads."""
        self._senders.stop(self._settings.timeout_s)

    # -- the loop -------------------------------------------------------------------------------------------------

    def _step(self, answers: list[Answer]) -> bool:
        """One turn; False when there is nothing more to wait for."""
        want = 0 if self._is_ending() or self._must_resolve() else self._room(len(answers))
        turn = self._turn(answers, want)
        self._outstanding += len(turn.claimed) - len(answers)
        jobs = self._jobs(turn.claimed)
        self._requests += len(jobs)
        self._senders.hand(jobs)
        if self._tray is not None:
            self._tray.committed()  # after the senders have theirs: whoever is told takes the interpreter from them
        self._desk.tend()
        self.is_halted = turn.is_halted
        if answers:
            signs = self.turns.signs
            self._progress(signs.answered, 0)
        if self._outstanding or turn.claimed:
            return not self._is_ending()
        if self._is_ending() or self._must_resolve():
            return False
        return self._stays_open() or (self._desk.has_claimable() and self._await_exchange())

    def _turn(self, answers: list[Answer], want: int) -> Turn:
        tray = self._tray
        if tray is None:
            return self.turns.turn(answers, want)
        return self.turns.turn(answers, want, lambda connection: tray.record(connection, self._venue.clock.now_us()))

    def _stays_open(self) -> bool:
        """Whether to wait for what may be handed in; what is queued and cannot be claimed is looked at now and then."""
        if self._tray is None or not self._tray.is_open:
            return False
        is_held = self._limits is not None and bool(self._limits.gate.stale)
        if is_held or self._ports.monotonic() - self._asked_at >= _ASK_S:
            if self._desk.has_claimable():
                return self._await_exchange()
            self._asked_at = self._ports.monotonic()
        return True

    def _must_resolve(self) -> bool:
        """Whether a run that stays open has waited long enough with what is in doubt."""
        if self._tray is None or not self._tray.is_open:
            return False
        now = self._ports.monotonic()
        if self.turns.signs.doubtful and self._resolve_at is None:
            self._resolve_at = now + self._resolve_pause_s
        return self._resolve_at is not None and now >= self._resolve_at

    def resolved(self, left: int) -> None:
        """What was in doubt has been looked at, so many are in doubt yet: look again later, and less often."""
        self.turns.signs.doubtful = left
        self._resolve_at = None
        self._resolve_pause_s = min(_LAST_RESOLVE_S, self._resolve_pause_s * 2) if left else _FIRST_RESOLVE_S

    def _is_ending(self) -> bool:
        if self._interrupt.is_requested and self.turns.signs.stop is None:
            self.turns.signs.stop = Stop(
                code="interrupted",
                message="interrupted; what was not sent stays queued",
                hint="`oms submit` goes on where this run stopped",
                exit_code=self._interrupt.exit_code,
            )
        if self.is_halted and self.turns.signs.stop is None:
            self.turns.signs.stop = Stop(
                code="halted",
                message="sending is halted; what was not sent stays queued",
                hint="look at `oms status` and `oms reconcile` before sending goes on",
                exit_code=6,
            )
        return self.turns.signs.stop is not None

    def _room(self, answered: int) -> int:
        """How many more commands may be claimed in the turn that records so many answers."""
        requests = self._settings.concurrency * (1 + _AHEAD)
        # After a batch was refused as a whole its orders go alone, and whatever they meet should meet few of them.
        size = 1 if self.turns.singly else self._batch_size()
        room = max(0, requests * size - self._outstanding + answered)
        return room - room % size  # what is too little for a request of full size waits for the next turn

    def _batch_size(self) -> int:
        configured = self._settings.batch_size
        if configured is not None:
            return min(configured, self._venue.limiter.largest_batch)
        return min(self._venue.limiter.largest_batch, LARGEST_BATCH)

    def _jobs(self, claimed: tuple[Entry, ...]) -> list[Job]:
        """Group creates, and cancels, into requests; what was refused in company, and every amend, goes alone."""
        jobs: list[Job] = []
        groups: dict[CommandKind, list[Entry]] = {CommandKind.CANCEL: [], CommandKind.CREATE: []}
        for entry in claimed:
            if entry.command.kind in groups and entry.command_key not in self.turns.singly:
                groups[entry.command.kind].append(entry)
            else:
                jobs.append((entry,))
        for entries in groups.values():
            jobs += self._grouped(entries, len(jobs))
        return jobs

    def _grouped(self, entries: list[Entry], busy: int) -> list[Job]:
        """Requests as full as may be, unless senders would be idle."""
        size = self._batch_size()
        if self._settings.batch_size is None:
            idle = max(1, self._settings.concurrency - self._requests - busy)
            size = max(1, min(size, -(-len(entries) // idle)))
        return [tuple(entries[i : i + size]) for i in range(0, len(entries), size)]

    def _collect(self) -> list[Answer]:
        """The answers that are there, waiting a moment for the first, and for more while all senders are busy."""
        answers: list[Answer] = []
        requests = self._requests
        try:
            self._take(self._senders.answers.get(timeout=_LOOK_S), answers)
            self._take_rest(answers)
            if requests - self._requests < self._senders.count and self._senders.waiting > self._senders.count // 2:
                self._ports.sleep(_GATHER_S)
                self._take_rest(answers)
        except Empty:
            pass
        return answers

    def _take_rest(self, answers: list[Answer]) -> None:
        with suppress(Empty):
            while True:
                self._take(self._senders.answers.get_nowait(), answers)

    def _take(self, of_request: list[Answer], answers: list[Answer]) -> None:
        if of_request:  # an empty one only wakes us
            self._requests -= 1
            answers += of_request

    def _finish(self) -> None:
        """After a stop: what no sender has begun goes back, what is under way is waited for, all of it recorded."""
        deadline = self._ports.monotonic() + self._settings.timeout_s + 2
        answers = self._senders.take_back()
        while self._outstanding and self._ports.monotonic() < deadline:
            answers += self._collect()
            if answers:
                self._turn(answers, 0)
                if self._tray is not None:
                    self._tray.committed()
                self._outstanding -= len(answers)
                answers = []
        # What still has no answer stays on the wire in the ledger; the next start calls it in doubt.

    def _await_exchange(self) -> bool:
        """Queued commands that cannot be claimed now: wait for tokens, backoff or the exchange; False to give up."""
        signs = self.turns.signs
        now_us = self._venue.clock.now_us()
        if self._limits is not None and self._limits.gate.stale:
            with suppress(ReadFailed):  # no observation: what needs it waits on
                self._limits.read(self._desk.tickers_ahead)
        if signs.trouble_since_us is not None and now_us - signs.trouble_since_us > self._settings.wait_s * 1_000_000:
            signs.stop = _gave_up(signs.trouble, self._settings.wait_s)
            return False
        if self._ports.monotonic() - self._asked_at >= _ASK_S:
            self._asked_at = self._ports.monotonic()
            if self._is_done():
                return False  # what waits is of earlier runs
            self._desk.withdraw_expired(now_us)
            if signs.is_paused:
                self._ask_status()
        return True

    def _ask_status(self) -> None:
        try:
            status = self._venue.exchange.status()
        except ReadFailed:
            return  # no observation: keep waiting
        if status.exchange_active:
            self.turns.resume(trading=status.trading_active)


def _gave_up(trouble: str, wait_s: float) -> Stop:
    if trouble == "paused":
        return Stop(
            code="paused",
            message=f"the exchange has paused trading for over {wait_s:g} s; the rest stays queued",
            hint="run `oms submit` when it trades again",
            exit_code=6,
        )
    if trouble == "rate_limited":
        return Stop(
            code="rate_limited",
            message=f"the exchange has answered 429 for over {wait_s:g} s; the rest stays queued",
            hint="something else uses this account's rate limit; run `oms submit` later",
            exit_code=6,
        )
    return Stop(
        code="unreachable",
        message=f"the exchange was out of reach for over {wait_s:g} s; the rest stays queued",
        hint="check the network and `oms doctor`, then run `oms submit`",
        exit_code=6,
    )
