"""Runs that need the writer lock: sending a batch, draining, canceling, withdrawing, reconciling, resolving by hand.

Each is: take the lock (or learn that its holder did the work), open a session, do the work, report. Whatever ends a
run, its report is read from the ledger, so that what a user is told is what is durable (I13).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from oms import compare
from oms.app.action_doubts import record_cancels
from oms.app.drive import Drive, resolve_all, resolve_once, undecided
from oms.app.session import RECONCILE, Endpoint, Report, Session, connect, endpoint, key_print, take_lock
from oms.app.tally import Ended, Memory, Tally
from oms.config import Config
from oms.errors import CredentialsError, InputError, LedgerBusy, ReadFailed
from oms.interrupt import Interrupt
from oms.ledger import breaks, listing, queries, seconds
from oms.ledger.append import DUPLICATE, Fact, append
from oms.ledger.check import check_tail
from oms.ledger.claim import Scope, open_run
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.ledger.tray import Tray
from oms.lifecycle import events as e
from oms.lifecycle import replay
from oms.lifecycle.actions import ActionRecorded
from oms.lifecycle.states import CommandState, OrderStatus, Reason
from oms.reconciler.passes import Findings
from oms.records import Progress, ReconcileReport, Stop, worst
from oms.submitter.ports import SYSTEM, Ports
from oms.units import format_dollars
from oms.venue.door import Venue
from oms.venue.orders import ORDERS_PATH
from oms.venue.transport import Request


class Runs:
    """Runs over one ledger with one configuration."""

    def __init__(
        self, config: Config, ledger: Ledger, interrupt: Interrupt, memory: Memory, ports: Ports = SYSTEM
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._interrupt = interrupt
        self._memory = memory
        self._ports = ports

    def send(
        self,
        purpose: str,
        scope: Scope,
        progress: Report,
        *,
        is_done: Callable[[], bool],
        wait: bool = True,
        total: int | None = None,
        look_at: Sequence[int] = (),
        others: Sequence[ActionRecorded] = (),
        tray: Tray | None = None,
        wait_s: float | None = None,
    ) -> Ended:
        """Send what is in scope, or wait (at most `wait_s`) until the process that holds the lock has done it.

        The orders of the keys `look_at` are read once afterwards: what an amend made of one is not all in its answer.
        `others` are cancels of orders that were not placed here: recorded first, sent like those of earlier runs.
        With a `tray` the run stays until that is closed.
        """
        ended = Ended(Tally(), [])
        before = queries.halt_reason(self._ledger) if scope.despite_halt else None
        try:
            with self._session(purpose, progress, wait_s if wait else 0.0, is_done, ended) as session:
                if session is not None:
                    record_cancels(session, others)
                    drive = Drive(session, scope, progress, total, tray, is_done)
                    drive.go()
                    _look_at(session, look_at)
                    ended.stop = drive.stop if session.stop is not None else self._halt_met(drive.stop, scope, before)
                    ended.notes += _loud(session.reconciler.findings)
        except CredentialsError as exc:
            ended.stop = Stop(code="credentials", message=exc.message, hint=exc.hint, exit_code=exc.exit_code)
        except LedgerBusy as exc:
            if not self._ledger.locks.writer.is_held and tray is None:
                self._note_busy(ended, exc, wait)
            else:
                raise
        return ended

    def _halt_met(self, stop: Stop | None, scope: Scope, before: str | None) -> Stop | None:
        """Why a run ended that began without a halt, or in spite of the one `before`: what it met comes first."""
        reason = queries.halt_reason(self._ledger)
        if reason is None or reason == before or (stop is not None and stop.code != "halted"):
            return stop
        if scope.despite_halt and not reason.startswith(DUPLICATE):
            return stop
        return Stop(
            code="halted",
            message=f"sending is halted: {reason}",
            hint="look with `oms reconcile` and `oms why`; when it is safe, `oms unhalt`",
            exit_code=7 if reason.startswith(DUPLICATE) else 6,
        )

    def _note_busy(self, ended: Ended, exc: LedgerBusy, wait: bool) -> None:
        ended.notes.append(f"{exc.message}; {exc.hint}")
        ended.is_done_elsewhere = not wait
        if self._interrupt.is_requested:
            ended.stop = Stop(
                code="interrupted",
                message="interrupted while another process was sending; what is recorded stays queued and will be sent",
                hint="`oms orders` shows it",
                exit_code=self._interrupt.exit_code,
            )

    @contextmanager
    def _session(
        self, purpose: str, progress: Report, wait_s: float | None, is_done: Callable[[], bool], ended: Ended
    ) -> Iterator[Session | None]:
        """An open session; None where the process that holds the lock has done the work."""
        with self._telling(), self._alone(purpose, progress, wait_s, is_done, ended) as session:
            yield session

    def _telling(self) -> AbstractContextManager[None]:
        if self._config.hooks.is_silent:
            return nullcontext()
        from oms.app.notify import telling  # not for those who have no hooks

        return telling(self._config, self._memory, self._ledger)

    @contextmanager
    def _alone(
        self, purpose: str, progress: Report, wait_s: float | None, is_done: Callable[[], bool], ended: Ended
    ) -> Iterator[Session | None]:
        where, venue = self._connected()
        if not take_lock(self._ledger, wait_s, self._interrupt, is_done, self._ports):
            ended.is_done_elsewhere = True
            yield None
            return
        self._ledger.on_moved = ended.tally.note
        venue.transport.objection = self._objection
        session = Session(self._config, self._ledger, venue, key_print(where.key_id), self._interrupt, self._ports)
        earlier, self._memory.epoch = self._memory.epoch, None
        try:
            check_tail(self._ledger)
            session.open(purpose, progress, epoch=earlier if purpose in ("submit", "cancel", "change") else None)
            yield session
            if session.stop is None:
                self._memory.epoch = self._ledger.epoch
        finally:
            ended.notes += session.notes
            ended.stop = ended.stop or session.stop
            self._ledger.on_moved = lambda entries: None
            self._ledger.end_epoch()

    def _objection(self, request: Request) -> str:
        """Asked directly before the first byte of a write: what makes the account no safer stays here while halted."""
        is_way_in = request.method == "POST" and request.path.startswith(ORDERS_PATH)
        is_way_in = is_way_in or (request.method == "PUT" and request.path.endswith("/reset"))
        return "sending is halted" if is_way_in and self._ledger.halt.is_set() else ""

    def _connected(self) -> tuple[Endpoint, Venue]:
        """The exchange, connected once for all runs of a process; our own sandbox may have moved meanwhile."""
        memory = self._memory
        if memory.where is None or memory.venue is None or not self._config.venue.base_url:
            memory.where = endpoint(self._config)
            memory.venue = connect(self._config, memory.where)
        return memory.where, memory.venue

    # -- without the exchange ---------------------------------------------------------------------------------------

    def withdraw(self, entries: Sequence[Entry], wait_s: float) -> int:
        """Withdraw queued creates that were never sent; how many. Raises LedgerBusy, InputError."""
        self._ledger.locks.take_writer(wait_s)
        try:
            now_us = self._ports.now_us()
            self._ledger.open_epoch(purpose="withdraw", key_print=None, now_us=now_us)
            open_run(self._ledger, now_us)
            with self._ledger.write() as connection:
                self._ledger.check_epoch(connection)
                fresh = queries.fresh(connection, entries)
                _refuse_sent(fresh)
                facts = [
                    Fact(entry, e.Withdrawn(reason=Reason.WITHDRAWN))
                    for entry in fresh
                    if entry.command.state is CommandState.QUEUED
                ]
                appended = append(connection, facts, epoch=self._ledger.epoch, now_us=now_us)
            self._ledger.note_seq(appended.newest_seq)
            return len(facts)
        finally:
            self._ledger.end_epoch()

    def acknowledge(self, entry: Entry, order_id: str, wait_s: float) -> None:
        """Record that a person has looked at a second order under one id. Raises LedgerBusy, InputError."""
        self._ledger.locks.take_writer(wait_s)
        try:
            now_us = self._ports.now_us()
            self._ledger.open_epoch(purpose="resolve", key_print=None, now_us=now_us)
            open_run(self._ledger, now_us)
            with self._ledger.write() as connection:
                self._ledger.check_epoch(connection)
                (entry,) = queries.fresh(connection, [entry])
                if not replay.is_noted(entry.order, order_id):
                    raise InputError(
                        f"no second order {order_id} was seen under client_order_id {entry.client_order_id}",
                        hint="`oms why` names it in full",
                    )
                fact = Fact(entry, e.DuplicateSettled(order_id=order_id))
                facts = [] if replay.is_settled(entry.order, order_id) else [fact]
                appended = append(connection, facts, epoch=self._ledger.epoch, now_us=now_us)
                seconds.forget(connection, order_id)
                breaks.forget(connection, "duplicate", entry.client_order_id)
            self._ledger.note_seq(appended.newest_seq)
        finally:
            self._ledger.end_epoch()

    # -- reconciling ------------------------------------------------------------------------------------------------

    def reconcile(self, since_us: int | None, wait_s: float, progress: Report) -> ReconcileReport:
        """Resolve what is in doubt, bring orders, fills and positions up to date, report breaks. Sends nothing."""
        ended = Ended(Tally(), [])
        with self._session(RECONCILE, progress, wait_s, lambda: False, ended) as session:
            assert session is not None
            problem = _catch_up(session, since_us, progress)
            findings = session.reconciler.findings
            if problem is None and session.scan is not None and not session.must_let_go:
                breaks.replace(self._ledger, findings.breaks.values(), self._ports.now_us())
        return self._reconciled(findings, ended, problem)

    def _reconciled(self, findings: Findings, ended: Ended, problem: Stop | None) -> ReconcileReport:
        totals = queries.totals(self._ledger)
        halted = queries.halt_reason(self._ledger)
        is_told = any(found.kind == "duplicate" for found in findings.breaks.values())
        if halted is not None and halted.startswith(DUPLICATE) and not is_told:
            findings.report([compare.halted_break(halted)])
        stop = problem or (ended.stop if ended.stop is not None and ended.stop.code != "halted" else None)
        codes = {stop.exit_code} if stop is not None else set()
        codes |= {3} if totals.doubtful else set()
        codes |= {7} if findings.breaks else set()
        codes |= {self._interrupt.exit_code} if self._interrupt.is_requested else set()
        balance_e6, positions = listing.money(self._ledger)
        return ReconcileReport(
            environment=self._ledger.environment,
            resolved=findings.resolved,
            found=findings.found + findings.preplaced,
            absent=findings.absent,
            late=findings.late,
            updated=findings.updated,
            fills=findings.fills,
            in_doubt=totals.doubtful,
            queued=totals.queued,
            halted=halted,
            external=findings.external,
            external_fills=findings.external_fills,
            settlements=findings.settlements,
            breaks=tuple(findings.breaks.values()),
            balance=format_dollars(balance_e6) if balance_e6 is not None else None,
            positions=positions,
            stop=stop,
            notes=(*ended.notes, *_other_key(findings)),
            exit_code=worst(codes),
        )

    def decide(self, entry: Entry, order_id: str | None, progress: Report, wait_s: float) -> None:
        """Record a person's decision about a parked order. Raises InputError when it is not parked or does not fit."""
        ended = Ended(Tally(), [])
        with self._session("resolve", progress, wait_s, lambda: False, ended) as session:
            assert session is not None
            with self._ledger.read() as connection:
                (entry,) = queries.fresh(connection, [entry])
            if entry.command.state is not CommandState.PARKED:
                raise InputError(
                    f"order {entry.client_order_id} is {entry.command.state}, not parked: there is nothing to decide",
                    hint="`oms why` tells where it stands",
                )
            facts: list[tuple[Entry, e.Event]] = [(entry, e.Resolved(order_id=order_id, detail="decided by hand"))]
            if order_id is not None:
                as_of_ms = session.venue.exchange.user_data_timestamp_ms()
                seen = session.venue.account.get_order(order_id)
                if seen is None or seen.client_order_id not in ("", entry.client_order_id):
                    raise InputError(
                        f"the exchange shows no order {order_id} under client_order_id {entry.client_order_id}",
                        hint="`oms why` names the order that was seen",
                    )
                facts.append((entry, e.Observed(source="order", as_of_ms=as_of_ms, order=seen)))
            session.reconciler.record(facts)


