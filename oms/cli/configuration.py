"""`oms config`: every setting with where it comes from."""

import os
from pathlib import Path

import click

from oms.cli import answer as stdout
from oms.cli.columns import cell
from oms.cli.invocation import Invocation, pass_invocation
from oms.cli.options import Group
from oms.cli.terminal import plain


@click.group(cls=Group, short_help="Show the configuration and where each value comes from.")
def config() -> None:
    """Show the configuration and where each value comes from."""


@config.command(short_help="Every value with its origin, secrets masked.")
@pass_invocation
def show(invocation: Invocation) -> None:
    """Every value with its origin, secrets masked."""
    from oms.cli.columns import SETTINGS, SettingRecord

    rows = invocation.config.rows()
    invocation.answer.rows(
        SETTINGS, [SettingRecord(key=key, value=value, origin=origin) for key, value, origin in rows]
    )
    invocation.answer.done({"ok": True})


@config.command(short_help="The file that is read.")
@pass_invocation
def path(invocation: Invocation) -> None:
    """The file that is read; where none is there, the place where one would be."""
    file = invocation.config.file
    place = file or _default_place()
    shown = None if place is None else str(place)
    if file is None:
        invocation.notes.say("there is no configuration file; the defaults hold")
    if invocation.answer.form == "table":
        stdout.write_text(f"{plain(cell(shown))}\n")
    else:
        invocation.answer.done({"ok": True, "path": shown, "exists": file is not None})


def _default_place() -> Path | None:
    from oms.config.sources import base_directory

    directory = base_directory(os.environ, "XDG_CONFIG_HOME", ".config")
    return None if directory is None else directory / "oms" / "config.toml"


@config.command(short_help="Check file, variables and flags; exit 2 when something is wrong.")
@pass_invocation
def validate(invocation: Invocation) -> None:
    """Check file, variables and flags; exit 2 when something is wrong."""
    config = invocation.config
    place = None if config.file is None else str(config.file)
    warnings = list(config.warnings)
    invocation.answer.done(
        {"ok": True, "path": place, "environment": str(config.environment), "warnings": warnings},
        {"file": place, "environment": str(config.environment), "result": "valid"},
    )
