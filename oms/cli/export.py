"""`oms export`: orders, fills or events as csv, jsonl or parquet, on stdout or into a file."""

import sys
from pathlib import Path
from typing import Any

import click

from oms.cli import answer as stdout
from oms.cli import terminal
from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Command
from oms.cli.reconcile import since_option

FORMATS = ("csv", "jsonl", "parquet")


@click.command(cls=Command, short_help="Write orders, fills or events as csv, jsonl or parquet.")
@click.argument("what", metavar="orders|fills|events", type=click.Choice(["orders", "fills", "events"]))
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: what --out ends in, else csv.")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Write this file, whole or not at all.")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@since_option("Recorded (fills: traded) from this time on: 2026-11-22T09:00:00Z, 12h, 7d.")
@click.option("--batch", metavar="NAME", help="Of this batch.")
@pass_invocation
def export(
    invocation: Invocation,
    what: str,
    form: str | None,
    out: Path | None,
    force: bool,
    since: int | None,
    batch: str | None,
) -> None:
    """Write orders, fills or events as csv, jsonl or parquet.

    All of them, oldest first, on stdout unless a file is named. Asks the ledger alone, also while another process
    writes it. Parquet needs the extra: pip install 'oms[parquet]'.
    """
    form = form or _form(invocation, out)
    if out is None:
        _check_stdout(invocation, form)
    with invocation.oms() as oms:
        to: Any = _Stdout() if out is None else out
        rows = oms.export(what, to, form=form, since_us=since, batch=batch, force=force)
        if out is not None:
            invocation.answer.done({"ok": True, "what": what, "format": form, "file": str(out), "rows": rows})


def _form(invocation: Invocation, out: Path | None) -> str:
    if out is not None:
        ending = out.suffix.removeprefix(".").lower()
        return ending if ending in FORMATS else "csv"
    asked = invocation.settings.output
    return asked if asked in FORMATS else "csv"


def _check_stdout(invocation: Invocation, form: str) -> None:
    if form == "parquet":
        raise click.UsageError("parquet is no text: name a file with --out FILE")
    asked = invocation.settings.output
    if asked not in (None, form):
        raise click.UsageError(f"-o {asked} is no form of export on stdout: give --format csv or jsonl, or --out FILE")


class _Stdout:
    """stdout as a file to write to; a terminal is shown no control characters."""

    def __init__(self) -> None:
        self._is_terminal = terminal.is_terminal(sys.stdout)

    def write(self, data: bytes) -> int:
        if self._is_terminal:
            stdout.write_text("".join(f"{terminal.plain(line)}\n" for line in data.decode().splitlines()))
        else:
            stdout.write(data)
        return len(data)
