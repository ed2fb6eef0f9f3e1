"""`oms status`: the ledger and the exchange at a glance."""

import click

from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Command


@click.command(cls=Command, short_help="Show where the ledger and the exchange stand.")
@click.option("--offline", is_flag=True, help="Do not ask the exchange.")
@pass_invocation
def status(invocation: Invocation, offline: bool) -> None:
    """Show where the ledger and the exchange stand."""
    from oms.cli.columns import fields_of

    with invocation.oms() as oms:
        report = oms.status(ask_exchange=not offline)
        fields = fields_of(report)
        invocation.answer.done({"ok": True, **fields}, fields)
        if report.parked:
            invocation.notes.say(f"parked orders wait for a decision: {invocation.command('orders', '--in-doubt')}")
        elif report.in_doubt or report.on_wire:
            invocation.notes.say(f"resolve what is in doubt with: {invocation.command('reconcile')}")
        if report.halted:
            step = invocation.command("reconcile")
            notes = f"sending is halted: {report.halted}; look with {step}, then {invocation.command('unhalt')}"
            invocation.notes.say(notes)
        elif report.queued and report.holder is None:
            invocation.notes.say(f"send what is queued with: {invocation.command('submit')}")
