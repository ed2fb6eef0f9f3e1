"""`oms markets`: what there is to trade."""

import click

from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Command
from oms.cli.orders import answer_list, limit_option

# The words that the exchange filters by, and one for no filter.
STATUSES = ("open", "unopened", "paused", "closed", "settled", "all")


@click.command(cls=Command, short_help="List markets of the exchange.")
@click.option("--status", type=click.Choice(STATUSES), default="open", show_default=True, help="Of this status.")
@click.option("--search", metavar="TEXT", help="With this text in ticker or title.")
@limit_option
@pass_invocation
def markets(invocation: Invocation, status: str, search: str | None, limit: int | None) -> None:
    """List markets of the exchange."""
    from oms.cli.columns import MARKETS

    wanted = None if status == "all" else status
    with invocation.oms() as oms:
        answer_list(
            invocation, MARKETS, limit, lambda at_most: oms.markets(status=wanted, search=search, limit=at_most)
        )
