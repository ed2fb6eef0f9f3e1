"""`oms cancel` and `oms withdraw`: orders at the exchange, and orders that never got there."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Command
from oms.cli.outcome import answer_run, worth

if TYPE_CHECKING:
    from oms.app import Oms
    from oms.records import OrderRecord


@click.command(cls=Command, short_help="Cancel orders at the exchange.")
@click.argument("orders", metavar="ORDER...", nargs=-1)
@click.option("--batch", metavar="NAME", help="All of this batch that may rest.")
@click.option("--ticker", metavar="TICKER", help="All of this ledger in this market.")
@click.option("--tag", metavar="TAG", help="All of this ledger with this tag.")
@click.option("--all", "everything", is_flag=True, help="All of this ledger.")
@click.option("--account", is_flag=True, help="Everything in the account, also what was placed elsewhere.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def cancel(
    invocation: Invocation,
    orders: tuple[str, ...],
    batch: str | None,
    ticker: str | None,
    tag: str | None,
    everything: bool,
    account: bool,
    yes: bool,
) -> int:
    """Cancel orders at the exchange.

    ORDER is an order_id or client_order_id; a unique beginning of 8 characters is enough. By its order_id, also a
    second order under one client_order_id, or one placed elsewhere, once `oms reconcile` has seen it. --batch, --ticker
    and --tag together mean the orders that fit all of them. The cancel of an order in doubt waits until the order's
    fate is known; one that was never sent is withdrawn. A halt does not stop cancels.
    """
    is_bulk = everything or any(x is not None for x in (batch, ticker, tag))
    if [bool(orders), is_bulk, account].count(True) != 1:
        raise click.UsageError("name either orders, or --batch, --ticker, --tag or --all, or --account")
    if account:
        return _cancel_account(invocation, yes)
    with invocation.run() as oms:
        wanted: Sequence[str] = orders
        if is_bulk:
            wanted = [x.client_order_id for x in oms.live(batch=batch, ticker=ticker, tag=tag)]
            wanted += [x.order_id for x in oms.seconds(batch=batch, ticker=ticker, tag=tag)]
            if not wanted:
                invocation.notes.say("no order of this ledger that fits may rest at the exchange")
        if invocation.environment == "prod" and (is_bulk or len(wanted) > 1):
            cost = worth(known(oms, wanted))
            invocation.confirm(f"Cancel {len(wanted)} orders, ${cost} of which is not filled, in prod?", yes=yes)
        with invocation.notes.progress() as progress:
            report = oms.cancel(orders, batch=batch, ticker=ticker, tag=tag, everything=everything, progress=progress)
        return answer_run(invocation, oms, report, "canceling")


def _cancel_account(invocation: Invocation, yes: bool) -> int:
    from oms.cli.halt import answer_clearing

    with invocation.run() as oms:
        if invocation.environment == "prod" and not yes:
            there = oms.resting_at_exchange()
            others = sum(order.client_order_id is None for order in there)
            invocation.confirm(
                f"Cancel all {len(there)} orders of the account, {others} of them placed elsewhere, in prod?", yes=yes
            )
        with invocation.notes.progress() as progress:
            report = oms.cancel_account(progress=progress)
        return answer_clearing(invocation, report, {})


@click.command(cls=Command, short_help="Change price, count or expiry of a resting order.")
@click.argument("order")
@click.option("--price", metavar="DOLLARS", help="New price of the leg the order was entered with.")
@click.option("--count", metavar="N", help="New total, what is filled included.")
@click.option("--expiration", metavar="TIME", help="Unix seconds or RFC 3339; 0 removes it.")
@pass_invocation
def amend(invocation: Invocation, order: str, price: str | None, count: str | None, expiration: str | None) -> int:
    """Change price, count or expiry of a resting order.

    The order keeps its ids. Another price or a higher count costs its place in the queue. Recorded before it is sent,
    and recovered after a crash, like an order; one change of an order at a time.
    """
    if price is None and count is None and expiration is None:
        raise click.UsageError("give --price, --count or --expiration")
    with invocation.run() as oms:
        expires = None if expiration is None else expiry(expiration)
        with invocation.notes.progress() as progress:
            report = oms.amend(order, price=price, count=count, expiration_time=expires, progress=progress)
        return answer_run(invocation, oms, report, "amending")


@click.command(cls=Command, short_help="Take contracts off a resting order; it keeps its place.")
@click.argument("order")
@click.option("--to", metavar="N", help="What may remain.")
@click.option("--by", metavar="N", help="How much less may remain; recorded as what may remain.")
@pass_invocation
def decrease(invocation: Invocation, order: str, to: str | None, by: str | None) -> int:
    """Take contracts off a resting order; it keeps its place.

    Recorded before it is sent, and recovered after a crash, like an order. To take everything off: `oms cancel`.
    """
    if (to is None) == (by is None):
        raise click.UsageError("give either --to N or --by N")
    with invocation.run() as oms:
        with invocation.notes.progress() as progress:
            report = oms.decrease(order, to=to, by=by, progress=progress)
        return answer_run(invocation, oms, report, "decreasing")


def expiry(text: str) -> int:
    """Unix seconds of what a person wrote; 0 for no expiry. Raises UsageError."""
    from oms.units import parse_time_us

    if text.isascii() and text.isdigit() and len(text) <= 11:
        return int(text)
    try:
        return parse_time_us(text) // 1_000_000
    except (ValueError, OverflowError):
        raise click.UsageError(f"--expiration {text!r} is neither Unix seconds nor an RFC 3339 time") from None


def known(oms: "Oms", names: Sequence[str]) -> "Iterator[OrderRecord]":
    """The ledger's orders of these names; what it does not know is left to the cancel itself to say."""
    from oms.errors import UnknownOrder

    for name in names:
        with suppress(UnknownOrder):
            yield oms.order(name)


@click.command(cls=Command, short_help="Withdraw orders that were never sent.")
@click.argument("orders", metavar="ORDER...", nargs=-1)
@click.option("--batch", metavar="NAME", help="Everything of this batch that was never sent.")
@pass_invocation
def withdraw(invocation: Invocation, orders: tuple[str, ...], batch: str | None) -> int:
    """Withdraw orders that were never sent.

    Nothing that may be at the exchange is touched: for that there is `oms cancel`.
    """
    if bool(orders) == (batch is not None):
        raise click.UsageError("name either orders or --batch NAME")
    with invocation.oms() as oms:
        return answer_run(invocation, oms, oms.withdraw(orders, batch=batch), "withdrawing")
