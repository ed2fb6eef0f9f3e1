"""`oms verify`: the ledger, and the exchange beside it, before an independent judge."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from oms.cli import answer as stdout
from oms.cli import terminal
from oms.cli.columns import Column, View, cell
from oms.cli.invocation import Invocation, error_fields, pass_invocation
from oms.cli.options import Command
from oms.cli.outcome import counted

if TYPE_CHECKING:
    from oms.lab.judge import Checked

DIFFERENCES = 7
SHOWN = 50


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that does not hold."""

    client_order_id: str | None
    sentence: str


class VerifiedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One check of one invariant of docs/reliability.md."""

    invariant: str
    check: str
    count: int  # things looked at
    of: str  # what they are
    ok: bool
    breaches: tuple[Breach, ...]
    fix: str


VERIFIED = View(
    "checks",
    VerifiedRecord,
    (
        Column("result", lambda check: "OK" if check["ok"] else "BROKEN"),
        Column("invariant", lambda check: cell(check["invariant"])),
        Column("check", lambda check: cell(check["check"])),
        Column("count", lambda check: cell(check["count"]), number=True),
        Column("of", lambda check: cell(check["of"])),
        Column("breaches", lambda check: cell(len(check["breaches"])), number=True),
    ),
)


@click.command(cls=Command, short_help="Hold ledger and exchange to every promise, from outside.")
@click.option("--offline", is_flag=True, help="The ledger alone; do not ask the exchange.")
@click.option(
    "--exchange",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A sandbox's exchange.sqlite3 instead.",
)
@pass_invocation
def verify(invocation: Invocation, offline: bool, exchange: Path | None) -> int:
    """Hold ledger and exchange to every promise, from outside.

    A judge that shares no code with the rest of oms reads the ledger, and all that the exchange says of the account
    since the ledger's oldest order. Exit code 7 when anything does not hold. Changes nothing; run `oms reconcile`
    first, or what has moved since the last one counts as a difference.
    """
    from oms.lab.verification import verify as verified

    if offline and exchange is not None:
        raise click.UsageError("--offline asks no exchange, and --exchange names one: give one of them")
    checked = verified(invocation.config, is_offline=offline, exchange=exchange)
    # Work that is left to do is no breach: nobody has said that this is a time of rest.
    asked = [each for each in checked if each.rule.needs != "quiet"]
    records = [_record(each) for each in asked]
    broken = [record for record in records if not record.ok]
    if invocation.answer.form == "table":
        _tell(broken)
    invocation.answer.rows(VERIFIED, records)
    invocation.answer.done(_fields(invocation, broken, "none" if offline else str(exchange or "live")))
    _say(invocation, records, broken, sum(len(each.findings) for each in checked if each.rule.needs == "quiet"))
    return DIFFERENCES if broken else 0


def _record(checked: "Checked") -> VerifiedRecord:
    rule = checked.rule
    return VerifiedRecord(
        invariant=rule.invariant,
        check=rule.name,
        count=checked.seen,
        of=rule.things,
        ok=not checked.findings,
        breaches=tuple(
            Breach(client_order_id=each.client_order_id, sentence=each.sentence) for each in checked.findings
        ),
        fix=rule.then if checked.findings else "",
    )


def _fields(invocation: Invocation, broken: list[VerifiedRecord], exchange: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"ok": not broken, "environment": invocation.environment, "exchange": exchange}
    if broken:
        fields["error"] = error_fields("breaches", _summary(broken), broken[0].fix)
    return fields


def _tell(broken: Iterable[VerifiedRecord]) -> None:
    """The findings, where a person reads: what is wrong with which order, and what to do next."""
    lines = [line for record in broken for line in _lines(record)]
    for line in lines[:SHOWN]:
        stdout.write_text(f"{terminal.plain(line)}\n")
    if len(lines) > SHOWN:
        stdout.write_text(f"and {len(lines) - SHOWN} more lines; -o json has everything\n")
    if lines:
        stdout.write_text("\n")


def _lines(record: VerifiedRecord) -> Iterator[str]:
    for breach in record.breaches:
        yield f"BROKEN {record.invariant}: {breach.sentence}"
    yield f"       next: {record.fix}"


def _summary(broken: Iterable[VerifiedRecord]) -> str:
    names = dict.fromkeys(record.invariant for record in broken)
    breaches = sum(len(record.breaches) for record in broken)
    return f"{breaches} breach{'' if breaches == 1 else 'es'} of {', '.join(names)}"


def _say(invocation: Invocation, records: list[VerifiedRecord], broken: list[VerifiedRecord], unfinished: int) -> None:
    notes = invocation.notes
    if unfinished:
        step = invocation.command("reconcile")
        notes.say(f"{counted(unfinished, 'command')} not finished yet, which breaks no promise; go on with: {step}")
    if broken:
        notes.error(_summary(broken), broken[0].fix)
    else:
        invariants = len({record.invariant for record in records})
        notes.say(f"{counted(len(records), 'check')} of {counted(invariants, 'invariant')}, all hold")