def _loud(findings: Findings) -> list[str]:
    """What a run must not keep to itself: orders that turned up late, second orders under one id, and their like."""
    found = [record for record in findings.breaks.values() if record.kind != "parked"]
    lines = [f"{x.kind.upper()} {x.client_order_id or x.order_id}: {x.seen}; {x.suggestion}" for x in found[:10]]
    more = len(found) - len(lines)
    rest = [f"and {more} more: `oms reconcile` tells them"] if more > 0 else []
    return [*_other_key(findings), *lines, *rest]


def _other_key(findings: Findings) -> list[str]:
    if not findings.unseen:
        return []
    return [
        f"{len(findings.unseen)} orders in doubt were sent with another API key, and nothing shows so far that this one"
        " sees the same account: run `oms reconcile` with the key they were sent with"
    ]


def _refuse_sent(entries: Sequence[Entry]) -> None:
    sent = [x for x in entries if x.command.state in (CommandState.ON_WIRE, CommandState.IN_DOUBT, CommandState.PARKED)]
    live = [x for x in entries if x.command.state is CommandState.ACCEPTED]
    if sent or live:
        first = (sent or live)[0]
        raise InputError(
            f"sent already: {len(sent) + len(live)} of these orders (first: {first.client_order_id},"
            f" {first.command.state}); nothing was withdrawn",
            hint="`oms cancel ORDER` is for orders that may be at the exchange",
        )


