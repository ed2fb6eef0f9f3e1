"""The verbs of `Oms` that place orders: record first, then send each once (P1, P2)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from oms.app import intake, reports
from oms.app.core import LOCK_WAIT_S, Core, Report, silent
from oms.app.questions import Preview, ResumePrompt, stale
from oms.app.retry import next_retry
from oms.app.tally import Ended
from oms.errors import ConfirmationNeeded, Interrupted, LedgerMissing
from oms.intake.intents import Intent
from oms.ledger import listing, queries
from oms.ledger.claim import Scope
from oms.ledger.ledger import Ledger
from oms.ledger.record import NewBatch, RecordedBatch, find_batch, record
from oms.records import (
    Progress,
    SubmitReport,
)
from oms.units import format_dollars

if TYPE_CHECKING:
    from oms.app.line import Line

_TWINS = (
    "{} equal orders recorded earlier are not finished, and this one is new beside them: give a --client-order-id or a"
    " --batch name where a repeated command means the same order"
)


class Placing(Core):
    """The part of `Oms` that records and sends orders."""

    def submit(
        self,
        orders: Iterable[object],
        *,
        batch: str | None = None,
        order_group: str | None = None,
        ttl_s: int | None = None,
        send: bool = True,
        wait: bool = True,
        progress: Report | None = None,
    ) -> SubmitReport:
        """Record orders (mappings or dataclasses with the keys of docs/input.md), then send each once.

        Without `batch` and own client_order_ids every call is a new intent; with them the same call again places
        nothing. `send=False` only records. All rows are durable before the first is sent; a bad row and nothing is
        recorded (InputError with every problem; LimitExceeded where it is over a limit of yours). The report tells
        what became of each; see `run_orders`.
        """
        offer = intake.offer_objects(orders, batch, "api", self._now_us(), self._grouping(order_group))
        return self._submit(offer, ttl_s, send=send, wait=wait, confirm=None, progress=progress or silent)

    def submit_file(
        self,
        path: Path | None,
        *,
        stdin: BinaryIO | None = None,
        batch: str | None = None,
        order_group: str | None = None,
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
        with self._offer_file(path, stdin, batch, order_group) as offer:
            known = self._known(offer.batch(None))
            if known is not None and send:
                self._ask_stale(known.key, resume)
            return self._submit(offer, ttl_s, send=send, wait=wait, confirm=confirm, progress=progress or silent)

    def line(self) -> "Line":
        """Open a line: a run that stays, and takes orders one by one (`Line.place`) until it is closed.

        For a bot, to which every millisecond counts: the account is read once, here, and an order is on its way one
        commit later. It sends what is recorded from now on, by other processes too; what is older waits for `drain`.
        Meanwhile this object only records, reads and halts. Raises LedgerBusy where another run keeps the ledger for
        30 s; where sending may not begin, the line has ended and `Line.stop` tells why.
        """
        from oms.app.line import Line

        ledger = self._open(create=True)
        began_us = self._now_us()
        runs = self._runs(ledger)
        scope = Scope(newer_than=listing.newest_batch_key(ledger))
        self._line = Line(
            self._offer_of_line,
            self._ttl_us,
            lambda tray: runs.send("submit", scope, silent, is_done=lambda: False, tray=tray, wait_s=LOCK_WAIT_S),
            lambda ended: reports.of_drain(ledger, ended, began_us),
        )
        return self._line

    def _offer_of_line(
        self, orders: Sequence[Mapping[str, object]], batch: str | None, order_group: str | None
    ) -> intake.Offer:
        offer = intake.offer_objects(orders, batch, "api", self._now_us(), self._grouping(order_group))
        if self.config.limits.is_any and self._known(offer.batch(None)) is None:
            self._hold(self._open(create=False), offer.intents)
        return offer

    def retry(
        self, batch: str, *, ttl_s: int | None = None, wait: bool = True, progress: Report | None = None
    ) -> SubmitReport:
        """Record again, under new ids, what of a batch was rejected or unsent; then send it.

        Asking twice places nothing twice: while the last retry is unfinished it is only driven on.
        """
        self._refuse_beside_line()
        ledger = self._open(create=False)
        began_us = self._now_us()
        wanted = next_retry(ledger, batch, self._ttl_us(ttl_s))
        if wanted.new is None:
            recorded = RecordedBatch(wanted.current, began_us, True)
        else:
            self._hold(ledger, lambda: next_retry(ledger, batch, None).intents)
            recorded = record(ledger, wanted.new, wanted.intents, began_us)
        return self._send_batch(ledger, recorded, began_us, wait=wait, progress=progress or silent)

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
            progress or silent,
            is_done=lambda: not any(listing.unfinished_of(ledger, None)),
            wait=wait,
        )
        return reports.of_drain(ledger, ended, began_us)

    def preview(
        self, orders: Iterable[object], *, batch: str | None = None, order_group: str | None = None
    ) -> list[dict[str, Any]]:
        """The normalized rows with the ids they would have; no key, no network. Raises InputError.

        No ledger either, but where a row names an order group.
        """
        offer = intake.offer_objects(orders, batch, "api", self._now_us(), self._grouping(order_group))
        offer.survey.check()
        return list(intake.previews(offer))

    def preview_file(
        self,
        path: Path | None,
        *,
        stdin: BinaryIO | None = None,
        batch: str | None = None,
        order_group: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """As `preview`, for a file or stream, row by row."""
        with self._offer_file(path, stdin, batch, order_group) as offer:
            offer.survey.check()
            yield from intake.previews(offer)

    def _offer_file(
        self, path: Path | None, stdin: BinaryIO | None, batch: str | None, order_group: str | None
    ) -> AbstractContextManager[intake.Offer]:
        return intake.offer_file(path, stdin, batch, self._now_us(), self._grouping(order_group))

    def _grouping(self, default: str | None) -> intake.Grouping:
        return intake.Grouping(intake.GroupsWhenAsked(self._open_or_none), default)

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
        if send:
            self._refuse_beside_line()
        new = offer.batch(self._ttl_us(ttl_s))
        known = self._known(new)
        offer.survey.check(new=known is None)
        if known is None and confirm is not None and self.config.environment == "prod" and new.row_count > 1:
            self._ask(offer, confirm)
        ledger = self._open(create=True)
        began_us = self._now_us()
        if known is None:
            self._hold(ledger, offer.intents)
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

    def _hold(self, ledger: Ledger, intents: Callable[[], Iterable[Intent]]) -> None:
        """Hold new orders against the trader's own limits. Raises LimitExceeded, ReadFailed (of a market)."""
        if not self.config.limits.is_any:
            return
        from oms.app.limits import hold

        hold(self.config, self._memory, ledger, intents, self._now_us())

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
