"""One run's hold on ledger and exchange: the writer lock, an epoch, a connected venue, an account that was read.

This is the one way up (P5): every run that sends or reconciles opens a session, and opening it is the recovery. What
the last run left on the wire is in doubt from then on; what is at the exchange under our ids is recognized before
anything is sent; a ledger that has lost something waits until nothing of what it lost can still arrive (P2).
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from oms.config import Config
from oms.config.hosts import HOSTS
from oms.errors import CredentialsError, LedgerBusy, OmsError, ReadFailed
from oms.interrupt import Interrupt
from oms.ledger import account, actions, exposure, groups, queries
from oms.ledger.claim import open_run
from oms.ledger.ledger import Ledger
from oms.ledger.rates import RateLimits, note_rate_limits
from oms.ledger.record import clear_if_nobody_records
from oms.ledger.schema import SET_BACK
from oms.lifecycle.states import CommandKind, CommandState
from oms.reconciler.gather import Scan
from oms.reconciler.passes import Reconciler, Settings
from oms.records import Progress, Stop
from oms.risk.pace import Pace
from oms.submitter.ports import SYSTEM, Ports
from oms.venue.door import Venue
from oms.venue.keys import load_key
from oms.venue.limiter import AMEND, CANCEL, CREATE, DECREASE

Report = Callable[[Progress], None]
T = TypeVar("T")

# The purpose of a run that gets everything out; it and others make the account no less safe, and go on despite a halt.
HALT = "halt"
_DESPITE_HALT = ("cancel", "account", "group", HALT)
RECONCILE = "reconcile"
# An order of our making that we had not sent, created so many horizons ago or less, may have company under way.
_RECENT_HORIZONS = 5
_LONGEST_TAIL_MS = 600_000  # as in oms.ledger.claim
_RETRY_S = 0.5
_SHORTEST_S = 0.02
# The fullest write bucket of any tier holds what refills in so long.
_REFILLED_MS = 3_000
_ENDPOINTS = {
    CommandKind.CREATE: CREATE,
    CommandKind.CANCEL: CANCEL,
    CommandKind.AMEND: AMEND,
    CommandKind.DECREASE: DECREASE,
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the exchange is and with which key it is asked."""

    base_url: str
    key_id: str
    private_key_path: Path


def endpoint(config: Config) -> Endpoint:
    """The configured exchange; in the sandbox without a URL, our own, started if need be. Raises CredentialsError."""
    if config.environment == "sandbox" and not config.venue.base_url:
        return _own_sandbox(config.sandbox_dir)
    key_id, path = config.venue.key_id, config.venue.private_key_path
    if not key_id or path is None:
        missing = "key_id" if not key_id else "private_key_path"
        raise CredentialsError(
            f"there is no API key for {config.environment}: venue.{config.environment}.{missing} is not set",
            hint="set KALSHI_API_KEY_ID and KALSHI_PRIVATE_KEY_PATH, or the two keys in the configuration file",
        )
    return Endpoint(config.venue.base_url, key_id, path)


