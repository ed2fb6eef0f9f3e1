"""The verbs of `Oms` that change or take back what was placed; journaled and recovered as a create is (P1, P2)."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

from oms.app import reports, views
from oms.app.cancel_others import cancel_of, named_for_cancel, with_others
from oms.app.core import LOCK_WAIT_S, Core, Report, silent
from oms.app.tally import Ended
from oms.errors import InputError
from oms.intake import fields
from oms.ledger import externals, listing, queries, seconds
from oms.ledger.changes import Change, record_cancels, record_change
from oms.ledger.claim import Scope
from oms.ledger.ledger import Ledger
from oms.ledger.seconds import Second
from oms.lifecycle.states import Terms
from oms.records import ExternalOrderRecord, OrderRecord, SubmitReport
from oms.units import DOLLAR_E6

# No batch has a higher number: nothing that places an order is sent.
NO_BATCH = 2**62


class Changing(Core):
    """The part of `Oms` that cancels, amends, decreases and withdraws."""

    def cancel(
        self,
        names: Sequence[str] = (),
        *,
        batch: str | None = None,
        ticker: str | None = None,
        tag: str | None = None,
        everything: bool = False,
        progress: Report | None = None,
    ) -> SubmitReport:
        """Record a cancel for each of these orders, then send it; journaled and recovered like a create.

        Named ones, or all that may still rest: of a batch, a ticker, a tag (together: of all three), or, with
        `everything`, of this ledger; second orders that were seen under their ids are among those. An order that was
        placed elsewhere is canceled by its order_id, once a reconcile has seen it. A create that never left is
        withdrawn instead; one in doubt is resolved first, and never sent again. A halt does not stop cancels. Raises
        UnknownOrder before anything is recorded.
        """
        ledger = self._open(create=False, writable=True)
        began_us = self._now_us()
        keys, others = named_for_cancel(ledger, names)
        if batch is not None or ticker is not None or tag is not None or everything:
            keys += self._live_keys(ledger, batch, ticker, tag)
            others += [cancel_of(x) for x in self._seconds(ledger, batch, ticker, tag)]
        ended_before = listing.counts_by_status(ledger, keys)
        self._refuse_beside_line()
        commands = record_cancels(ledger, keys, began_us)
        ended = self._runs(ledger).send(
            "cancel",
            Scope(newer_than=NO_BATCH, creates=False, despite_halt=True),
            progress or silent,
            is_done=lambda: not others and not queries.are_unfinished(ledger, commands),
            total=len(commands),
            others=others,
        )
        report = reports.of_cancel(ledger, keys, ended, began_us, ended_before)
        return with_others(ledger, report, [x.target for x in others])

    def seconds(
        self, *, batch: str | None = None, ticker: str | None = None, tag: str | None = None
    ) -> list[ExternalOrderRecord]:
        """Second orders under the ids of orders of this ledger, of these, that rest as far as is known."""
        ledger = self._open(create=False)
        wanted = [x.order_id for x in self._seconds(ledger, batch, ticker, tag)]
        return [views.external_order(row) for order_id in wanted for row in externals.named(ledger, order_id)]

    @staticmethod
    def _seconds(ledger: Ledger, batch: str | None, ticker: str | None, tag: str | None) -> list[Second]:
        key = None if batch is None else int(listing.batch_named(ledger, batch)._mapping["key"])
        return seconds.resting(ledger, batch_key=key, ticker=ticker, tag=tag)

    def live(
        self, *, batch: str | None = None, ticker: str | None = None, tag: str | None = None
    ) -> Iterator[OrderRecord]:
        """All orders of this ledger that rest or may come to, oldest first. Raises UnknownOrder (no such batch)."""
        ledger = self._open(create=False)
        rows = listing.order_rows_by_key(ledger, self._live_keys(ledger, batch, ticker, tag))
        return (views.order_record(row, ledger.environment) for row in rows)

    @staticmethod
    def _live_keys(ledger: Ledger, batch: str | None, ticker: str | None, tag: str | None) -> list[int]:
        key = None if batch is None else int(listing.batch_named(ledger, batch)._mapping["key"])
        return queries.live_keys(ledger, batch_key=key, ticker=ticker, tag=tag)

    def amend(
        self,
        name: str,
        *,
        price: Decimal | str | None = None,
        count: Decimal | str | None = None,
        expiration_time: int | None = None,
        ttl_s: int | None = None,
        progress: Report | None = None,
    ) -> SubmitReport:
        """Change price, total count or expiry of an order that rests; recorded, sent and recovered like a create.

        `price` is in dollars of the leg the order was entered with (`outcome_price`), `count` the total with what has
        been filled, `expiration_time` Unix seconds (0: none). What is left out stays. The order keeps its ids; another
        price or a higher count costs its place in the queue. Nothing is sent where the order is so already. Raises
        UnknownOrder, InputError (it has ended, a cancel or an unsettled change of it is under way, impossible numbers),
        LimitExceeded.
        """
        order = self.order(name)
        change = Change(
            price_e6=None if price is None else _yes_price_e6(order, price),
            count_e2=None if count is None else _count_e2(count, "count"),
            expiration_time=expiration_time,
        )
        if change == Change():
            raise InputError("an amend has to change something", hint="give a price, a count or an expiration time")
        self._hold_change(name, change)
        return self._change(order, change, ttl_s, progress or silent)

    def _hold_change(self, name: str, change: Change) -> None:
        """Hold an amend against the trader's own limits. Raises LimitExceeded, ReadFailed (of a market)."""
        if not self.config.limits.is_any:
            return
        from oms.app.limits import hold_change

        ledger = self._open(create=False)
        terms = Terms(price_e6=change.price_e6, count_e2=change.count_e2)
        hold_change(self.config, self._memory, ledger, queries.entry_named(ledger, name), terms, self._now_us())

    def decrease(
        self,
        name: str,
        *,
        to: Decimal | str | None = None,
        by: Decimal | str | None = None,
        ttl_s: int | None = None,
        progress: Report | None = None,
    ) -> SubmitReport:
        """Take contracts off an order that rests, which keeps its place in the queue.

        `to` is what may remain; `by` is turned into that before it is recorded, so that asking twice takes away once.
        Recorded, sent and recovered like a create. Raises UnknownOrder, InputError as `amend` does.
        """
        if (to is None) == (by is None):
            raise InputError("say either what may remain or by how much less", hint="--to N or --by N")
        change = Change(
            reduce_to_e2=None if to is None else _count_e2(to, "to"),
            reduce_by_e2=None if by is None else _count_e2(by, "by"),
        )
        return self._change(self.order(name), change, ttl_s, progress or silent)

    def _change(self, order: OrderRecord, change: Change, ttl_s: int | None, progress: Report) -> SubmitReport:
        ledger = self._open(create=False, writable=True)
        began_us = self._now_us()
        ttl_us = self._ttl_us(ttl_s)
        key = queries.entry_named(ledger, order.client_order_id).order_key
        self._refuse_beside_line()
        command = record_change(ledger, key, change, began_us + ttl_us if ttl_us else None, began_us)
        if command is None:
            return reports.of_change(ledger, key, None, Ended.quiet(), began_us)
        ended = self._runs(ledger).send(
            "change",
            Scope(newer_than=NO_BATCH, creates=False),
            progress,
            is_done=lambda: not queries.are_unfinished(ledger, [command]),
            look_at=[key],
        )
        return reports.of_change(ledger, key, command, ended, began_us)

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
            runs.withdraw(entries[start : start + 1_000], LOCK_WAIT_S)
        return reports.of_orders(ledger, [x.order_key for x in entries], Ended.quiet(), began_us, is_meant=True)


def _yes_price_e6(order: OrderRecord, price: Decimal | str) -> int:
    price_e6 = numbered(fields.read_dollars, price, "price")
    return price_e6 if order.outcome == "yes" else DOLLAR_E6 - price_e6


def _count_e2(count: Decimal | str, what: str) -> int:
    return numbered(fields.read_count, count, what)


def numbered(read: Callable[[str], int], value: Decimal | str, what: str) -> int:
    """A number by the rules of a row's fields. Raises InputError with its name, the value and what is wrong with it."""
    try:
        return read(str(value))
    except ValueError as exc:
        raise InputError(f"{what} {exc}") from None
