"""`oms halt` and `oms unhalt`: stop sending in every process, and let it go on."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oms.cli.invocation import Invocation, error_fields, pass_invocation
from oms.cli.options import Command
from oms.cli.outcome import counted

if TYPE_CHECKING:
    from oms.records import ClearReport

_LEDGER = click.option(
    "--ledger",
    "ledger",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="This ledger, whatever the configuration says.",
)


@click.command(cls=Command, short_help="Stop sending in every process.")
@click.option("--reason", metavar="TEXT", help="Why; `oms status` and every run that is stopped say it.")
@click.option("--cancel", "clears", is_flag=True, help="Then withdraw what is queued and cancel what rests.")
@_LEDGER
@click.option("--yes", is_flag=True, help="Do not ask before canceling.")
@pass_invocation
def halt(invocation: Invocation, reason: str | None, clears: bool, ledger: Path | None, yes: bool) -> int:
    """Stop sending in every process that uses the ledger, at once, until `oms unhalt`.

    Works while another process holds the ledger, with a damaged ledger, a broken configuration or a full disk. Cancels
    go on. --cancel also withdraws what is queued, cancels what rests, and has the exchange cancel everything of the
    account, orders placed elsewhere too; nothing is sent for a minute after that.
    """
    if clears and ledger is not None:
        raise click.UsageError("--cancel needs the configured exchange: it cannot go with --ledger")
    reason = (reason or "").strip() or "halted by hand"
    problem, told = _halt(invocation, reason, ledger)
    fields: dict[str, Any] = {"ok": True, "halted": told[0]["reason"], "ledgers": told}
    shown = {f"halted {each['ledger']}": each["reason"] for each in told}
    if not clears:
        invocation.answer.done(fields, shown)
        return 0
    if problem:
        error = error_fields("bad_config", f"halted, but nothing was canceled: {problem}", "mend it, then run it again")
        invocation.answer.done({**fields, "ok": False, "error": error}, shown)
        invocation.notes.error(str(error["message"]), str(error["hint"]))
        return 2
    return _clear(invocation, fields, yes)


def _halt(invocation: Invocation, reason: str, ledger: Path | None) -> tuple[str, list[dict[str, Any]]]:
    """What is wrong with the configuration ("": nothing), and what was halted; at least one ledger is."""
    from oms.ledger.halt import halt_path

    problem, paths = "", [ledger.absolute()] if ledger is not None else []
    if not paths:
        paths, problem = _paths(invocation)
    if problem:
        invocation.notes.warn(f"{problem}; halting every ledger that it may have meant")
    told = []
    for path in paths:
        halted, no_row = halt_path(Path(os.path.realpath(path)), reason, _now_us())
        told.append({"ledger": str(path), "reason": halted.reason})
        invocation.notes.say(f"halted {path}: {halted.reason}")
        if no_row:
            invocation.notes.fact(ledger=path, row=no_row)
    way = f"--ledger {paths[0]}" if ledger is not None or problem else ""
    invocation.notes.say(f"nothing is sent before: {invocation.command('unhalt', *way.split(' ', 1) if way else ())}")
    return problem, told


def _paths(invocation: Invocation) -> tuple[list[Path], str]:
    from oms.app.ledger_paths import ledger_paths

    flags = {"config": invocation.settings.config, "environment": invocation.settings.environment}
    return ledger_paths({name: value for name, value in flags.items() if value is not None}, os.environ)


def _now_us() -> int:
    from oms.venue.clock import system_now_us

    return system_now_us()


def _clear(invocation: Invocation, fields: dict[str, Any], yes: bool) -> int:
    with invocation.run() as oms:
        if invocation.environment == "prod":
            question = "Withdraw what is queued and cancel every order of the account, also those placed elsewhere?"
            invocation.confirm(question, yes=yes)
        with invocation.notes.progress() as progress:
            report = oms.clear(progress=progress)
        return answer_clearing(invocation, report, fields)


def answer_clearing(invocation: Invocation, report: "ClearReport", fields: dict[str, Any]) -> int:
    """Answer what was done to leave nothing resting; its exit code."""
    from oms.cli.columns import fields_of

    invocation.report_code = report.exit_code
    notes = invocation.notes
    for note in report.notes:
        notes.say(note)
    answer = fields | {"ok": report.exit_code == 0}
    if report.exit_code:
        answer["error"] = _why(invocation, report)
    told = dict(fields_of(report))
    left = len(report.resting) if report.resting is not None else None
    shown = {name: value for name, value in told.items() if name not in ("stop", "notes", "exit_code")}
    invocation.answer.done(answer | told, {**shown, "resting": "unknown" if left is None else left})
    rest = "what still rests could not be read" if left is None else f"{counted(left, 'order')} still rest"
    notes.say(
        f"{report.withdrawn} withdrawn, {counted(report.canceled, 'order')} of this ledger and {report.external} of"
        f" others canceled; {rest}"
    )
    for order in (report.resting or ())[:20]:
        notes.say(f"  still rests: {order.order_id} {order.ticker or ''}")
    if report.stop is not None:
        notes.error(report.stop.message, report.stop.hint)
    return report.exit_code


def _why(invocation: Invocation, report: "ClearReport") -> Any:
    if report.in_doubt:
        return error_fields("in_doubt", f"{report.in_doubt} in doubt", invocation.command("reconcile"))
    if report.stop is not None:
        return error_fields(report.stop.code, report.stop.message, report.stop.hint)
    if report.resting is None:
        return error_fields("unreachable", "what still rests could not be read", invocation.command("reconcile"))
    return error_fields("resting", f"{counted(len(report.resting), 'order')} still rest", "run it again")


@click.command(cls=Command, short_help="Let sending go on after a halt.")
@_LEDGER
@pass_invocation
def unhalt(invocation: Invocation, ledger: Path | None) -> int:
    """Let sending go on after a halt.

    A second order under one client_order_id halts sending too, in every process until a person has looked: see
    `oms reconcile` and `oms why ORDER` first.
    """
    from oms.errors import LedgerBusy, LedgerFailed
    from oms.ledger.halt import HaltFile, lift_path

    path = Path(os.path.realpath(ledger)) if ledger is not None else _configured(invocation)
    before = _reason(path)
    was_set, problem = lift_path(path)
    if problem:
        is_full = "full" in problem
        hint = "free some space there" if is_full else "close the program that holds it"
        kind = LedgerFailed if is_full else LedgerBusy
        raise kind(f"the halt of {path} stays: {problem}", hint=f"{hint}, then run it again")
    was_halted = before is not None or was_set
    invocation.answer.done({"ok": True, "was_halted": was_halted, "reason": before})
    if not was_halted:
        invocation.notes.say("sending was not halted")
    else:
        invocation.notes.say(f"sending goes on; it was halted because {before}")
    assert not HaltFile(path).is_set()
    return 0


def _configured(invocation: Invocation) -> Path:
    from oms.ledger.engine import real_path

    return real_path(invocation.config.ledger_url)


def _reason(path: Path) -> str | None:
    from oms.ledger.halt import reason_at

    return reason_at(path)