def _own_sandbox(directory: Path) -> Endpoint:
    done = subprocess.run(  # noqa: S603 - our own module, by our own interpreter
        [sys.executable, "-m", "oms.sandbox.launch", str(directory)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise OmsError(f"the sandbox exchange did not start: {done.stderr.strip()}", hint="run `oms doctor`")
    told = json.loads(done.stdout)
    return Endpoint(told["base_url"], told["key_id"], Path(told["private_key_path"]))


def connect(config: Config, where: Endpoint) -> Venue:
    """A venue for that endpoint; nothing is sent yet. Raises CredentialsError, ConfigError."""
    key = load_key(str(where.private_key_path), os.environ.get("KALSHI_PRIVATE_KEY_PASSPHRASE"))
    venue = Venue.connect(where.base_url, where.key_id, key, config.venue.timeout_s)
    per_s = config.limits.max_orders_per_s
    venue.limiter.pace = Pace(per_s) if per_s is not None else None
    return venue


def key_print(key_id: str) -> str:
    """A short fingerprint that tells two API keys apart and gives neither away."""
    return hashlib.sha256(key_id.encode()).hexdigest()[:12]


class Session:
    """An open run. Close it to let go of the lock."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        venue: Venue,
        print_of_key: str,
        interrupt: Interrupt,
        ports: Ports = SYSTEM,
    ) -> None:
        self.config = config
        self.ledger = ledger
        self.venue = venue
        self.interrupt = interrupt
        self.ports = ports
        self.notes: list[str] = []
        self.stop: Stop | None = None
        self.scan: Scan | None = None  # the account's orders, read when the session was opened
        self.horizon_ms = config.submit.in_flight_horizon_us // 1000
        self._print_of_key = print_of_key
        self._gives_way = False  # to a halt that is set while it runs
        self.canceling: set[str] = set()  # order_ids, not of this ledger, whose cancel this run was asked for
        self.reconciler = Reconciler(
            ledger,
            venue,
            Settings(
                horizon_ms=self.horizon_ms,
                resend=config.submit.resend,
                now_us=venue.clock.now_us,
                key_print=print_of_key,
            ),
        )

    def open(self, purpose: str, progress: Report, *, epoch: int | None = None) -> None:
        """Begin the epoch and recover; the writer lock is held already. Sets `stop` where sending may not begin.

        With the `epoch` of an earlier run of this process that ended in order, that one goes on, unless anybody or
        anything has touched the ledger in between.
        """
        now_us = self.venue.clock.now_us()
        self._gives_way = purpose not in _DESPITE_HALT and not self.ledger.halt.is_set()
        self.ledger.bind_host(_exchange_name(self.config, self.venue))
        if purpose not in _DESPITE_HALT:
            self._check_halt()
        self._tell_tail(progress)
        if epoch is not None and not actions.has_on_wire(self.ledger) and self.ledger.resume_epoch(epoch):
            return
        if queries.last_key_print(self.ledger) not in (None, self._print_of_key):
            # The key may be another account's: all of the account has to show the orders that are known. Before the
            # epoch with the new key is there, so that a kill in between does not lose this duty.
            account.forget_account_read(self.ledger)
        self.ledger.open_epoch(purpose=purpose, key_print=self._print_of_key, now_us=now_us)
        died = open_run(self.ledger, now_us)
        if died:
            self.notes.append(
                f"{died} requests of a run that ended early are in doubt; the exchange is asked about them"
            )
        self._take_over_actions(now_us)
        clear_if_nobody_records(self.ledger)
        if purpose != HALT:  # getting out waits for nothing: the next run reads the account
            self._read_account(purpose, progress)

    @property
    def must_let_go(self) -> bool:
        """Whether waiting has to end: interrupted, or halted since it began; who halted may need the lock to clear.

        What is in doubt stays so: the next run resolves it. A run that only cancels goes on.
        """
        return self.interrupt.is_requested or (self._gives_way and self.ledger.halt.is_set())

    def _take_over_actions(self, now_us: int) -> None:
        died, withdrawn = actions.open_run(self.ledger, now_us)
        if died:
            self.notes.append(f"{died} actions of a run that ended early are in doubt; the exchange is asked of them")
        if withdrawn:
            self.notes.append(f"{withdrawn} actions of a run that ended early were never sent, and are withdrawn")
        for entry in actions.unfinished(self.ledger):
            if entry.state is CommandState.PARKED:
                self.notes.append(
                    f"action {entry.key} ({entry.kind} {entry.recorded.target}) waits for a person:"
                    f" {entry.action.detail}; `oms group settle {entry.key}` takes the decision"
                )

    def _tell_tail(self, progress: Report) -> None:
        left_ms = (actions.tail_until_ms(self.ledger) or 0) - self.venue.clock.now_ms()
        if 0 < left_ms <= _LONGEST_TAIL_MS:
            note = f"a cancel-all may take along what is placed now: no order is sent for {left_ms // 1000 + 1} s"
            self.notes.append(note)
            progress(Progress(phase="waiting", done=0, total=None, note=note))

    def _check_halt(self) -> None:
        reason = queries.halt_reason(self.ledger)
        if reason is not None:
            if self.ledger.halt.is_set():
                queries.keep_halt(self.ledger, reason, self.venue.clock.now_us())
            self.stop = Stop(
                code="halted",
                message=f"sending is halted: {reason}",
                hint="look at `oms reconcile`; when it is safe, `oms unhalt`",
                exit_code=6,
            )

    def _read_account(self, purpose: str, progress: Report) -> None:
        try:
            if purpose != RECONCILE or queries.watermark(self.ledger) is None:
                self._learn_limits()  # what has little to read and nothing to write stays below any tier's
            # What a lost ledger had sent and been told may be hidden by read lag: only data younger than this start
            # can show all of it.
            if queries.watermark(self.ledger) is not None or self._await_fresh(progress):
                self._learn_groups(progress)
                self.scan = self._persist(self.reconciler.read_account, progress)
            if self.scan is not None and self._has_lost(self.scan):
                self.scan = self._await_lost(progress)
            if self.scan is not None:
                self.reconciler.note_account_read(self.scan)
            if self.scan is None and not self.interrupt.is_requested:
                self._let_go()
        except CredentialsError as exc:
            self.stop = Stop(code="credentials", message=exc.message, hint=exc.hint, exit_code=exc.exit_code)
        except ReadFailed as exc:
            self.stop = Stop(
                code="unreachable",
                message=f"the account could not be read, and nothing was sent: {exc.message}",
                hint=exc.hint or "check the network and `oms doctor`, then run `oms submit`",
                exit_code=6,
            )

    def _let_go(self) -> None:
        """A halt ended the wait for the account: nothing is sent without that reading, lifted again or not (P2)."""
        self._check_halt()
        self.stop = self.stop or Stop(
            code="halted",
            message="sending was halted while the account was waited for; nothing was sent",
            hint="`oms submit` goes on",
            exit_code=6,
        )

    def _learn_groups(self, progress: Report) -> None:
        """Whose group was triggered is asked before the orders that it took along are read; where there are groups."""
        if any(groups.groups(self.ledger)):
            seen = self._persist(self.venue.groups.list_groups, progress)
            if seen is not None:
                groups.note_seen(self.ledger, seen.values(), None, self.venue.clock.now_us())

    def _await_fresh(self, progress: Report) -> bool:
        """Wait for data that show all that was sent before this start; False when interrupted.

        A ledger that was restored, copied or put in the place of another may have sent requests that it does not
        know and that are still on their way: nothing of them can be seen yet, so a whole horizon has to pass (P2).
        """
        if queries.watermark(self.ledger, SET_BACK) is None:
            return self._await_data(self.venue.clock.now_ms(), progress, "for fresh data")
        self.notes.append(
            f"this ledger was restored, copied or put in the place of another: waiting {self.horizon_ms / 1000:g} s,"
            " until nothing sent before can still arrive, and reading the account"
        )
        fence_ms = self.venue.clock.now_ms() + self.horizon_ms
        return self._await_data(fence_ms, progress, "for what the ledger before it may have sent")

    def _learn_limits(self) -> None:
        try:
            self.venue.learn_limits()
            self._note_limits()
        except ReadFailed:
            # The smallest tier's numbers are safe with any account; whether the exchange can be reached at all shows
            # at the next read.
            self.notes.append("the account's rate limits could not be read; the smallest tier's are used")
        self._remember_writes()

    def _note_limits(self) -> None:
        write, costs = self.venue.limiter.write, self.venue.limiter.costs
        note_rate_limits(
            self.ledger,
            RateLimits(
                self.venue.clock.now_us(),
                write.refill_per_s,
                write.capacity,
                costs.of_create,
                *(costs.of(_ENDPOINTS[kind]) for kind in (CommandKind.CANCEL, CommandKind.AMEND, CommandKind.DECREASE)),
            ),
        )

    def _remember_writes(self) -> None:
        """What the run before this one wrote in the last seconds: the exchange's bucket is not full after it."""
        now_us, now_ms = self.venue.clock.now_us(), self.venue.clock.now_ms()
        recent = exposure.recent_writes(self.ledger, now_ms - _REFILLED_MS)
        written = ((now_us - (now_ms - ms) * 1000, _ENDPOINTS[kind]) for ms, kind in recent)
        self.venue.limiter.remember(written, now_us - _REFILLED_MS * 1000)

    def _persist(self, read: Callable[[], T], progress: Report) -> T | None:
        """Try a read again for as long as the run may wait for an exchange out of reach; None when interrupted."""
        deadline = self.ports.monotonic() + self.config.submit.wait_s
        while True:
            try:
                return read()
            except ReadFailed as exc:
                if self.must_let_go:
                    return None
                if self.ports.monotonic() > deadline:
                    raise
                progress(Progress(phase="waiting", done=0, total=None, note=f"for the exchange: {exc.message}"))
            self.ports.sleep(_RETRY_S)

    def _has_lost(self, scan: Scan) -> bool:
        """Whether the exchange shows recent orders that oms has sent, but not from this ledger as it is."""
        findings = self.reconciler.findings
        if findings.preplaced:
            self.notes.append(f"{findings.preplaced} queued orders were at the exchange already and are not sent again")
        if findings.retried:
            self.notes.append(
                f"{findings.retried} queued orders had been placed as retries, from a ledger that is gone, and are not"
                " sent again: `oms why ORDER` names the order that each of them is"
            )
        if findings.needless:
            self.notes.append(f"{findings.needless} retries are not sent: the orders that they send again are there")
        newest_ms = findings.newest_surprise_ms
        return newest_ms is not None and newest_ms >= scan.as_of_ms - _RECENT_HORIZONS * self.horizon_ms

    def _await_lost(self, progress: Report) -> Scan | None:
        """Wait until nothing of what was lost can still arrive, and read again; None when interrupted."""
        self.notes.append(
            "the exchange shows recent orders made by oms that this ledger had not sent: it was lost, copied or"
            " restored; waiting until nothing more can arrive before anything is sent"
        )
        fence_ms = self.venue.clock.now_ms() + self.horizon_ms
        if not self._await_data(fence_ms, progress, "for what a lost ledger may have sent"):
            return None
        return self._persist(self.reconciler.read_account, progress)

    def _await_data(self, fence_ms: int, progress: Report, note: str) -> bool:
        """Wait until reads show all that was so at that exchange time; False when interrupted.

        Raises ReadFailed where they do not get there.
        """
        deadline = self.ports.monotonic() + self.horizon_ms / 1000 + self.config.submit.wait_s
        while not self.must_let_go:
            as_of_ms = self._persist(self.venue.exchange.user_data_timestamp_ms, progress)
            if as_of_ms is None or as_of_ms >= fence_ms:
                return as_of_ms is not None
            if self.ports.monotonic() > deadline:
                raise ReadFailed(
                    f"the exchange's reads have stayed {(fence_ms - as_of_ms) / 1000:.0f} s behind what this run needs",
                    hint="run it again when the exchange has caught up",
                )
            progress(Progress(phase="waiting", done=0, total=None, note=note))
            self.ports.sleep(min(_RETRY_S, max(_SHORTEST_S, (fence_ms - as_of_ms) / 1000)))
        return False


def _exchange_name(config: Config, venue: Venue) -> str:
    """What the ledger is tied to: all hosts of one environment are one exchange, another address is another one."""
    known = HOSTS[config.environment]
    return f"kalshi {config.environment}" if venue.transport.host.name in known else venue.transport.host.name


def take_lock(
    ledger: Ledger, wait_s: float | None, interrupt: Interrupt, is_done: Callable[[], bool], ports: Ports = SYSTEM
) -> bool:
    """Wait for the writer lock; False when `is_done` came true first (somebody else did the work).

    Raises LedgerBusy after `wait_s` seconds, or when interrupted.
    """
    deadline = None if wait_s is None else ports.monotonic() + wait_s
    while not ports.acquire(ledger.locks.writer, 0.25):
        if is_done():
            return False
        late = deadline is not None and ports.monotonic() >= deadline
        if late or interrupt.is_requested:
            raise LedgerBusy(
                f"another process sends from this ledger: {ledger.locks.holder()}",
                hint="what is recorded stays queued, and is sent by that process or by the next `oms submit`",
            )
    return True
