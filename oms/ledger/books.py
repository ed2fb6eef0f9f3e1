"""The account's own figures in the ledger: trades of orders made elsewhere, settlements, positions, balances.

The only door to these tables for writing; money.py reads them. What is written here was shown by the exchange and is
recorded once, whatever is shown again; trades of orders of this ledger follow from its events (append.py).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, text
from sqlalchemy.engine import Connection

from oms.ledger import queries, schema
from oms.ledger.append import Fact, append
from oms.ledger.bulk import execute, insert_rows
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.lifecycle import events as e

__all__ = [
    "SeenBalance",
    "SeenMarket",
    "SeenPosition",
    "SeenSettlement",
    "SeenTrade",
    "adopt",
    "balances_read",
    "counts_of",
    "forget_closed",
    "held",
    "newest_trades",
    "note_balance",
    "note_markets",
    "note_positions",
    "note_settlements",
    "note_strange_trades",
    "note_watermark",
    "orphans",
    "quoted",
]


class SeenTrade(NamedTuple):
    """A trade of an order that this ledger did not make, in the order of the table's columns."""

    trade_id: str
    order_id: str
    ticker: str
    side: str
    count_e2: int
    price_e6: int
    fee_e6: int
    is_taker: int
    ts_ms: int
    subaccount: int | None


class SeenSettlement(NamedTuple):
    """A settlement as it was shown, in the order of the table's columns."""

    ticker: str
    subaccount: int
    settled_ts_ms: int
    event_ticker: str
    result: str
    yes_count_e2: int
    yes_cost_e6: int
    no_count_e2: int
    no_cost_e6: int
    value_e6: int | None
    revenue_e6: int
    fee_e6: int


class SeenPosition(NamedTuple):
    """A position as it was shown, in the order of the table's columns."""

    ticker: str
    subaccount: int
    position_e2: int
    exposure_e6: int
    realized_pnl_e6: int
    fees_e6: int
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class SeenBalance:
    """A balance as it was shown."""

    subaccount: int
    as_of_ms: int
    balance_e6: int
    portfolio_value_e6: int
    updated_ts: int | None = None  # Unix second of its last change


class SeenMarket(NamedTuple):
    """A market as it was shown, in the order of the table's columns."""

    ticker: str
    event_ticker: str
    status: str
    close_ts_ms: int | None
    price_ranges: str  # canonical JSON: [[start_e6, end_e6, step_e6], ...]
    yes_bid_e6: int | None
    yes_ask_e6: int | None
    last_price_e6: int | None
    result: str
    settlement_value_e6: int | None
    exchange_index: int | None
    read_at_us: int


# -- trades ---------------------------------------------------------------------------------------------------------


def note_strange_trades(ledger: Ledger, trades: Sequence[SeenTrade]) -> None:
    """Record trades of orders made elsewhere that are not recorded yet; durable on return. Raises EpochLost."""
    if not trades:
        return
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        insert_rows(connection, "fills", SeenTrade._fields, trades)
    ledger.tend()


def orphans(ledger: Ledger) -> dict[str, list[e.Filled]]:
    """Trades recorded as made elsewhere whose order turned out to be of this ledger, by order_id.

    So it is with an order whose create was in doubt when its trade was shown. Asked for only where an order lacks
    trades, because then each of them is such an order's.
    """
    with ledger.read() as connection:
        if connection.execute(_ANY_UNTRADED).scalar() is None:
            return {}
        rows = connection.execute(_ORPHANS).all()
    found: dict[str, list[e.Filled]] = {}
    for order_id, *values, is_taker, ts_ms in rows:
        trade_id, count_e2, price_e6, fee_e6 = values
        found.setdefault(order_id, []).append(
            e.Filled(
                trade_id=trade_id,
                count_e2=count_e2,
                price_e6=price_e6,
                fee_e6=fee_e6,
                is_taker=bool(is_taker),
                ts_ms=ts_ms,
            )
        )
    return found


_ANY_UNTRADED = text("SELECT 1 FROM orders WHERE traded_count_e2 < fill_count_e2 LIMIT 1")
_ORPHANS = text(
    "SELECT f.order_id, f.trade_id, f.count_e2, f.price_e6, f.fee_e6, f.is_taker, f.ts_ms FROM fills AS f"
    " WHERE f.order_key IS NULL"
    " AND f.order_id IN (SELECT order_id FROM orders WHERE traded_count_e2 < fill_count_e2 AND order_id IS NOT NULL)"
    " ORDER BY f.ts_ms, f.trade_id"
)


