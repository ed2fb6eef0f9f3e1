"""What the last complete reading of the account found that does not fit: the list stands until the next one."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.engine import Connection

from oms.ledger import schema
from oms.ledger.ledger import Ledger
from oms.records import BreakRecord

_b = schema.breaks.c


def replace(ledger: Ledger, found: Iterable[BreakRecord], now_us: int) -> None:
    """Put these in the place of those before; what stands still keeps the time it was first seen. Durable on return."""
    with ledger.write() as connection:
        first = {row.name: row.first_seen_us for row in connection.execute(select(_b.name, _b.first_seen_us))}
        connection.execute(schema.breaks.delete())
        rows = {_name(x): x for x in found}
        if rows:
            connection.execute(
                schema.breaks.insert(),
                [
                    {
                        "name": name,
                        "kind": x.kind,
                        "client_order_id": x.client_order_id,
                        "order_id": x.order_id,
                        "ticker": x.ticker,
                        "expected": x.expected,
                        "seen": x.seen,
                        "suggestion": x.suggestion,
                        "first_seen_us": first.get(name, now_us),
                        "last_seen_us": now_us,
                    }
                    for name, x in rows.items()
                ],
            )


def forget(connection: Connection, kind: str, client_order_id: str) -> None:
    """Those of that kind about that order are told no more, in the caller's transaction."""
    connection.execute(schema.breaks.delete().where(_b.kind == kind, _b.client_order_id == client_order_id))


def listed(ledger: Ledger) -> list[tuple[BreakRecord, int, int]]:
    """The breaks, oldest first, each with when it was first and last seen (microseconds of UTC)."""
    with ledger.read() as connection:
        rows = connection.execute(select(schema.breaks).order_by(_b.first_seen_us, _b.name)).all()
    return [
        (
            BreakRecord(
                kind=row.kind,
                client_order_id=row.client_order_id,
                order_id=row.order_id,
                ticker=row.ticker,
                expected=row.expected,
                seen=row.seen,
                suggestion=row.suggestion,
            ),
            row.first_seen_us,
            row.last_seen_us,
        )
        for row in rows
    ]


def _name(found: BreakRecord) -> str:
    return "|".join((found.kind, found.client_order_id or "", found.order_id or "", found.ticker or ""))
