"""The table of commands. A command's module is imported when it is called, never to print a list of names."""

from importlib import import_module

import click

from oms import __version__
from oms.cli.options import Command, Group

# name: (module under oms.cli, object in it, the line that --help shows; a test holds it equal to the command's own).
COMMANDS = {
    "submit": ("submit", "submit", "Record orders, then send each of them once."),
    "reconcile": ("reconcile", "reconcile", "Resolve what is in doubt and compare ledger and exchange."),
    "cancel": ("cancel", "cancel", "Cancel orders at the exchange."),
    "amend": ("cancel", "amend", "Change price, count or expiry of a resting order."),
    "decrease": ("cancel", "decrease", "Take contracts off a resting order; it keeps its place."),
    "withdraw": ("cancel", "withdraw", "Withdraw orders that were never sent."),
    "orders": ("orders", "orders", "List orders of the ledger."),
    "why": ("orders", "why", "Tell what is known of one order, and how it is known."),
    "resolve": ("orders", "resolve", "Decide a parked order by hand, or note a second one."),
    "halt": ("halt", "halt", "Stop sending in every process."),
    "unhalt": ("halt", "unhalt", "Let sending go on after a halt."),
    "groups": ("groups", "groups", "List order groups."),
    "group": ("groups", "group", "Make, trigger, reset, limit or delete an order group."),
    "breaks": ("orders", "breaks", "List what did not fit at the last reconcile."),
    "batches": ("orders", "batches", "List the batches that were recorded."),
    "fills": ("books", "fills", "List the account's trades."),
    "positions": ("books", "positions", "Show open positions, what they cost and what they are worth."),
    "pnl": ("books", "pnl", "Show profit and loss, and what does not tie out."),
    "balance": ("books", "balance", "List readings of the balance, each explained."),
    "settlements": ("books", "settlements", "List markets that settled with contracts of the account."),
    "transfers": ("books", "transfers", "List deposits, withdrawals and transfers."),
    "status": ("status", "status", "Show where the ledger and the exchange stand."),
    "limits": ("limits", "limits", "Show your limits with what is used and left of each."),
    "markets": ("markets", "markets", "List markets of the exchange."),
    "export": ("export", "export", "Write orders, fills or events as csv, jsonl or parquet."),
    "report": ("report", "report", "Report outcomes, latency, fills, result and rate, also as a page."),
    "config": ("configuration", "config", "Show the configuration and where each value comes from."),
    "db": ("database", "db", "Back up, restore or check the ledger."),
    "sandbox": ("sandbox", "sandbox", "Run a private exchange on this machine."),
    "verify": ("verify", "verify", "Hold ledger and exchange to every promise, from outside."),
    "demo": ("demo", "demo", "Kill oms in mid-batch and prove that nothing is lost or doubled."),
    "lab": ("lab", "lab", "Crash oms by the thousand in a simulation, and judge what is left."),
    "doctor": ("doctor", "doctor", "Check what oms needs; each finding comes with its fix."),
    "help": ("topics", "topics", "Explain a command or a topic such as exit-codes."),
}


class Root(Group):
    """The `oms` command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table: the daily path first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command = getattr(import_module(f"oms.cli.{module}"), name)
        assert isinstance(command, Command | Group)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.command(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="oms", message="%(prog)s %(version)s")
def root() -> None:
    """Gets orders to Kalshi exactly once, through any crash.

    Options below may stand before or after the command's name; the nearer one wins. stdout carries the answer,
    stderr everything else. Exit codes: oms help exit-codes.
    """
