"""The verbs of `Oms` that learn and tell: reconcile, lists, one order's story, health. They place nothing."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from oms.app import views
from oms.app.core import LOCK_WAIT_S, Core, Report, silent
from oms.errors import InputError
from oms.ledger import actions, breaks, externals, listing, queries, seconds
from oms.lifecycle.states import OrderStatus
from oms.records import (
    BatchRecord,
    BreakRecord,
    CheckRecord,
    ExternalOrderRecord,
    MarketRecord,
    OrderRecord,
    ReconcileReport,
    StatusReport,
    Story,
    SubmitReport,
)

if TYPE_CHECKING:
    from oms.app.limits import LimitRecord


class Knowing(Core):
    """The part of `Oms` that asks the exchange and answers from the ledger."""

    def reconcile(
        self, *, since_us: int | None = None, wait_s: int = LOCK_WAIT_S, progress: Report | None = None
    ) -> ReconcileReport:
        """Resolve what is in doubt, bring orders, fills, positions and balance up to date, report breaks.

        Sends no order. Raises LedgerBusy when another run holds the ledger for longer than `wait_s`.
        """
        ledger = self._open(create=True)
        self._has_sent = True
        return self._runs(ledger).reconcile(since_us, wait_s, progress or silent)

    def resolve(
        self, name: str, *, order_id: str | None = None, absent: bool = False, acknowledge: str | None = None
    ) -> OrderRecord:
        """Decide about a parked order: it is `order_id`, or it is not at the exchange.

        Or `acknowledge` a second order that was seen under the id of this one, by its order_id: a person has looked at
        it, and it is told as a break no more. Raises UnknownOrder, InputError when the order is not parked, the
        exchange shows no such order, or no such second one was seen; LedgerBusy.
        """
        if [order_id is not None, absent, acknowledge is not None].count(True) != 1:
            raise InputError(
                "say which order it is, that it is absent, or which second order was looked at",
                hint="--order-id ID, --absent or --acknowledge ID",
            )
        ledger = self._open(create=False, writable=True)
        entry = queries.entry_named(ledger, name)
        if acknowledge is not None:
            self._runs(ledger).acknowledge(entry, acknowledge, LOCK_WAIT_S)
        else:
            self._runs(ledger).decide(entry, order_id, silent, LOCK_WAIT_S)
        return self.order(entry.client_order_id)

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

    def external_orders(self, *, resting: bool = False, limit: int | None = None) -> Iterator[ExternalOrderRecord]:
        """Orders at the exchange that this ledger did not make, as reconcile last saw them, newest first."""
        ledger = self._open(create=False)
        rows = externals.listed(ledger, resting_only=resting)
        return (views.external_order(row) for row in islice(rows, limit))

    def breaks(self) -> list[BreakRecord]:
        """What did not fit at the last complete reconcile, oldest first, and second orders under one id seen since.

        Raises LedgerMissing.
        """
        from oms.reconciler.doubles import duplicate_breaks

        ledger = self._open(create=False)
        kept = views.kept_breaks(breaks.listed(ledger))
        told = {x.client_order_id for x in kept if x.kind == "duplicate"}
        return [*kept, *(x for x in duplicate_breaks(ledger) if x.client_order_id not in told)]

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
        """Everything the ledger knows of one order, as a timeline of evidence. Raises UnknownOrder.

        Also by the order_id of a second order that was seen under its client_order_id, whose cancels are part of it.
        """
        ledger = self._open(create=False)
        key = seconds.owner(ledger, name)
        if key is None:
            key = queries.entry_named(ledger, name).order_key
        (row,) = listing.order_rows_by_key(ledger, [key])
        rows = listing.event_rows(ledger, key)
        beside = views.seconds_of(rows)
        cancels = actions.history(ledger, beside) if beside else []
        return views.story(row, ledger.environment, rows, cancels)

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

    def limits(self) -> "Iterator[LimitRecord]":
        """The trader's own limits with what is used and left of each; asks the ledger only, and creates nothing."""
        from oms.app.limits import records

        return records(self.config, self._open_or_none(), self._now_us())

    def doctor(self) -> Iterator[CheckRecord]:
        """What oms needs, what was found, and the fix; changes nothing."""
        from oms.app.health import doctor

        return doctor(self.config)
