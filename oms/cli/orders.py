"""`oms orders`, `why`, `resolve` and `batches`: what the ledger knows."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

from oms.cli import answer as stdout
from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Command
from oms.lifecycle.states import OrderStatus

if TYPE_CHECKING:
    from oms.cli.columns import View
    from oms.records import Story, TimelineEntry

MIN_TEXT_WIDTH = 40  # a terminal too narrow for it wraps the lines itself

limit_option = click.option("--limit", metavar="N", type=click.IntRange(min=1), help="At most the newest N.")


def answer_list(
    invocation: Invocation, view: "View", limit: int | None, ask: Callable[[int | None], Iterable[object]]
) -> None:
    """Stream a list; a terminal's table shows the newest 100 unless a limit is given, and says so."""
    cap = stdout.TERMINAL_ROWS if limit is None and invocation.answer.is_terminal_table else None
    left_out = invocation.answer.rows(view, ask(limit if cap is None else cap + 1), cap)
    invocation.answer.done({"ok": True})
    if left_out:
        invocation.notes.say(f"showing the newest {cap}; --limit N shows more, -o jsonl all")


@click.command(cls=Command, short_help="List orders of the ledger.")
@click.option("--batch", metavar="NAME", help="Of this batch.")
@click.option(
    "--status", metavar="S", type=click.Choice([status.value for status in OrderStatus]), help="With this status."
)
@click.option("--in-doubt", is_flag=True, help="Of which it is not known whether they are at the exchange.")
@click.option("--external", is_flag=True, help="Those at the exchange that this ledger did not make.")
@limit_option
@pass_invocation
def orders(
    invocation: Invocation, batch: str | None, status: str | None, in_doubt: bool, external: bool, limit: int | None
) -> None:
    """List orders of the ledger.

    Newest first. Asks the ledger alone; `oms reconcile` brings it up to date.
    """
    from oms.cli.columns import EXTERNAL_ORDERS, ORDERS

    if external and (batch is not None or in_doubt or status not in (None, OrderStatus.RESTING)):
        raise click.UsageError("--external goes with --status resting at most")
    with invocation.oms() as oms:
        if external:
            resting = status is not None
            answer_list(
                invocation, EXTERNAL_ORDERS, limit, lambda most: oms.external_orders(resting=resting, limit=most)
            )
            return
        answer_list(
            invocation,
            ORDERS,
            limit,
            lambda at_most: oms.orders(batch=batch, status=status, in_doubt=in_doubt, limit=at_most),
        )


@click.command(cls=Command, short_help="List what did not fit at the last reconcile.")
@pass_invocation
def breaks(invocation: Invocation) -> int:
    """List what did not fit at the last reconcile.

    Each with what was expected, what was seen and what to do. Exit code 7 where there are any. Asks the ledger alone.
    """
    from oms.cli.columns import BREAKS

    with invocation.oms() as oms:
        found = oms.breaks()
        code = 7 if found else 0
        invocation.report_code = code
        invocation.answer.rows(BREAKS, found)
        invocation.answer.done({"ok": code == 0})
        if not found:
            invocation.notes.say("the last complete reconcile found nothing that does not fit")
    return code


@click.command(cls=Command, short_help="List the batches that were recorded.")
@limit_option
@pass_invocation
def batches(invocation: Invocation, limit: int | None) -> None:
    """List the batches that were recorded.

    Newest first, with how far each has come.
    """
    from oms.cli.columns import BATCHES

    with invocation.oms() as oms:
        answer_list(invocation, BATCHES, limit, lambda at_most: oms.batches(limit=at_most))


@click.command(cls=Command, short_help="Tell what is known of one order, and how it is known.")
@click.argument("order", metavar="ORDER")
@pass_invocation
def why(invocation: Invocation, order: str) -> None:
    """Tell what is known of one order, and how it is known.

    Its timeline from the ledger, every fact with its evidence, then where it stands and what happens next.
    """
    from oms.cli.columns import TIMELINE, fields_of

    with invocation.oms() as oms:
        story = oms.why(order)
        if invocation.answer.form == "csv":
            invocation.answer.rows(TIMELINE, story.timeline)
        elif invocation.answer.form == "table":
            width = get_terminal_size().columns if invocation.answer.is_terminal_table else None
            stdout.write_text("".join(f"{line}\n" for line in story_lines(story, width)))
        else:
            invocation.answer.done({"ok": True, **fields_of(story)})


def story_lines(story: "Story", width: int | None = None) -> Iterator[str]:
    """A story for a person: the order, what happened when, and where it stands; wrapped to a terminal's width."""
    from oms.cli.columns import fields_of, status_text, trade_text
    from oms.cli.terminal import plain

    order = story.order
    fields = fields_of(order)
    yield plain(f"{order.client_order_id}  {order.ticker}  {trade_text(fields)}  {status_text(fields)}")
    yield plain(f"order_id {order.order_id or '-'}, batch {order.batch} row {order.row}, {order.environment}")
    yield ""
    yield from _timeline_lines(story.timeline, width)
    yield ""
    yield plain(story.summary)


def _timeline_lines(timeline: "Iterable[TimelineEntry]", width: int | None) -> Iterator[str]:
    from oms.cli.terminal import plain

    entries = list(timeline)
    widest = max((len(_event_text(entry)) for entry in entries), default=0)
    before: datetime | None = None
    for entry in entries:
        at = _moment(entry.at)
        delta = _delta_text(at, before)
        before = at or before
        head = plain(f"{entry.at}  {delta:>10}  {_event_text(entry):<{widest}}  ")
        room = len(entry.text) if width is None else max(MIN_TEXT_WIDTH, width - len(head))
        lines = wrap(plain(entry.text), room, break_long_words=False, break_on_hyphens=False)
        for place, line in enumerate(lines or [""]):
            yield f"{head if place == 0 else ' ' * len(head)}{line}"


def _event_text(entry: "TimelineEntry") -> str:
    return f"{entry.command} {entry.event}" if entry.command else entry.event


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _delta_text(at: datetime | None, before: datetime | None) -> str:
    if at is None or before is None:
        return ""
    milliseconds = (at - before).total_seconds() * 1000
    if abs(milliseconds) < 10_000:
        return f"{milliseconds:+.1f} ms"
    return f"{milliseconds / 1000:+.0f} s"


@click.command(cls=Command, short_help="Decide a parked order by hand, or note a second one.")
@click.argument("order", metavar="ORDER")
@click.option("--order-id", metavar="ID", help="It is this order at the exchange.")
@click.option("--absent", is_flag=True, help="It is not at the exchange.")
@click.option("--acknowledge", metavar="ID", help="I have looked at this second order under its client_order_id.")
@pass_invocation
def resolve(invocation: Invocation, order: str, order_id: str | None, absent: bool, acknowledge: str | None) -> None:
    """Decide a parked order by hand, or note a second one.

    For an order whose evidence conflicts (`oms why ORDER` shows it): --order-id or --absent. Where a second order was
    seen under its client_order_id: --acknowledge, and it is a break no more; nothing is sent, and a halt stays. The
    decision is recorded as such.
    """
    from oms.cli.columns import ORDERS

    if [order_id is not None, absent, acknowledge is not None].count(True) != 1:
        raise click.UsageError("say --order-id ID, --absent or --acknowledge ID")
    with invocation.oms() as oms:
        record: Any = oms.resolve(order, order_id=order_id, absent=absent, acknowledge=acknowledge)
        invocation.answer.rows(ORDERS, [record])
        invocation.answer.done({"ok": True})
