"""`oms reconcile`: what is in doubt, what moved, and what does not add up."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from oms.cli.invocation import Invocation, error_fields, pass_invocation
from oms.cli.options import Command
from oms.cli.outcome import counted

if TYPE_CHECKING:
    from oms.records import ReconcileReport

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SHOWN = (
    *("environment", "resolved", "found", "absent", "late", "updated", "fills"),
    *("in_doubt", "queued", "external", "positions", "balance"),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _since(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """A moment: RFC 3339, a date, or how long ago (90s, 30m, 12h, 7d), as UTC microseconds."""
    if value is None:
        return None
    moment = _ago(value) or _moment(value)
    if moment is None:
        raise click.BadParameter(f"{value!r} is no time such as 2026-11-22T09:00:00Z, 2026-11-22, 12h or 7d")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def since_option(meaning: str) -> Callable[[Any], Any]:
    """The option --since TIME, as `since` in UTC microseconds."""
    return click.option("--since", metavar="TIME", callback=_since, help=meaning)


def _ago(text: str) -> datetime | None:
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not (number.isascii() and number.isdigit() and len(number) < 7):
        return None
    return datetime.now(UTC) - timedelta(**{_UNITS[unit]: int(number)})


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


@click.command(cls=Command, short_help="Resolve what is in doubt and compare ledger and exchange.")
@since_option("Compare from this time on: 2026-11-22T09:00:00Z, 12h, 7d.")
@click.option(
    "--wait",
    metavar="S",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    help="For the ledger, if it is busy.",
)
@pass_invocation
def reconcile(invocation: Invocation, since: int | None, wait: int) -> int:
    """Resolve what is in doubt and compare ledger and exchange.

    Brings orders, fills and positions up to date and lists every difference that a person should know of (exit 7).
    Sends no order.
    """
    from oms.cli.columns import BREAKS

    with invocation.run() as oms:
        with invocation.notes.progress() as progress:
            report = oms.reconcile(since_us=since, wait_s=wait, progress=progress)
        invocation.report_code = report.exit_code
        fields = _fields(invocation, report)
        # json carries the breaks among the report's fields; where there is none, a table shows the figures instead.
        if invocation.answer.form != "json" and (report.breaks or invocation.answer.form != "table"):
            invocation.answer.rows(BREAKS, report.breaks)
        invocation.answer.done(fields, _shown(report))
        _say(invocation, report)
        return report.exit_code


def _fields(invocation: Invocation, report: "ReconcileReport") -> dict[str, Any]:
    from oms.cli.columns import fields_of

    fields: dict[str, Any] = {"ok": report.exit_code == 0}
    if report.exit_code:
        fields["error"] = _error(invocation, report)
    return fields | dict(fields_of(report))


def _error(invocation: Invocation, report: "ReconcileReport") -> Any:
    if report.in_doubt:
        return error_fields("in_doubt", f"{report.in_doubt} still in doubt", invocation.command("reconcile"))
    if report.stop is not None:
        return error_fields(report.stop.code, report.stop.message, report.stop.hint)
    return error_fields(
        "breaks", f"{counted(len(report.breaks), 'difference')} found", "each break carries a suggestion"
    )


def _shown(report: "ReconcileReport") -> dict[str, Any]:
    return {name: getattr(report, name) for name in SHOWN} | {"breaks": len(report.breaks)}


def _say(invocation: Invocation, report: "ReconcileReport") -> None:
    notes = invocation.notes
    for note in report.notes:
        notes.say(note)
    notes.say(
        f"reconciled {report.environment}: {report.resolved} resolved ({report.found} found, {report.absent} absent), "
        f"{counted(report.updated, 'order')} moved, {counted(report.fills, 'new fill')}, {report.in_doubt} in doubt, "
        f"{counted(len(report.breaks), 'difference')}"
    )
    if report.halted:
        notes.say(f"sending is halted: {report.halted}")
        notes.say(f"{report.queued} queued; nothing is sent before {invocation.command('unhalt')}")
    elif report.queued:
        notes.say(f"{report.queued} queued; send with: {invocation.command('submit')}")
    if report.stop is not None:
        notes.error(report.stop.message, report.stop.hint)
