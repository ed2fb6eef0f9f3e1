"""`oms doctor`: what oms needs, what it found, and the fix for each finding."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from oms.cli.invocation import Invocation, error_fields, pass_invocation
from oms.cli.options import Command

if TYPE_CHECKING:
    from oms.records import CheckRecord

DIFFERENCES = 7


@click.command(cls=Command, short_help="Check what oms needs; each finding comes with its fix.")
@pass_invocation
def doctor(invocation: Invocation) -> int:
    """Check what oms needs; each finding comes with its fix.

    Exit code 7 when something is wrong. Changes nothing.
    """
    with invocation.oms() as oms:
        return answer_checks(invocation, oms.doctor())


def answer_checks(invocation: Invocation, checks: "Iterable[CheckRecord]") -> int:
    """Answer with a list of checks; 7 when one of them found something wrong."""
    from oms.cli.columns import CHECKS

    records = list(checks)
    wrong = [record for record in records if record.ok is False]
    invocation.answer.rows(CHECKS, records)
    if not wrong:
        invocation.answer.done({"ok": True})
        return 0
    message = f"{len(wrong)} of {len(records)} checks found something wrong: {', '.join(each.name for each in wrong)}"
    invocation.answer.done({"ok": False, "error": error_fields("checks", message, wrong[0].fix)})
    invocation.notes.error(message)
    return DIFFERENCES
