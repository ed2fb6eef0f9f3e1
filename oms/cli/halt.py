"""`oms unhalt`: let sending go on after something has stopped it."""

import click

from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Command


@click.command(cls=Command, short_help="Let sending go on after a halt.")
@pass_invocation
def unhalt(invocation: Invocation) -> None:
    """Let sending go on after a halt.

    A second order under one client_order_id halts sending in every process until a person has looked: see
    `oms reconcile` and `oms why ORDER` first.
    """
    with invocation.oms() as oms:
        reason = oms.unhalt()
    invocation.answer.done({"ok": True, "was_halted": reason is not None, "reason": reason})
    if reason is None:
        invocation.notes.say("sending was not halted")
    else:
        invocation.notes.say(f"sending goes on; it was halted because {reason}")
