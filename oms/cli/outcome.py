"""How a run that sends is answered: its orders on stdout, then a summary and what was not placed on stderr."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from oms.cli import answer as stdout
from oms.cli.columns import ORDERS, fields_of, status_text, trade_text, why_text
from oms.cli.invocation import Invocation, error_fields

if TYPE_CHECKING:
    from oms.app import Oms
    from oms.records import OrderRecord, SubmitReport

NOT_PLACED_SHOWN = 20
LIMITED = 5  # where the exchange refused nothing, a limit of the trader's own did
INTERNAL = ("batch_key", "order_keys")  # the ledger's own keys mean nothing outside


class Count:
    """Counts what is streamed through it."""

    def __init__(self, records: Iterable[Any]) -> None:
        self._records = records
        self.seen = 0

    def __iter__(self) -> Iterator[Any]:
        for record in self._records:
            self.seen += 1
            yield record


# Not placed because that is what was asked for, where it was.
_MEANT = {"canceling": ("cancel_requested",), "withdrawing": ("withdrawn",)}


class _NotPlaced:
    """Remembers the first few orders that are not at the exchange, and counts the rest, while all stream through."""

    def __init__(self, orders: Iterable["OrderRecord"], verb: str) -> None:
        self._orders = orders
        self._meant = _MEANT.get(verb, ())
        self.first: list[OrderRecord] = []
        self.count = 0

    def __iter__(self) -> Iterator["OrderRecord"]:
        for order in self._orders:
            if order.in_doubt or (
                order.status in ("pending", "rejected", "unsent") and order.reason not in self._meant
            ):
                self.count += 1
                if len(self.first) < NOT_PLACED_SHOWN:
                    self.first.append(order)
            yield order


def answer_run(invocation: Invocation, oms: "Oms", report: "SubmitReport", verb: str = "submitted") -> int:
    """Answer a run with one record per order in the rows' order; return its exit code."""
    invocation.report_code = report.exit_code
    orders = _NotPlaced(oms.run_orders(report), verb)
    left_out = invocation.answer.rows(ORDERS, orders, stdout.TERMINAL_ROWS)
    invocation.answer.done(_fields(invocation, report))
    if left_out:
        invocation.notes.say(f"{left_out} more orders not shown; {invocation.command('orders')} -o jsonl shows all")
    stdout.flush()
    _summarize(invocation, report, verb)
    _explain(invocation, orders)
    return report.exit_code


def _fields(invocation: Invocation, report: "SubmitReport") -> dict[str, Any]:
    fields: dict[str, Any] = {"ok": report.exit_code == 0}
    if report.exit_code:
        fields["error"] = error_of(invocation, report)
    return fields | {name: value for name, value in fields_of(report).items() if name not in INTERNAL}


def error_of(invocation: Invocation, report: "SubmitReport") -> Mapping[str, Any]:
    """Why the exit code of a run is not 0, as the error object of json."""
    if report.in_doubt:
        hint = invocation.command("reconcile")
        return error_fields("in_doubt", f"{counted(report.in_doubt, 'order')} in doubt", hint)
    if report.stop is not None:
        return error_fields(report.stop.code, report.stop.message, report.stop.hint)
    if report.rejected_now:
        return error_fields("refused", f"{counted(report.rejected_now, 'order')} refused by the exchange", "")
    if report.queued:
        return error_fields("queued", f"{counted(report.queued, 'order')} not sent yet", invocation.command("submit"))
    code = "limit_exceeded" if report.exit_code == LIMITED else "unsent"
    return error_fields(code, f"{counted(report.unsent_now, 'order')} not sent", "")


def _summarize(invocation: Invocation, report: "SubmitReport", verb: str) -> None:
    notes = invocation.notes
    for note in report.notes:
        notes.say(note)
    batch = f", batch {report.batch}" if report.batch else ""
    total = sum(report.counts.values())
    if report.others and not total:
        _tell_rest(invocation, report)
        return
    standing = ", ".join(f"{count} {status}" for status, count in report.counts.items() if count) or "nothing to do"
    doubt = f"; {report.in_doubt} in doubt" if report.in_doubt else ""
    notes.say(
        f"{verb} {counted(total, 'order')} in {report.environment}{batch}: {standing}{doubt} ({report.seconds} s)"
    )
    _tell_rest(invocation, report)


def _tell_rest(invocation: Invocation, report: "SubmitReport") -> None:
    notes = invocation.notes
    if report.queued:
        notes.say(f"still queued: {counted(report.queued, 'order')}; send with: {invocation.command('submit')}")
    if report.stop is not None:
        notes.error(report.stop.message, report.stop.hint)


def _explain(invocation: Invocation, orders: _NotPlaced) -> None:
    notes = invocation.notes
    if orders.count:
        notes.say(f"not placed or not certain: {counted(orders.count, 'order')}")
    for order in orders.first:
        fields = fields_of(order)
        what = f"row {order.row} {order.client_order_id} {order.ticker} {trade_text(fields)}"
        why = why_text(fields)
        reason = "" if why == "-" else f", {why}"
        notes.say(f"  {what}: {status_text(fields)}{reason} -> {next_command(invocation, order)}")
    if orders.count > len(orders.first):
        rest = orders.count - len(orders.first)
        notes.say(f"  and {rest} more: {invocation.command('orders', '-o', 'jsonl')}")


def next_command(invocation: Invocation, order: "OrderRecord") -> str:
    """What a person does next about an order that is not at the exchange, or not certainly."""
    if order.state == "parked" or order.reason == "retried":
        return invocation.command("why", order.client_order_id)
    if order.in_doubt:
        return invocation.command("reconcile")
    if order.status == "pending":
        return invocation.command("submit")
    return invocation.command("submit", "--retry", order.batch)


def counted(count: int, noun: str) -> str:
    """ "1 order", "2 orders"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration_text(seconds: int) -> str:
    """A whole number of the largest unit that fits: "3 h"."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def worth(orders: Iterable["OrderRecord"]) -> str:
    """What is not filled of these orders, at their limit prices: dollars, rounded down to the cent."""
    from oms.units import format_dollars, parse_count, parse_dollars

    open_e8 = 0
    for order in orders:
        left = order.count if order.remaining_count is None else order.remaining_count
        open_e8 += parse_dollars(order.outcome_price) * parse_count(left)
    return format_dollars(open_e8 // 1_000_000 * 10_000, 2)
