"""Deposits, withdrawals and transfers between subaccounts in the ledger: each once, as it was last shown."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, text

from oms.ledger.bulk import insert_rows
from oms.ledger.ledger import Ledger
from oms.money.ties import Moved

__all__ = ["SeenMovement", "moved", "movement_rows", "note_movements"]

# What "applied" is to the exchange: the balance has it, or has it no more.
_APPLIED = "applied"


class SeenMovement(NamedTuple):
    """A movement of money as it was shown. A subaccount is None where that end is outside the exchange."""

    kind: str  # deposit | withdrawal | transfer
    movement_id: str
    status: str
    from_subaccount: int | None
    to_subaccount: int | None
    amount_e6: int
    fee_e6: int
    created_ts: int  # Unix seconds
    finalized_ts: int | None


def note_movements(ledger: Ledger, seen: Sequence[SeenMovement], now_us: int) -> int:
    """Record movements as they were last shown; how many are new or have changed. Durable on return. Raises EpochLost.

    One that was applied once and is not any more has moved the balance twice: there, and back when that was first told.
    """
    with ledger.read() as connection:
        known = {(row[0], row[1]): tuple(row) for row in connection.execute(_ALL)}
    changed = []
    for each in seen:
        before = known.get((each.kind, each.movement_id))
        row = (*each[:8], *_times(each, before, now_us))
        if row != before:
            changed.append(row)
    if changed:
        with ledger.write() as connection:
            ledger.check_epoch(connection)
            for row in changed:
                connection.execute(_FORGET, {"kind": row[0], "movement_id": row[1]})
            insert_rows(connection, "movements", _COLUMNS, changed)
    return len(changed)


def _times(seen: SeenMovement, before: Sequence[Any] | None, now_us: int) -> tuple[int | None, int | None]:
    """When it moved the balance, and when that was undone."""
    told_ts = seen.finalized_ts if seen.finalized_ts is not None else seen.created_ts
    moved_ts, returned_ts = (None, None) if before is None else (before[8], before[9])
    if seen.status == _APPLIED:
        return told_ts, None
    if moved_ts is not None and returned_ts is None:
        return moved_ts, max(moved_ts, seen.finalized_ts or now_us // 1_000_000)
    return moved_ts, returned_ts


_COLUMNS = (*SeenMovement._fields[:8], "moved_ts", "returned_ts")
_ALL = text(f"SELECT {', '.join(_COLUMNS)} FROM movements")  # noqa: S608 - names are ours
_FORGET = text("DELETE FROM movements WHERE kind = :kind AND movement_id = :movement_id")


def moved(ledger: Ledger) -> list[Moved]:
    """What movements did to the balances of subaccounts; one that was undone did two things."""
    with ledger.read() as connection:
        rows = connection.execute(_MOVED).all()
    return [each for row in rows for each in _effects(row)]


def _effects(row: Row[Any]) -> Iterator[Moved]:
    # A fee comes on top of what leaves, and off what comes.
    ends = ((row.from_subaccount, -row.amount_e6 - row.fee_e6), (row.to_subaccount, row.amount_e6 - row.fee_e6))
    for subaccount, amount_e6 in ends:
        if subaccount is not None:
            yield Moved(subaccount, row.moved_ts, row.kind, amount_e6, row.fee_e6)
            if row.returned_ts is not None:
                yield Moved(subaccount, row.returned_ts, row.kind, -amount_e6, row.fee_e6)


_MOVED = text(
    "SELECT kind, from_subaccount, to_subaccount, amount_e6, fee_e6, moved_ts, returned_ts FROM movements"
    " WHERE moved_ts IS NOT NULL ORDER BY moved_ts, kind, movement_id"
)


def movement_rows(ledger: Ledger, limit: int | None) -> list[Row[Any]]:
    """Movements as last shown, newest first."""
    with ledger.read() as connection:
        rows = connection.execute(_NEWEST)
        return list(rows.all() if limit is None else rows.fetchmany(limit))


_NEWEST = text(
    f"SELECT {', '.join(_COLUMNS)} FROM movements"  # noqa: S608 - names are ours
    " ORDER BY created_ts DESC, kind, movement_id"
)
