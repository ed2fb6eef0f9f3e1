"""`oms sandbox`: a private exchange on this machine."""

from pathlib import Path
from typing import Any

import click

from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Group
from oms.errors import OmsError

MILLISECONDS: dict[str, Any] = {"metavar": "MS", "type": click.IntRange(min=0), "default": 0}


class SandboxFailed(OmsError):
    """The sandbox could not start."""

    code = "sandbox_failed"


class SandboxBusy(OmsError):
    """Another sandbox serves that directory."""

    code = "sandbox_busy"
    exit_code = 6


@click.group(cls=Group, short_help="Run a private exchange on this machine.")
def sandbox() -> None:
    """Run a private exchange on this machine.

    It speaks Kalshi's wire words on loopback, checks signatures, matches orders, and keeps its state in a file.
    With `environment = "sandbox"` oms starts one by itself; `serve` is for faults, other programs and watching.
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
