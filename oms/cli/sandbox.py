"""`oms sandbox`: a private exchange on this machine."""

import click

from oms.cli.options import Group


@click.group(cls=Group, short_help="Run a private exchange on this machine.")
def sandbox() -> None:
    """Run a private exchange on this machine."""
