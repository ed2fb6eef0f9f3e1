"""`oms sandbox`: a private exchange on this machine, and what its operator can make happen there."""

import json
from pathlib import Path
from typing import Any

import click

from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Group
from oms.cli.sandbox_market import DIRECTORY, SandboxFailed, ask, market
from oms.errors import OmsError

MILLISECONDS: dict[str, Any] = {"metavar": "MS", "type": click.IntRange(min=0), "default": 0}


class SandboxBusy(OmsError):
    """Another sandbox serves that directory."""

    code = "sandbox_busy"
    exit_code = 6


@click.group(cls=Group, short_help="Run a private exchange on this machine.")
def sandbox() -> None:
    """Run a private exchange on this machine.

    It speaks Kalshi's wire words on loopback, checks signatures, matches orders, and keeps its state in a file.
    With `environment = "sandbox"` oms starts one by itself; `serve` is for faults, other programs and watching.
    `market` and `control` make things happen there, `load` gives its account a long past.
    """


@sandbox.command(short_help="Serve in the foreground until Ctrl-C.")
@click.option("--dir", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="For its files and key.")
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), default=0, help="0 takes the last one if free.")
@click.option("--v1-compat", is_flag=True, help="The retired V1 order endpoints work.")
@click.option("--latency-ms", help="Delay of every answer.", **MILLISECONDS)
@click.option("--read-lag-ms", help="How old the state is that reads show.", **MILLISECONDS)
@click.option(
    "--tier", metavar="TIER", default="advanced", help="Rate limits: basic, advanced, premier, ... unlimited."
)
@click.option(
    "--dedupe", type=click.Choice(["forever", "open_only"]), default="forever", help="How long an id is taken."
)
@click.option("--skew-s", metavar="S", type=click.IntRange(min=0), default=2, help="Allowed error of signed times.")
@click.option(
    "--faults", metavar="JSON|FILE", default="", help="What goes wrong: a list of rules, see docs/sandbox.md."
)
@click.option("--fault-rate", metavar="SHARE", type=click.FloatRange(0, 1), default=0.0, help="Faults drawn by seed.")
@click.option("--seed", metavar="TEXT", default="0", help="Decides first quotes and faults.")
@click.option("--idle-exit-s", metavar="S", type=click.IntRange(min=0), default=0, help="Stop when unused; 0: never.")
@pass_invocation
def serve(invocation: Invocation, /, **given: Any) -> int:
    """Serve in the foreground until Ctrl-C.

    Address, key id and key file are in endpoint.json in its directory.
    """
    from oms.sandbox.options import ServeOptions
    from oms.sandbox.server import IN_USE
    from oms.sandbox.server import serve as run_server

    directory: Path = given["dir"] or invocation.config.sandbox_dir
    options = ServeOptions(**{**given, "dir": directory})
    try:
        code = run_server(options)
    except ValueError as wrong:
        raise click.UsageError(str(wrong)) from wrong
    except OSError as failed:
        raise SandboxFailed(f"the sandbox cannot use {directory} or port {options.port}: {failed.strerror}") from failed
    if code == IN_USE:
        raise SandboxBusy(f"another sandbox serves {directory}", hint="name another one with --dir")
    return code


@sandbox.command(short_help="Give its account a long past, at once.")
@click.option("--dir", **DIRECTORY)
@click.option("--orders", metavar="N", type=click.IntRange(min=1), required=True, help="So many orders.")
@click.option("--fills", metavar="N", type=click.IntRange(min=0), default=0, help="So many fills of them.")
@click.option("--resting", metavar="N", type=click.IntRange(min=0), default=0, help="So many still rest.")
@click.option("--days", metavar="N", type=click.IntRange(min=1), default=30, help="Since so long ago.")
@pass_invocation
def load(invocation: Invocation, /, dir: Path | None, orders: int, fills: int, resting: int, days: int) -> None:
    """Give its account a long past, at once.

    Orders, fills, positions and money fit together as if they had been traded: 100000 orders and 300000 fills take
    about ten seconds. No sandbox may serve the directory meanwhile; one that oms started ends after an idle minute.
    """
    from oms.sandbox.bulk import Served, Wanted
    from oms.sandbox.bulk import load as load_bulk
    from oms.sandbox.options import ServeOptions

    directory = dir or invocation.config.sandbox_dir
    try:
        made = load_bulk(ServeOptions(dir=directory), Wanted(orders, fills, resting, days))
    except Served:
        raise SandboxBusy(f"a sandbox serves {directory}", hint="stop it first, or name another with --dir") from None
    except ValueError as wrong:
        raise click.UsageError(str(wrong)) from wrong
    invocation.answer.done({"ok": True, "dir": str(directory), **made._asdict()})


@sandbox.command(short_help="Look at its settings, or change them.")
@click.argument("change", metavar="[JSON]", required=False)
@click.option("--dir", **DIRECTORY)
@pass_invocation
def control(invocation: Invocation, /, change: str | None, dir: Path | None) -> None:
    """Look at its settings, or change them with a JSON object.

    For example '{"pause": "trading"}' or '{"read_lag_ms": 500}'. docs/sandbox.md lists every key.
    """
    try:
        wanted = json.loads(change or "{}")
    except ValueError as wrong:
        raise click.UsageError(f"that is not JSON: {wrong}") from wrong
    if not isinstance(wanted, dict):
        raise click.UsageError("a change is a JSON object")
    invocation.answer.done({"ok": True, **ask(invocation, dir, lambda remote: remote.control(wanted))})


sandbox.add_command(market)
