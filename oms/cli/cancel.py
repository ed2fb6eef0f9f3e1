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
@click.argument("orders", metavar="ORDER...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def cancel(invocation: Invocation, orders: tuple[str, ...], yes: bool) -> int:
    """Cancel orders at the exchange.

    ORDER is an order_id or client_order_id; a unique beginning of 8 characters is enough. The cancel of an order in
    doubt waits until the order's fate is known.
    """
    with invocation.run() as oms:
        if len(orders) > 1 and invocation.environment == "prod":
            cost = worth(known(oms, orders))
            invocation.confirm(f"Cancel {len(orders)} orders, ${cost} of which is not filled, in prod?", yes=yes)
        with invocation.notes.progress() as progress:
            report = oms.cancel(orders, progress=progress)
        return answer_run(invocation, oms, report, "canceling")


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
