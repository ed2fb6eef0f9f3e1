"""What the account looked like when it was last read: watermarks, user, balance, positions. In the ledger only."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, update

from oms.ledger import queries, schema, strangers
from oms.ledger.ledger import ACCOUNT_READ, Ledger


@dataclass(frozen=True, slots=True)
class AccountRead:
    """A complete reading of the account's orders, and what it says about batches that were not known."""

    as_of_ms: int  # the next reading may begin there
    newest_batch: int  # when the reading began: what was recorded later could not be recognized
    held_back: Collection[str]  # watermarks of batches that had waited for this reading


def note_account_read(ledger: Ledger, read: AccountRead, now_us: int) -> None:
    """The account's orders were read, and nothing that the reading may not have shown has to be waited for."""
    name = schema.watermarks.c.name
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        queries.set_watermark(connection, ACCOUNT_READ, read.as_of_ms, now_us)
        connection.execute(delete(schema.watermarks).where(name.in_([schema.SET_BACK, *read.held_back])))
        strangers.hold_back_since(connection, read.newest_batch, now_us)


def forget_account_read(ledger: Ledger) -> None:
    """The account's orders have to be read from the beginning before anything is sent. The writer lock is held."""
    assert ledger.locks.writer.is_held
    with ledger.write() as connection:
        connection.execute(delete(schema.watermarks).where(schema.watermarks.c.name == ACCOUNT_READ))


def note_user(ledger: Ledger, user_id: str) -> None:
    """Tie the ledger to the exchange's user, learned from the first order read."""
    with ledger.write() as connection:
        connection.execute(update(schema.ledger).where(schema.ledger.c.user_id.is_(None)).values(user_id=user_id))


def note_watermark(ledger: Ledger, name: str, value_ms: int, now_us: int) -> None:
    """Remember how far something was read."""
    with ledger.write() as connection:
        queries.set_watermark(connection, name, value_ms, now_us)
