"""`Oms`: every verb of the service, for programs and for the command line alike.

Each verb that sends records first (P1) and returns only when what it sent is known, in doubt by name, or queued by
name. What it reports is read back from the ledger, never from memory. The promises are kept by the rooms below; this
one only brings them together.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from oms.app import intake, reports, views
from oms.app.handouts import Handouts
from oms.app.questions import Preview, ResumePrompt, stale
from oms.app.retry import next_retry
from oms.app.tally import Ended, Memory
from oms.config import Config, load
from oms.errors import ConfirmationNeeded, InputError, Interrupted, LedgerMissing
from oms.interrupt import Interrupt
from oms.ledger import listing, queries
from oms.ledger.changes import record_cancels
from oms.ledger.claim import Scope
from oms.ledger.ledger import Ledger, open_ledger
from oms.ledger.record import NewBatch, RecordedBatch, find_batch, record
from oms.lifecycle.states import OrderStatus
from oms.records import (
    BatchRecord,
    CheckRecord,
    MarketRecord,
    OrderRecord,
    Progress,
    ReconcileReport,
    StatusReport,
    Story,
    SubmitReport,
)
from oms.units import format_dollars
from oms.venue.clock import system_now_us

if TYPE_CHECKING:
    from oms.app.runs import Runs
    from oms.submitter.ports import Ports

Report = Callable[[Progress], None]

_TWINS = (
    "{} equal orders recorded earlier are not finished, and this one is new beside them: give a --client-order-id or a"
    " --batch name where a repeated command means the same order"
)

_LOCK_WAIT_S = 30


def _silent(progress: Progress) -> None:
    """A progress report that nobody reads."""


class Oms(Handouts):
    """One environment's ledger and exchange. Open it, use it, close it (or use `with`).

    Opening touches neither disk nor network; the ledger is opened by the first call that needs it, and made by the
    first that records.
    """

    def __init__(
        self, config: Config, interrupt: Interrupt, *, memory: Memory | None = None, ports: "Ports | None" = None
    ) -> None:
        self.config = config
        self._interrupt = interrupt
        self._ledger: Ledger | None = None
        self._has_sent = False
        self._memory = memory or Memory()
        self._ports = ports
        self._now_us = system_now_us if ports is None else ports.now_us

    @classmethod
    def open(
        cls,
        config: Config | None = None,
        *,
        environment: str | None = None,
        interrupt: Interrupt | None = None,
    ) -> "Oms":
        """An Oms for `config`, or for what files and environment variables say. Raises ConfigError."""
        if config is None:
            flags = {"environment": environment} if environment is not None else {}
            config = load(flags, os.environ)
        return cls(config, interrupt or Interrupt())

    # -- placing ----------------------------------------------------------------------------------------------------

    def submit(
        self,
        orders: Iterable[object],
        *,
        batch: str | None = None,
        ttl_s: int | None = None,
        send: bool = True,
        wait: bool = True,
        progress: Report | None = None,
    ) -> SubmitReport:
        """Record orders (mappings or dataclasses with the keys of docs/input.md), then send each once.

        Without `batch` and own client_order_ids every call is a new intent; with them the same call again places
        nothing. `send=False` only records. All rows are durable before the first is sent; a bad row and nothing is
        recorded (InputError with every problem). The report tells what became of each; see `run_orders`.
        """
        offer = intake.offer_objects(orders, batch, "api", self._now_us())
        return self._submit(offer, ttl_s, send=send, wait=wait, confirm=None, progress=progress or _silent)

    def submit_file(
        self,
        path: Path | None,
        *,
        stdin: BinaryIO | None = None,
        batch: str | None = None,
        ttl_s: int | None = None,
        send: bool = True,
        wait: bool = True,
        confirm: Callable[[Preview], bool] | None = None,
        resume: Callable[[ResumePrompt], bool] | None = None,
        progress: Report | None = None,
    ) -> SubmitReport:
        """Record the rows of a file (or of `stdin`, when `path` is None), then send each once.

        The same file again places nothing twice; `send=False` only records. `confirm` is asked before anything is
        recorded where the design wants a question (prod, more than one order), `resume` before rows are sent that
        were recorded over 15 minutes ago; False raises ConfirmationNeeded.
        """
        with self._offer_file(path, stdin, batch) as offer:
            known = self._known(offer.batch(None))
            if known is not None and send:
                self._ask_stale(known.key, resume)
            return self._submit(offer, ttl_s, send=send, wait=wait, confirm=confirm, progress=progress or _silent)

    def retry(
        self, batch: str, *, ttl_s: int | None = None, wait: bool = True, progress: Report | None = None
    ) -> SubmitReport:
        """Record again, under new ids, what of a batch was rejected or unsent; then send it.

        Asking twice places nothing twice: while the last retry is unfinished it is only driven on.
        """
        ledger = self._open(create=False)
        began_us = self._now_us()
        wanted = next_retry(ledger, batch, self._ttl_us(ttl_s))
        if wanted.new is None:
            recorded = RecordedBatch(wanted.current, began_us, True)
        else:
            recorded = record(ledger, wanted.new, wanted.intents, began_us)
        return self._send_batch(ledger, recorded, began_us, wait=wait, progress=progress or _silent)

    def drain(
        self,
        *,
        wait: bool = True,
        confirm: Callable[[ResumePrompt], bool] | None = None,
        progress: Report | None = None,
    ) -> SubmitReport:
        """Resolve what earlier runs left in doubt and send everything that is pending.

        `confirm` is asked where some of it was recorded over 15 minutes ago; False raises ConfirmationNeeded.
        """
        try:
            ledger = self._open(create=False, writable=True)
        except LedgerMissing:
            return reports.nothing(self.config.environment)
        began_us = self._now_us()
        self._ask_stale(None, confirm)
        ended = self._runs(ledger).send(
            "submit",
            Scope(),
            progress or _silent,
            is_done=lambda: not any(listing.unfinished_of(ledger, None)),
            wait=wait,
        )
        return reports.of_drain(ledger, ended, began_us)

    def preview(self, orders: Iterable[object], *, batch: str | None = None) -> list[dict[str, Any]]:
        """The normalized rows with the ids they would have; no key, no network, no ledger. Raises InputError."""
        offer = intake.offer_objects(orders, batch, "api", self._now_us())
        offer.survey.check()
        return list(intake.previews(offer))

    def preview_file(
        self, path: Path | None, *, stdin: BinaryIO | None = None, batch: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """As `preview`, for a file or stream, row by row."""
        with self._offer_file(path, stdin, batch) as offer:
            offer.survey.check()
            yield from intake.previews(offer)

    # -- taking back --------------------------------------------------------------------------------------------------

    def cancel(self, names: Sequence[str], *, progress: Report | None = None) -> SubmitReport:
        """Record a cancel for each of these orders, then send it; journaled and recovered like a create.

        A create that never left is withdrawn instead; one in doubt is resolved first, and never sent again.
        Raises UnknownOrder before anything is recorded.
        """
        ledger = self._open(create=False, writable=True)
        began_us = self._now_us()
        keys = list(dict.fromkeys(queries.entry_named(ledger, name).order_key for name in names))
        ended_before = listing.counts_by_status(ledger, keys)
        commands = record_cancels(ledger, keys, began_us)
        ended = self._runs(ledger).send(
            "cancel",
            Scope(newer_than=2**62, creates=False),
            progress or _silent,
            is_done=lambda: not queries.are_unfinished(ledger, commands),
        )
        return reports.of_cancel(ledger, keys, ended, began_us, ended_before)

    def unhalt(self) -> str | None:
        """Let sending go on after a halt (a duplicate sets one); why it was halted, None if it was not."""
        ledger = self._open(create=False, writable=True)
        reason = queries.halt_reason(ledger)
        if reason is not None:
            queries.lift_halt(ledger)
        return reason

    def withdraw(self, names: Sequence[str] = (), *, batch: str | None = None) -> SubmitReport:
        """End queued orders that were never sent; nothing is asked of the exchange.

        Raises InputError when one of those named was sent (then nothing is withdrawn), LedgerBusy while a run sends.
        """
        ledger = self._open(create=False, writable=True)
        began_us = self._now_us()
        entries = [queries.entry_named(ledger, name) for name in dict.fromkeys(names)]
        if batch is not None:
            row = listing.batch_named(ledger, batch)
            for page in queries.queued_entries(ledger, row._mapping["key"]):
                entries += page
        runs = self._runs(ledger)
        for start in range(0, len(entries), 1_000):
            runs.withdraw(entries[start : start + 1_000], _LOCK_WAIT_S)
        return reports.of_orders(ledger, [x.order_key for x in entries], Ended.quiet(), began_us, is_meant=True)

    # -- knowing ------------------------------------------------------------------------------------------------------

    def reconcile(
        self, *, since_us: int | None = None, wait_s: int = _LOCK_WAIT_S, progress: Report | None = None
    ) -> ReconcileReport:
        """Resolve what is in doubt, bring orders, fills, positions and balance up to date, report breaks.

        Sends no order. Raises LedgerBusy when another run holds the ledger for longer than `wait_s`.
        """
        ledger = self._open(create=True)
        self._has_sent = True
        return self._runs(ledger).reconcile(since_us, wait_s, progress or _silent)

    def resolve(self, name: str, *, order_id: str | None = None, absent: bool = False) -> OrderRecord:
        """Decide about a parked order: it is `order_id`, or it is not at the exchange.

        Raises UnknownOrder, InputError when it is not parked or the exchange shows no such order, LedgerBusy.
        """
        if (order_id is None) == (not absent):
            raise InputError("say either which order it is or that it is absent", hint="--order-id ID or --absent")
        ledger = self._open(create=False, writable=True)
        self._runs(ledger).decide(queries.entry_named(ledger, name), order_id, _silent, _LOCK_WAIT_S)
        return self.order(name)

    def orders(
        self,
        *,
        batch: str | None = None,
        status: str | None = None,
        in_doubt: bool = False,
        limit: int | None = None,
        newest_first: bool = True,
    ) -> Iterator[OrderRecord]:
        """Orders of this ledger, streamed. Raises LedgerMissing, UnknownOrder (no such batch), InputError."""
        if status is not None and status not in set(OrderStatus):
            raise InputError(f"{status!r} is not an order status", hint=f"one of {', '.join(OrderStatus)}")
        ledger = self._open(create=False)
        keys = None if batch is None else (int(listing.batch_named(ledger, batch)._mapping["key"]),)
        wanted = listing.Filter(batch_keys=keys, status=status, in_doubt=in_doubt)
        rows = listing.order_rows(ledger, wanted, newest_first=newest_first, limit=limit)
        return (views.order_record(row, ledger.environment) for row in rows)

    def order(self, name: str) -> OrderRecord:
        """One order by client_order_id, order_id, or an unambiguous start of one. Raises UnknownOrder."""
        ledger = self._open(create=False)
        entry = queries.entry_named(ledger, name)
        (row,) = listing.order_rows_by_key(ledger, [entry.order_key])
        return views.order_record(row, ledger.environment)

    def run_orders(self, report: SubmitReport) -> Iterator[OrderRecord]:
        """The orders a report speaks of, in the rows' order."""
        if not report.order_keys and report.batch_key is None:
            return iter(())
        ledger = self._open(create=False)
        if report.batch_key is not None:
            wanted = listing.Filter(batch_keys=(report.batch_key,))
            rows = listing.order_rows(ledger, wanted, newest_first=False, limit=None)
        else:
            rows = listing.order_rows_by_key(ledger, report.order_keys)
        is_old = report.preexisting > 0
        return (views.order_record(row, ledger.environment, preexisting=is_old) for row in rows)

    def why(self, name: str) -> Story:
        """Everything the ledger knows of one order, as a timeline of evidence. Raises UnknownOrder."""
        ledger = self._open(create=False)
        entry = queries.entry_named(ledger, name)
        return views.story(self.order(name), listing.event_rows(ledger, entry.order_key))

    def batches(self, *, limit: int | None = None) -> Iterator[BatchRecord]:
        """Batches, newest first. Raises LedgerMissing."""
        ledger = self._open(create=False)
        for row in listing.batch_rows(ledger, limit):
            key = int(row._mapping["key"])
            doubtful = listing.unfinished_of(ledger, (key,))[1]
            yield views.batch_record(row, listing.counts_by_batch(ledger, key), doubtful)

    def status(self, *, ask_exchange: bool = True) -> StatusReport:
        """Where ledger and exchange stand; creates nothing."""
        from oms.app.health import status

        return status(self.config, self._open_or_none(), ask_exchange=ask_exchange)

    def markets(
        self, *, status: str | None = "open", search: str | None = None, limit: int | None = 100
    ) -> Iterator[MarketRecord]:
        """Markets of the exchange, streamed. Raises ReadFailed."""
        from oms.app.health import markets

        return markets(self.config, status=status, search=search, limit=limit)

    def doctor(self) -> Iterator[CheckRecord]:
        """What oms needs, what was found, and the fix; changes nothing."""
        from oms.app.health import doctor

        return doctor(self.config)

    # -- the ledger's file --------------------------------------------------------------------------------------------

    def backup(self, to: Path) -> Path:
        """A verified copy of the ledger at `to`, consistent even while a run writes. Raises LedgerError."""
        from oms.ledger.backup import backup

        backup(self._open(create=False).path, to)
        return to

    def restore(self, source: Path) -> None:
        """Put a backup in the ledger's place; what was there is kept beside it. Raises LedgerError, LedgerBusy."""
        from oms.ledger.engine import real_path
        from oms.ledger.restore import restore

        self.close()
        restore(source, real_path(self.config.ledger_url), self.config.environment, now_us=self._now_us())

    def check(self) -> Iterator[CheckRecord]:
        """Check the ledger against itself: SQLite's checks, hash chains, projections, fills."""
        from oms.ledger.check import check

        return iter(check(self._open(create=False)))

    def unsettled(self) -> bool:
        """Whether this object may have sent something whose outcome is not known."""
        if not self._has_sent:
            return False
        ledger = self._open_or_none()
        return ledger is None or queries.totals(ledger).doubtful > 0

    def close(self) -> None:
        """Close the ledger and let go of its locks; harmless twice. Waits up to 10 s for hooks to be told."""
        if self._memory.courier is not None:
            self._memory.courier.close()
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def __enter__(self) -> "Oms":
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _open(self, *, create: bool, writable: bool = False) -> Ledger:
        if self._ledger is None:
            self._ledger = open_ledger(
                self.config.ledger_url,
                self.config.environment,
                create=create,
                upgrade=create or writable,
                now_us=self._now_us(),
            )
        return self._ledger

    def _open_or_none(self) -> Ledger | None:
        try:
            return self._open(create=False)
        except LedgerMissing:
            return None

    def _runs(self, ledger: Ledger) -> "Runs":
        from oms.app.runs import Runs  # the HTTP client and the key's cryptography: not for reading a ledger

        self._has_sent = True
        given = () if self._ports is None else (self._ports,)
        return Runs(self.config, ledger, self._interrupt, self._memory, *given)

    def _ttl_us(self, ttl_s: int | None) -> int | None:
        return self.config.submit.ttl_us if ttl_s is None else ttl_s * 1_000_000

    def _offer_file(
        self, path: Path | None, stdin: BinaryIO | None, batch: str | None
    ) -> AbstractContextManager[intake.Offer]:
        return intake.offer_file(path, stdin, batch, self._now_us())

    def _submit(
        self,
        offer: intake.Offer,
        ttl_s: int | None,
        *,
        send: bool,
        wait: bool,
        confirm: Callable[[Preview], bool] | None,
        progress: Report,
    ) -> SubmitReport:
        new = offer.batch(self._ttl_us(ttl_s))
        known = self._known(new)
        offer.survey.check(new=known is None)
        if known is None and confirm is not None and self.config.environment == "prod" and new.row_count > 1:
            self._ask(offer, confirm)
        ledger = self._open(create=True)
        began_us = self._now_us()
        if known is None:
            known = record(
                ledger,
                new,
                offer.intents(),
                began_us,
                lambda done: self._recorded(done, new.row_count, progress),
            )
        twins = 0 if known.preexisting else queries.unfinished_twins(ledger, known.key)
        if not send:
            return reports.of_batch(ledger, known, Ended.quiet(), began_us, is_meant=True)
        report = self._send_batch(ledger, known, began_us, wait=wait, progress=progress)
        return reports.with_note(report, _TWINS.format(twins)) if twins else report

    def _recorded(self, done: int, total: int, progress: Report) -> None:
        if self._interrupt.is_requested:
            raise Interrupted(
                "interrupted while the batch was being recorded; nothing of it was recorded or sent",
                exit_code=self._interrupt.exit_code,
                hint="submit it again",
            )
        progress(Progress(phase="recording", done=done, total=total))

    def _known(self, new: NewBatch) -> RecordedBatch | None:
        ledger = self._open_or_none()
        return None if ledger is None else find_batch(ledger, new.key, new.content_digest)

    def _ask(self, offer: intake.Offer, confirm: Callable[[Preview], bool]) -> None:
        preview = Preview(
            count=offer.survey.count,
            cost=format_dollars(offer.survey.cost_e6, 2),
            environment=self.config.environment,
            batch=offer.name or offer.key.hex()[:16],
        )
        if not confirm(preview):
            raise ConfirmationNeeded("declined; nothing was recorded and nothing was sent")

    def _send_batch(
        self, ledger: Ledger, batch: RecordedBatch, began_us: int, *, wait: bool, progress: Report
    ) -> SubmitReport:
        mine = (batch.key,)
        scope = Scope(batches=frozenset(mine), newer_than=max(batch.key, listing.newest_batch_key(ledger)))
        if batch.preexisting and not any(listing.unfinished_of(ledger, mine)):
            return reports.of_batch(ledger, batch, Ended.quiet(), began_us)
        ended = self._runs(ledger).send(
            "submit",
            scope,
            progress,
            is_done=lambda: not any(listing.unfinished_of(ledger, mine)),
            wait=wait,
            total=listing.unfinished_of(ledger, mine)[0],
        )
        return reports.of_batch(ledger, batch, ended, began_us)

    def _ask_stale(self, batch_key: int | None, confirm: Callable[[ResumePrompt], bool] | None) -> None:
        """Old queued orders are named before they are sent: the market may not be what it was."""
        prompt = stale(self._open(create=False), batch_key, self.config.environment, self._now_us())
        if prompt is not None and confirm is not None and not confirm(prompt):
            raise ConfirmationNeeded(
                "declined; nothing was sent, everything stays queued", hint="`oms withdraw` ends it"
            )