def adopt(ledger: Ledger, trades: Sequence[tuple[Entry, e.Filled]], now_us: int) -> dict[int, Entry]:
    """Turn orphans into events of their orders, in one transaction; the entries after them, by command_key."""
    if not trades:
        return {}
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        for start in range(0, len(trades), 500):
            ids = [trade.trade_id for _, trade in trades[start : start + 500]]
            connection.execute(_DISOWN, {"ids": ids})
        facts = [Fact(entry, trade) for entry, trade in trades]
        appended = append(connection, facts, epoch=ledger.epoch, now_us=now_us)
    ledger.note_seq(appended.newest_seq)
    ledger.tend()
    return appended.entries


_f = schema.fills.c
_DISOWN = delete(schema.fills).where(_f.order_key.is_(None), _f.trade_id.in_(bindparam("ids", expanding=True)))


def newest_trades(ledger: Ledger, from_ms: int, to_ms: int, most: int) -> set[str]:
    """The newest trades that are recorded of that span of the exchange's time: a reading of it has to show them."""
    with ledger.read() as connection:
        rows = connection.execute(_NEWEST_TRADES, {"from_ms": from_ms, "to_ms": to_ms, "most": most})
        return set(rows.scalars())


_NEWEST_TRADES = text(
    "SELECT trade_id FROM fills WHERE ts_ms BETWEEN :from_ms AND :to_ms ORDER BY ts_ms DESC LIMIT :most"
)


# -- settlements, positions, balances -------------------------------------------------------------------------------


def balances_read(ledger: Ledger) -> dict[int, int]:
    """The subaccounts that a balance was read of, and what instant the last reading is true of (ms)."""
    with ledger.read() as connection:
        return {row[0]: row[1] for row in connection.execute(_BALANCES_READ)}


_BALANCES_READ = text("SELECT subaccount, max(as_of_ms) FROM balances GROUP BY subaccount")


def note_settlements(ledger: Ledger, settlements: Sequence[SeenSettlement]) -> int:
    """Record settlements, each once, as last shown; how many are new. Durable on return. Raises EpochLost."""
    if not settlements:
        return 0
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        before = execute(connection, _COUNT_SETTLEMENTS).fetchone()[0]
        for one in settlements:
            connection.execute(_FORGET_SETTLEMENT, one._asdict())
        insert_rows(connection, "settlements", SeenSettlement._fields, settlements)
        after = execute(connection, _COUNT_SETTLEMENTS).fetchone()[0]
    return int(after - before)


_COUNT_SETTLEMENTS = "SELECT count(*) FROM settlements"
_FORGET_SETTLEMENT = text(
    "DELETE FROM settlements WHERE ticker = :ticker AND subaccount = :subaccount AND settled_ts_ms = :settled_ts_ms"
)


def held(ledger: Ledger) -> dict[tuple[str, int], int]:
    """Positions as last shown that are not zero: (ticker, subaccount) -> contracts."""
    with ledger.read() as connection:
        rows = connection.execute(text("SELECT ticker, subaccount, position_e2 FROM positions WHERE position_e2 <> 0"))
        return {(row[0], row[1]): row[2] for row in rows}


def counts_of(ledger: Ledger, subaccount: int) -> dict[str, int]:
    """Positions of one subaccount as last shown, flat ones too: ticker -> contracts."""
    with ledger.read() as connection:
        return {row[0]: row[1] for row in connection.execute(_POSITIONS_OF, {"subaccount": subaccount})}


def note_positions(ledger: Ledger, subaccount: int, seen: Sequence[SeenPosition]) -> None:
    """Record positions of one subaccount as they were shown; durable on return. Raises EpochLost."""
    if not seen:
        return
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        for one in seen:
            connection.execute(_FORGET_POSITION, {"ticker": one.ticker, "subaccount": subaccount})
        insert_rows(connection, "positions", SeenPosition._fields, seen)


