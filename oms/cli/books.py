"""`oms fills`, `positions`, `pnl`, `balance`, `settlements` and `transfers`: the account's money."""

from typing import TYPE_CHECKING, Any

import click

from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Command
from oms.cli.orders import answer_list, limit_option
from oms.cli.reconcile import since_option

if TYPE_CHECKING:
    from oms.records import PnlReport

BY = ("market", "day", "tag", "batch")

quotes_option = click.option("--quotes", is_flag=True, help="Ask the exchange for the prices of open positions first.")


@click.command(cls=Command, short_help="List the account's trades.")
@click.option("--ticker", metavar="TICKER", help="Of this market.")
@since_option("Traded from this time on: 2026-11-22T09:00:00Z, 12h, 7d.")
@click.option("--order", metavar="ORDER", help="Of this order; also by the order_id of one made elsewhere.")
@limit_option
@pass_invocation
def fills(invocation: Invocation, ticker: str | None, since: int | None, order: str | None, limit: int | None) -> None:
    """List the account's trades.

    Newest first, also those of orders made elsewhere. Asks the ledger alone; `oms reconcile` brings it up to date.
    """
    from oms.cli.columns import FILLS

    with invocation.oms() as oms:
        answer_list(
            invocation,
            FILLS,
            limit,
            lambda at_most: oms.fills(ticker=ticker, since_us=since, order=order, limit=at_most),
        )


@click.command(cls=Command, short_help="Show open positions, what they cost and what they are worth.")
@click.option("--closed", is_flag=True, help="Also positions that are flat again.")
@quotes_option
@pass_invocation
def positions(invocation: Invocation, closed: bool, quotes: bool) -> None:
    """Show open positions, what they cost and what they are worth.

    From the account's trades and settlements, each beside what the exchange shows. Asks the ledger alone; `oms
    reconcile` brings it up to date.
    """
    from oms.cli.columns import POSITIONS

    with invocation.oms() as oms:
        found = oms.positions(closed=closed, quotes=quotes)
        invocation.answer.rows(POSITIONS, found)
        invocation.answer.done({"ok": True})
        for record in found:
            if record.agrees is False:
                where = f"{record.ticker}{_of(record.subaccount)}"
                theirs = record.exchange_position
                invocation.notes.warn(f"{where}: fills add up to {record.position}, the exchange shows {theirs}")


@click.command(cls=Command, short_help="Show profit and loss, and what does not tie out.")
@click.option("--by", type=click.Choice(BY), default="market", show_default=True, help="Add up by this.")
@quotes_option
@pass_invocation
def pnl(invocation: Invocation, by: str, quotes: bool) -> None:
    """Show profit and loss, and what does not tie out.

    Realized and unrealized, at average cost, less fees as booked: see docs/money.md. Asks the ledger alone; `oms
    reconcile` brings it up to date.
    """
    from oms.cli.columns import PNL, fields_of

    with invocation.oms() as oms:
        report = oms.pnl(by=by, quotes=quotes)
        # The lines are what a table lists; json has them among the fields, in jsonl and csv the total is the last row.
        if invocation.answer.form == "json":
            invocation.answer.done({"ok": True, **fields_of(report)})
        else:
            invocation.answer.rows(PNL, _rows(report))
            invocation.answer.done({"ok": True})
        for note in report.notes:
            invocation.notes.warn(note)
        if report.prices_at is not None:
            invocation.notes.say(f"open positions are valued at prices of {report.prices_at} or later")


def _rows(report: "PnlReport") -> list[dict[str, Any]]:
    from oms.cli.columns import fields_of

    every = [(report.by, line) for line in report.lines]
    return [{"by": by, **fields_of(line)} for by, line in [*every, ("total", report.total)]]


@click.command(cls=Command, short_help="List readings of the balance, each explained.")
@limit_option
@pass_invocation
def balance(invocation: Invocation, limit: int | None) -> None:
    """List readings of the balance, each explained.

    Newest first: what trades, settlements, fees, deposits, withdrawals and transfers did to it since the reading
    before, and what nothing explains. Every `oms reconcile` makes one.
    """
    from oms.cli.columns import BALANCES

    with invocation.oms() as oms:
        answer_list(invocation, BALANCES, limit, lambda at_most: oms.balances(limit=at_most))


@click.command(cls=Command, short_help="List markets that settled with contracts of the account.")
@limit_option
@pass_invocation
def settlements(invocation: Invocation, limit: int | None) -> None:
    """List markets that settled with contracts of the account.

    Newest first, each beside what the account's trades add up to.
    """
    from oms.cli.columns import SETTLEMENTS

    with invocation.oms() as oms:
        answer_list(invocation, SETTLEMENTS, limit, lambda at_most: oms.settlements(limit=at_most))


@click.command(cls=Command, short_help="List deposits, withdrawals and transfers.")
@limit_option
@pass_invocation
def transfers(invocation: Invocation, limit: int | None) -> None:
    """List deposits, withdrawals and transfers between subaccounts.

    Newest first, as `oms reconcile` last saw them: it asks for them when a balance has moved for no other reason, and
    with `--since`.
    """
    from oms.cli.columns import TRANSFERS

    with invocation.oms() as oms:
        answer_list(invocation, TRANSFERS, limit, lambda at_most: oms.transfers(limit=at_most))


def _of(subaccount: int) -> str:
    return f" of subaccount {subaccount}" if subaccount else ""