def _look_at(session: Session, order_keys: Sequence[int]) -> None:
    with suppress(ReadFailed, CredentialsError):
        for entry in queries.creates_by_key(session.ledger, order_keys):
            if entry.order.status is OrderStatus.RESTING:
                session.reconciler.look_up(entry)


def _catch_up(session: Session, since_us: int | None, progress: Report) -> Stop | None:
    """All passes; a read that fails ends them, and what was learned until then stays."""
    reconciler = session.reconciler
    if session.stop is not None and session.stop.code != "halted":
        return None
    try:
        if not undecided(session):
            resolve_once(session, progress)
        resolve_all(session, progress)
        progress(Progress(phase="reading", done=0, total=None, note="orders"))
        if since_us is not None:
            session.scan = reconciler.read_since(since_us // 1000)
        if session.scan is not None:
            reconciler.update_live(session.scan)
        progress(Progress(phase="reading", done=0, total=None, note="fills, positions and balance"))
        reconciler.read_books(session.scan, since_us // 1000 if since_us is not None else None)
        reconciler.report_standing()
    except ReadFailed as exc:
        return Stop(code="unreachable", message=exc.message, hint=exc.hint or "run `oms reconcile` again", exit_code=6)
    except CredentialsError as exc:
        return Stop(code="credentials", message=exc.message, hint=exc.hint, exit_code=exc.exit_code)
    return None
