"""The account's write budget as it was found to be, whenever it had changed: what a share of it is a share of."""

from typing import NamedTuple

from sqlalchemy import text

from oms.ledger.bulk import insert_rows
from oms.ledger.ledger import Ledger
from oms.lifecycle.states import CommandKind

__all__ = ["RateLimits", "note_rate_limits", "rate_limits"]


class RateLimits(NamedTuple):
    """A write budget in tokens, and what writes cost of it, in the order of the table's columns."""

    at_us: int  # since when, as far as is known
    write_per_s: int
    write_capacity: int
    create_cost: int
    cancel_cost: int
    amend_cost: int
    decrease_cost: int

    def cost(self, kind: CommandKind) -> int:
        """Tokens of one command, alone or in a batch."""
        return {
            CommandKind.CREATE: self.create_cost,
            CommandKind.CANCEL: self.cancel_cost,
            CommandKind.AMEND: self.amend_cost,
            CommandKind.DECREASE: self.decrease_cost,
        }[kind]


def note_rate_limits(ledger: Ledger, found: RateLimits) -> None:
    """Record a budget that is not the one noted last; durable on return. Raises EpochLost."""
    with ledger.read() as connection:
        last = connection.execute(_LAST).first()
    if last is not None and (tuple(last)[1:] == found[1:] or last[0] >= found.at_us):
        return
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        insert_rows(connection, "rate_limits", RateLimits._fields, [found])


def rate_limits(ledger: Ledger) -> list[RateLimits]:
    """Every budget there was, oldest first."""
    with ledger.read() as connection:
        return [RateLimits(*row) for row in connection.execute(_ALL)]


_COLUMNS = ", ".join(RateLimits._fields)
_ALL = text(f"SELECT {_COLUMNS} FROM rate_limits ORDER BY at_us")  # noqa: S608 - names are ours
_LAST = text(f"SELECT {_COLUMNS} FROM rate_limits ORDER BY at_us DESC LIMIT 1")  # noqa: S608
