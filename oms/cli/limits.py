"""`oms limits`: the trader's own limits, what is used of each and what is left."""

import click

from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Command


@click.command(cls=Command, short_help="Show your limits with what is used and left of each.")
@pass_invocation
def limits(invocation: Invocation) -> None:
    """Show your limits with what is used and left of each.

    Asks the ledger only: orders that rest, are in doubt or queued, orders made elsewhere and positions as of the last
    reconcile with the trades since. The limits themselves stand under [limits] in the configuration.
    """
    from oms.app.limits import LimitRecord
    from oms.cli.columns import Column, View, cell

    def column(title: str, *, number: bool = False) -> Column:
        return Column(title, lambda fields: cell(fields.get(title)), number=number)

    columns = (column("limit"), column("of"), column("allowed", number=True), column("used", number=True))
    view = View("limits", LimitRecord, (*columns, column("left", number=True), column("unit")))
    with invocation.oms() as oms:
        invocation.answer.rows(view, oms.limits())
        invocation.answer.done({"ok": True})
