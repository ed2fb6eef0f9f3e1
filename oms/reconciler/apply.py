"""What was concluded, into the ledger: one short transaction a chunk, only under this run's epoch (P5, P6)."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, update

from oms.ledger import queries, schema
from oms.ledger.append import Fact, append
from oms.ledger.ledger import ACCOUNT_READ, Ledger
from oms.ledger.rows import Entry
from oms.lifecycle.events import Event
from oms.venue.account import Balance, Position

Conclusion = tuple[Entry, Event]


def apply(ledger: Ledger, conclusions: Sequence[Conclusion], now_us: int) -> dict[int, Entry]:
    """Append the facts; durable on return. The entries after them, by command_key. Raises EpochLost, LedgerFailed."""
    if not conclusions:
        return {}
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        appended = append(
            connection, [Fact(entry, event) for entry, event in conclusions], epoch=ledger.epoch, now_us=now_us
        )
    ledger.note_seq(appended.newest_seq)
    ledger.tend()
    ledger.on_moved(appended.entries.values())
    return appended.entries


def note_account_read(ledger: Ledger, as_of_ms: int, now_us: int) -> None:
    """The account's orders were read completely up to that exchange time: the next reading may begin there."""
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        queries.set_watermark(connection, ACCOUNT_READ, as_of_ms, now_us)


def note_user(ledger: Ledger, user_id: str) -> None:
    """Tie the ledger to the exchange's user, learned from the first order read."""
    with ledger.write() as connection:
        connection.execute(update(schema.ledger).where(schema.ledger.c.user_id.is_(None)).values(user_id=user_id))


def note_watermark(ledger: Ledger, name: str, value_ms: int, now_us: int) -> None:
    """Remember how far something was read."""
    with ledger.write() as connection:
        queries.set_watermark(connection, name, value_ms, now_us)


def store_balance(ledger: Ledger, balance: Balance, as_of_ms: int) -> None:
    """The account's money as last seen."""
    with ledger.write() as connection:
        connection.execute(delete(schema.balances).where(schema.balances.c.subaccount == 0))
        connection.execute(
            insert(schema.balances).values(
                subaccount=0,
                balance_e6=balance.balance_e6,
                portfolio_value_e6=balance.portfolio_value_e6 or 0,
                as_of_ms=as_of_ms,
            )
        )


def store_positions(ledger: Ledger, positions: Sequence[Position], as_of_ms: int) -> None:
    """The positions of the primary subaccount as last seen, replacing those seen before."""
    with ledger.write() as connection:
        connection.execute(delete(schema.positions).where(schema.positions.c.subaccount == 0))
        rows = [
            {
                "ticker": p.ticker,
                "subaccount": 0,
                "position_e2": p.position_e2,
                "exposure_e6": p.exposure_e6,
                "realized_pnl_e6": p.realized_pnl_e6,
                "fees_e6": p.fees_paid_e6,
                "as_of_ms": as_of_ms,
            }
            for p in positions
        ]
        if rows:
            connection.execute(insert(schema.positions), rows)
