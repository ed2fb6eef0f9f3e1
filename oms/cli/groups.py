"""`oms groups` and `oms group ...`: orders that the exchange cancels together."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from oms.cli import answer as stdout
from oms.cli.invocation import Invocation, error_fields, pass_invocation
from oms.cli.options import Command, Group

if TYPE_CHECKING:
    from oms.app import Oms
    from oms.records import ActionReport


@click.command(cls=Command, short_help="List order groups.")
@click.option("--offline", is_flag=True, help="Do not ask the exchange.")
@pass_invocation
def groups(invocation: Invocation, offline: bool) -> None:
    """List order groups: those made here by their names, and those made elsewhere."""
    from oms.cli.columns import GROUPS

    with invocation.oms() as oms:
        invocation.answer.rows(GROUPS, oms.groups(ask_exchange=not offline), stdout.TERMINAL_ROWS)
        invocation.answer.done({"ok": True})


@click.group(cls=Group, short_help="Make, trigger, reset, limit or delete an order group.")
def group() -> None:
    """Make, trigger, reset, limit or delete an order group.

    When more contracts of a group match within 15 seconds than its limit allows, the exchange cancels all its orders
    and takes no new ones until it is reset. GROUP is a name given here or an order_group_id.
    """


@group.command()
@click.option("--limit", required=True, metavar="N", help="Contracts that may match within 15 seconds.")
@click.option("--name", metavar="X", help="What it is called in this ledger.")
@click.option("--subaccount", type=click.IntRange(0, 63), metavar="N", help="Of which subaccount.")
@pass_invocation
def create(invocation: Invocation, limit: str, name: str | None, subaccount: int | None) -> int:
    """Make an order group, at most once.

    Where no answer comes, it is looked for among the groups of the account; what cannot be told waits for a person.
    """
    return _acted(invocation, lambda oms: oms.create_group(limit, name=name, subaccount=subaccount))


@group.command()
@click.argument("name", metavar="GROUP")
@pass_invocation
def trigger(invocation: Invocation, name: str) -> int:
    """Cancel all orders of a group; it takes none until it is reset."""
    return _acted(invocation, lambda oms: oms.trigger_group(name))


@group.command()
@click.argument("name", metavar="GROUP")
@pass_invocation
def reset(invocation: Invocation, name: str) -> int:
    """Let a group take orders again, its count at zero."""
    return _acted(invocation, lambda oms: oms.reset_group(name))


@group.command()
@click.argument("name", metavar="GROUP")
@click.argument("limit", metavar="N")
@pass_invocation
def limit(invocation: Invocation, name: str, limit: str) -> int:
    """Change the limit of a group; one that has matched as much already is triggered at once."""
    return _acted(invocation, lambda oms: oms.limit_group(name, limit))


@group.command()
@click.argument("name", metavar="GROUP")
@pass_invocation
def delete(invocation: Invocation, name: str) -> int:
    """Cancel all orders of a group and remove it for good."""
    return _acted(invocation, lambda oms: oms.delete_group(name))


@group.command()
@click.argument("action", type=int)
@click.option("--order-group-id", metavar="ID", help="It made this group.")
@click.option("--absent", is_flag=True, help="It made none.")
@pass_invocation
def settle(invocation: Invocation, action: int, order_group_id: str | None, absent: bool) -> int:
    """Decide by hand what became of a parked action."""
    return _acted(invocation, lambda oms: oms.settle_action(action, order_group_id=order_group_id, absent=absent))


def _acted(invocation: Invocation, act: "Callable[[Oms], ActionReport]") -> int:
    from oms.cli.columns import fields_of

    with invocation.run() as oms:
        report = act(oms)
        invocation.report_code = report.exit_code
        done = report.action
        fields: dict[str, Any] = {"ok": report.exit_code == 0}
        if report.exit_code:
            fields["error"] = _why(invocation, report)
        shown = dict(fields_of(done))
        told = {"environment": report.environment, "notes": report.notes, "members": report.members}
        invocation.answer.done(fields | told | shown, shown)
        for note in report.notes:
            invocation.notes.say(note)
        if report.exit_code:
            error = fields["error"]
            invocation.notes.error(str(error["message"]), str(error["hint"]))
        return report.exit_code


def _why(invocation: Invocation, report: "ActionReport") -> "Mapping[str, Any]":
    done = report.action
    if done.state == "accepted":  # done, and yet its orders rest, or could not be read
        return error_fields("resting", report.notes[-1], invocation.command("reconcile"))
    why = done.detail or done.reason or done.state
    code = "in_doubt" if done.in_doubt else done.reason if done.reason == "halted" else done.state
    hint = invocation.command("reconcile") if done.in_doubt else ""
    hint = invocation.command("unhalt") if done.reason == "halted" else hint
    return error_fields(code, f"{done.kind} {done.target}: {done.state} ({why})", hint)
