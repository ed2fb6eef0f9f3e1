"""`oms report`: what happened, in figures on stdout or as a page with charts."""

from pathlib import Path

import click

from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Command
from oms.cli.reconcile import since_option


@click.command(cls=Command, short_help="Report outcomes, latency, fills, result and rate, also as a page.")
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="Write a page with charts there.")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@since_option("What happened from this time on: 2026-11-22T09:00:00Z, 12h, 7d.")
@pass_invocation
def report(invocation: Invocation, html: Path | None, force: bool, since: int | None) -> None:
    """Report outcomes, latency, fills, result and rate, also as a page.

    Asks the ledger alone; `oms reconcile` brings fills and settlements up to date. The page is one file that is read
    without a network.
    """
    with invocation.oms() as oms:
        found = oms.report(since_us=since, html=html, force=force)
        fields = {"ok": True, **found.fields, **({} if html is None else {"html": str(html)})}
        invocation.answer.done(fields, {**found.pairs, **({} if html is None else {"html": str(html)})})