def forget_closed(ledger: Ledger, subaccount: int, shown: Collection[str]) -> None:
    """Forget positions that a complete reading did not show any more, where our own books say why. Raises EpochLost.

    That is: it was zero, its market settled, its trades add up to nothing. Else it stays, as old as it is: a listing
    that is suddenly empty proves nothing.
    """
    with ledger.read() as connection:
        rows = connection.execute(_POSITIONS_OF, {"subaccount": subaccount}).all()
        gone = [row for row in rows if row[0] not in shown]
        closed = [row[0] for row in gone if not row[1] or _is_closed(connection, row[0], subaccount, row[2])]
    if closed:
        with ledger.write() as connection:
            ledger.check_epoch(connection)
            for ticker in closed:
                connection.execute(_FORGET_POSITION, {"ticker": ticker, "subaccount": subaccount})


def _is_closed(connection: Connection, ticker: str, subaccount: int, as_of_ms: int) -> bool:
    values = {"ticker": ticker, "subaccount": subaccount, "as_of_ms": as_of_ms}
    if connection.execute(_SETTLED_SINCE, values).scalar() is not None:
        return True
    return connection.execute(_NET, values).scalar() == 0


_FORGET_POSITION = text("DELETE FROM positions WHERE ticker = :ticker AND subaccount = :subaccount")
_POSITIONS_OF = text("SELECT ticker, position_e2, as_of_ms FROM positions WHERE subaccount = :subaccount")
# Readings lag: the position may have been shown once more just after the market had settled.
_SETTLED_SINCE = text(
    "SELECT 1 FROM settlements WHERE ticker = :ticker AND subaccount = :subaccount"
    " AND settled_ts_ms >= :as_of_ms - 600000 LIMIT 1"
)
_NET = text(
    "SELECT sum(CASE f.side WHEN 'bid' THEN f.count_e2 ELSE -f.count_e2 END) FROM fills AS f"
    " LEFT JOIN orders AS o ON o.key = f.order_key"
    " WHERE f.ticker = :ticker AND coalesce(f.subaccount, o.subaccount, 0) = :subaccount"
)


def note_balance(ledger: Ledger, seen: SeenBalance) -> None:
    """Record a reading of the balance; of several in a row that are equal, the first and the last are kept."""
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        values = {"subaccount": seen.subaccount, "as_of_ms": seen.as_of_ms}
        connection.execute(_FORGET_BALANCE, values)
        last_two = connection.execute(_LAST_BALANCES, values).all()
        same = (seen.balance_e6, seen.portfolio_value_e6)
        if len(last_two) == 2 and all(tuple(row[1:]) == same for row in last_two):
            connection.execute(_FORGET_BALANCE, values | {"as_of_ms": last_two[0][0]})
        connection.execute(
            insert(schema.balances).values(
                balance_e6=seen.balance_e6,
                portfolio_value_e6=seen.portfolio_value_e6,
                updated_ts=seen.updated_ts,
                **values,
            )
        )


_FORGET_BALANCE = text("DELETE FROM balances WHERE subaccount = :subaccount AND as_of_ms = :as_of_ms")
_LAST_BALANCES = text(
    "SELECT as_of_ms, balance_e6, portfolio_value_e6 FROM balances"
    " WHERE subaccount = :subaccount AND as_of_ms < :as_of_ms ORDER BY as_of_ms DESC LIMIT 2"
)


def note_markets(ledger: Ledger, seen: Sequence[SeenMarket]) -> None:
    """Keep what was shown of these markets in the place of what was; durable on return. Needs no lock."""
    if not seen:
        return
    with ledger.gated_write() as connection:
        for one in seen:
            connection.execute(_FORGET_MARKET, {"ticker": one.ticker})
        insert_rows(connection, "markets", SeenMarket._fields, seen)


_FORGET_MARKET = text("DELETE FROM markets WHERE ticker = :ticker")


def quoted(ledger: Ledger) -> set[str]:
    """The markets of which anything was read."""
    with ledger.read() as connection:
        return set(connection.execute(text("SELECT ticker FROM markets")).scalars())


def note_watermark(ledger: Ledger, name: str, value_ms: int, now_us: int) -> None:
    """Remember how far something was read; durable on return. Raises EpochLost."""
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        queries.set_watermark(connection, name, value_ms, now_us)
