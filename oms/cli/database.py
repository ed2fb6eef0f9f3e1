"""`oms db`: the ledger as a file."""

from pathlib import Path

import click

from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Group


@click.group(cls=Group, short_help="Back up, restore or check the ledger.")
def db() -> None:
    """Back up, restore or check the ledger."""


@db.command(short_help="Copy the ledger while it is in use.")
@click.argument("to", type=click.Path(path_type=Path))
@pass_invocation
def backup(invocation: Invocation, to: Path) -> None:
    """Copy the ledger to TO while it may be in use; the copy is whole and checked."""
    with invocation.oms() as oms:
        place = str(oms.backup(to))
        invocation.answer.done({"ok": True, "backup": place}, {"backup": place})


@db.command(short_help="Put a backup in the ledger's place.")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def restore(invocation: Invocation, source: Path, yes: bool) -> None:
    """Put a backup in the ledger's place.

    The next run reads the account's orders before it sends anything, since the backup may not know the latest.
    """
    with invocation.oms() as oms:
        if invocation.environment == "prod":
            invocation.confirm(f"Replace the ledger of prod by {source}?", yes=yes)
        oms.restore(source)
        invocation.answer.done({"ok": True, "restored": str(source)}, {"restored": str(source)})


@db.command(short_help="Check the whole ledger: file, hash chain, projections.")
@pass_invocation
def check(invocation: Invocation) -> int:
    """Check the whole ledger: file, hash chain, projections. Exit code 7 when something is wrong."""
    from oms.cli.doctor import answer_checks

    with invocation.oms() as oms:
        return answer_checks(invocation, oms.check())
