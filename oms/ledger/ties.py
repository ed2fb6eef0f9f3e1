"""What the ledger says of positions that the exchange shows: what trades add up to, and which of them did not tie out.

Reads of single markets, so that holding a few positions against their trades does not cost all that was ever traded.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import bindparam, text

from oms.ledger.bulk import insert_rows
from oms.ledger.ledger import Ledger
from oms.money.books import Market
from oms.money.positions import Trade

__all__ = ["Kept", "Untied", "forget_untied", "kept", "newest_trade_ms", "note_untied", "trades_since", "untied"]

_AT_ONCE = 500


class Kept(NamedTuple):
    """What our books say of one market and subaccount."""

    position_e2: int
    settled_ms: int | None  # when it settled last
    is_placed: bool  # whether every trade is known to be of this subaccount


class Untied(NamedTuple):
    """A position that did not tie out when it was last shown, in the order of the table's columns."""

    ticker: str
    subaccount: int
    position_e2: int  # as the exchange showed it
    as_of_ms: int  # at this instant at the earliest
    until_ms: int  # and at this one at the latest
    ours_e2: int
    is_proven: int  # no trade explains it, however late it was shown


def kept(ledger: Ledger, tickers: Collection[str], until_ms: int = 2**62) -> dict[Market, Kept]:
    """What the trades and settlements of these markets added up to at the end of that instant, by subaccount."""
    found: dict[Market, Kept] = {}
    wanted = sorted(tickers)
    for start in range(0, len(wanted), _AT_ONCE):
        with ledger.read() as connection:
            values = {"tickers": wanted[start : start + _AT_ONCE], "until_ms": until_ms}
            for row in connection.execute(_KEPT, values):
                found[Market(row[0], row[1])] = Kept(row[2], row[3], not row[4])
    return found


# A settlement closes what was traded until then, where what a contract paid is known (`oms.money.positions.Settled`).
_KEPT = text(
    "SELECT f.ticker, coalesce(f.subaccount, o.subaccount, 0) AS of,"
    " sum(CASE WHEN f.ts_ms <= coalesce(s.paid_ms, -1) THEN 0 WHEN f.side = 'bid' THEN f.count_e2"
    " ELSE -f.count_e2 END), max(s.settled_ms),"
    " max(CASE WHEN f.subaccount IS NULL AND f.order_key IS NULL THEN 1 ELSE 0 END)"
    " FROM fills AS f LEFT JOIN orders AS o ON o.key = f.order_key LEFT JOIN (SELECT ticker, subaccount,"
    " max(settled_ts_ms) AS settled_ms, max(CASE WHEN value_e6 IS NOT NULL OR (yes_count_e2 > 0) <> (no_count_e2 > 0)"
    " THEN settled_ts_ms END) AS paid_ms FROM settlements WHERE settled_ts_ms <= :until_ms"
    " GROUP BY ticker, subaccount) AS s"
    " ON s.ticker = f.ticker AND s.subaccount = coalesce(f.subaccount, o.subaccount, 0)"
    " WHERE f.ticker IN :tickers AND f.ts_ms <= :until_ms GROUP BY 1, 2"
).bindparams(bindparam("tickers", expanding=True))


def trades_since(ledger: Ledger, since_ms: int) -> list[Trade]:
    """Trades after that instant, in the order of time."""
    with ledger.read() as connection:
        return [Trade(*row) for row in connection.execute(_SINCE, {"since_ms": since_ms})]


_SINCE = text(
    "SELECT f.ticker, coalesce(f.subaccount, o.subaccount, 0),"
    " CASE f.side WHEN 'bid' THEN f.count_e2 ELSE -f.count_e2 END, f.price_e6, f.fee_e6, f.ts_ms"
    " FROM fills AS f LEFT JOIN orders AS o ON o.key = f.order_key"
    " WHERE f.ts_ms > :since_ms ORDER BY f.ts_ms, f.trade_id"
)


def newest_trade_ms(ledger: Ledger) -> int:
    """When the newest trade that is known was made; 0 without any."""
    with ledger.read() as connection:
        return int(connection.execute(text("SELECT max(ts_ms) FROM fills")).scalar() or 0)


def untied(ledger: Ledger) -> dict[Market, Untied]:
    """Positions that did not tie out when they were last shown."""
    with ledger.read() as connection:
        rows = connection.execute(text(f"SELECT {', '.join(Untied._fields)} FROM untied_positions"))  # noqa: S608
        return {Market(row[0], row[1]): Untied(*row) for row in rows}


def note_untied(ledger: Ledger, positions: Iterable[Untied]) -> None:
    """Put these in the place of what was noted of their markets; durable on return. Raises EpochLost."""
    rows = list(positions)
    if rows:
        _write(ledger, rows, [Market(row.ticker, row.subaccount) for row in rows])


def forget_untied(ledger: Ledger, markets: Collection[Market]) -> None:
    """These tie out again; durable on return. Raises EpochLost."""
    if markets:
        _write(ledger, [], markets)


def _write(ledger: Ledger, rows: list[Untied], markets: Iterable[Market]) -> None:
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        for market in markets:
            connection.execute(_FORGET, market._asdict())
        insert_rows(connection, "untied_positions", Untied._fields, rows)


_FORGET = text("DELETE FROM untied_positions WHERE ticker = :ticker AND subaccount = :subaccount")
