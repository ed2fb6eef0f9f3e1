"""What the ledger holds of the account's money, for `oms.money` and for lists.

Trades in the order of time, settlements, positions and balances as last read, prices, and what resting orders may hold
back.

Trades come in pages, each a short read: a few hundred thousand of them need the memory of one page.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, and_, bindparam, select, text
from sqlalchemy.engine import Connection

from oms.ledger import schema
from oms.ledger.bulk import execute, placeholder
from oms.ledger.ledger import Ledger
from oms.money.books import Market
from oms.money.marks import Quote
from oms.money.positions import Settled, TradeRow
from oms.money.ties import Reading, Seen, hold_e6

__all__ = ["Shown", "Wanted", "fill_rows", "last_readings", "positions", "quotes", "readings", "settlements", "trades"]

PAGE = 5_000
_LISTED = 1_000
_f, _o, _b = schema.fills.c, schema.orders.c, schema.batches.c

# How trades can be grouped, and by what.
GROUPS = {
    "tag": ("o.tag", ""),
    "batch": ("coalesce(b.name, substr(b.batch_key, 1, 16))", " LEFT JOIN batches AS b ON b.key = o.batch_key"),
}


def trades(ledger: Ledger, group: str | None = None) -> Iterator[TradeRow]:
    """Every trade of the account in the order of time; `group` "tag" or "batch" names the order's.

    A trade that has none (its order was made elsewhere, or bears no tag) is in no group: None.
    """
    column, join = GROUPS[group] if group is not None else ("NULL", "")
    query = _TRADES.format(group=column, join=join)
    after_ms = -1
    while True:
        with ledger.read() as connection:
            mark = placeholder(connection)
            found = execute(connection, _PAGE_END.replace("?", mark), (after_ms, PAGE, after_ms)).fetchone()[0]
            if found is None:
                return
            page: list[TradeRow] = execute(connection, query.replace("?", mark), (after_ms, found)).fetchall()
        page.sort(key=_IN_TIME)  # nearly so already; SQLite takes as long for it as for all the rest
        yield from page
        after_ms = found


_IN_TIME = itemgetter(5, 7)
# The instant that the next page goes up to.
_PAGE_END = (
    "SELECT coalesce((SELECT ts_ms FROM fills WHERE ts_ms > ? ORDER BY ts_ms LIMIT 1 OFFSET ?),"
    " (SELECT max(ts_ms) FROM fills WHERE ts_ms > ?))"
)
_TRADES = (
    "SELECT f.ticker, coalesce(f.subaccount, o.subaccount, 0),"
    " CASE f.side WHEN 'bid' THEN f.count_e2 ELSE -f.count_e2 END, f.price_e6, f.fee_e6, f.ts_ms, {group}, f.trade_id"
    " FROM fills AS f LEFT JOIN orders AS o ON o.key = f.order_key{join}"
    " WHERE f.ts_ms > ? AND f.ts_ms <= ? ORDER BY f.ts_ms"
)


def settlements(ledger: Ledger) -> list[Settled]:
    """Every settlement that was shown, oldest first."""
    with ledger.read() as connection:
        return [Settled(*row) for row in connection.execute(_SETTLEMENTS)]


# A settlement tells its value in cents, the market tells it exactly.
_SETTLEMENTS = text(
    "SELECT s.ticker, s.subaccount, s.settled_ts_ms,"
    " CASE WHEN s.result IN ('yes', 'no') THEN s.value_e6 ELSE coalesce(m.settlement_value_e6, s.value_e6) END,"
    " s.yes_count_e2, s.no_count_e2, s.revenue_e6, s.fee_e6"
    " FROM settlements AS s LEFT JOIN markets AS m ON m.ticker = s.ticker"
    " ORDER BY s.settled_ts_ms, s.ticker, s.subaccount"
)


def settlement_details(ledger: Ledger) -> dict[tuple[str, int, int], tuple[str, str]]:
    """(ticker, subaccount, ms) -> (event ticker, result) of every settlement."""
    with ledger.read() as connection:
        rows = connection.execute(
            text("SELECT ticker, subaccount, settled_ts_ms, event_ticker, result FROM settlements")
        )
        return {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows}


class Shown(NamedTuple):
    """A position as the exchange last showed it, and when (ms of its clock)."""

    seen: Seen
    exposure_e6: int
    as_of_ms: int


def positions(ledger: Ledger) -> dict[Market, Shown]:
    """Positions as last shown."""
    with ledger.read() as connection:
        rows = connection.execute(_POSITIONS)
        return {Market(row[0], row[1]): Shown(Seen(row[2], row[3], row[4]), row[5], row[6]) for row in rows}


_POSITIONS = text(
    "SELECT ticker, subaccount, position_e2, realized_pnl_e6, fees_e6, exposure_e6, as_of_ms FROM positions"
)


def quotes(ledger: Ledger, tickers: Collection[str]) -> dict[str, Quote]:
    """Prices of these markets as last read."""
    found: dict[str, Quote] = {}
    wanted = list(tickers)
    for start in range(0, len(wanted), 500):
        with ledger.read() as connection:
            for row in connection.execute(_QUOTES, {"tickers": wanted[start : start + 500]}):
                found[row[0]] = Quote(*row[1:])
    return found


_m = schema.markets.c
_QUOTES = select(
    _m.ticker, _m.yes_bid_e6, _m.yes_ask_e6, _m.last_price_e6, _m.settlement_value_e6, _m.read_at_us
).where(_m.ticker.in_(bindparam("tickers", expanding=True)))


# -- fills as a list ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which fills are asked for; None does not restrict."""

    ticker: str | None = None
    since_ms: int | None = None
    order_id: str | None = None


_FILL_ROWS: Select[Any] = (
    select(
        schema.fills,
        *(_o.client_order_id, _o.action, _o.outcome, _o.tag, _o.subaccount.label("order_subaccount")),
        *(_b.name.label("batch_name"), _b.batch_key.label("batch_hex")),
    )
    .select_from(schema.fills)
    .outerjoin(schema.orders, _o.key == _f.order_key)
    .outerjoin(schema.batches, _b.key == _o.batch_key)
    .order_by(_f.ts_ms.desc(), _f.trade_id.desc())
)


def fill_rows(ledger: Ledger, wanted: Wanted, limit: int | None) -> Iterator[Row[Any]]:
    """Fills with the order each belongs to (none: made elsewhere), newest first."""
    conditions = []
    if wanted.ticker is not None:
        conditions.append(_f.ticker == wanted.ticker)
    if wanted.since_ms is not None:
        conditions.append(_f.ts_ms >= wanted.since_ms)
    if wanted.order_id is not None:
        conditions.append(_f.order_id == wanted.order_id)
    last: tuple[int, str] | None = None
    left = limit
    while left is None or left > 0:
        most = _LISTED if left is None else min(left, _LISTED)
        page = _FILL_ROWS.where(*conditions).limit(most)
        if last is not None:
            page = page.where(and_(_f.ts_ms <= last[0], (_f.ts_ms < last[0]) | (_f.trade_id < last[1])))
        with ledger.read() as connection:
            rows = connection.execute(page).all()
        yield from rows
        if len(rows) < most:
            return
        last = (rows[-1].ts_ms, rows[-1].trade_id)
        left = None if left is None else left - len(rows)


def has_fills_of(ledger: Ledger, order_id: str) -> bool:
    """Whether any fill is of the order that the exchange calls so."""
    with ledger.read() as connection:
        return connection.execute(select(_f.trade_id).where(_f.order_id == order_id).limit(1)).scalar() is not None


# -- balances and what may be held back of them ---------------------------------------------------------------------


class Shot(NamedTuple):
    """A reading with the value of the portfolio, as the exchange told it."""

    reading: Reading
    portfolio_value_e6: int


def readings(ledger: Ledger, pick: Callable[[Sequence[Any]], Sequence[Any]] | None = None) -> list[Shot]:
    """Readings of balances, oldest first, with what resting orders could hold back at each instant.

    `pick` chooses among one subaccount's rows (in the order of time): what is held back is worked out for those only.
    """
    with ledger.read() as connection:
        rows = connection.execute(_READINGS).all()
    by_subaccount: dict[int, list[Any]] = {}
    for row in rows:
        by_subaccount.setdefault(row[0], []).append(row)
    chosen = [row for each in by_subaccount.values() for row in (each if pick is None else pick(each))]
    held = _held(ledger, {(row[0], row[1]) for row in chosen})
    shots = [Shot(Reading(row[0], row[1], row[2], held[row[0], row[1]], row[4]), row[3]) for row in chosen]
    return sorted(shots, key=lambda shot: (shot.reading.as_of_ms, shot.reading.subaccount))


_READINGS = text(
    "SELECT subaccount, as_of_ms, balance_e6, portfolio_value_e6, updated_ts FROM balances"
    " ORDER BY subaccount, as_of_ms"
)


def last_readings(ledger: Ledger, subaccount: int, *, even_if_equal: bool) -> tuple[Reading, Reading] | None:
    """The last two readings of a subaccount; None where there is one only, or they are equal and not wanted then."""
    with ledger.read() as connection:
        rows = connection.execute(_LAST_READINGS, {"subaccount": subaccount}).all()[::-1]
    if len(rows) < 2 or (rows[0][2] == rows[1][2] and not even_if_equal):
        return None
    held = _held(ledger, {(row[0], row[1]) for row in rows})
    earlier, later = (Reading(row[0], row[1], row[2], held[row[0], row[1]], row[4]) for row in rows)
    return earlier, later


_LAST_READINGS = text(
    "SELECT subaccount, as_of_ms, balance_e6, portfolio_value_e6, updated_ts FROM balances"
    " WHERE subaccount = :subaccount ORDER BY as_of_ms DESC LIMIT 2"
)


def _held(ledger: Ledger, instants: set[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """(subaccount, ms) -> the most that orders resting then could hold back, dollars x 10^6.

    An order that was amended is taken for the larger of what was recorded and what rests now. One made elsewhere that
    ended is taken to have rested until that was last seen.
    """
    if not instants:
        return {}
    with ledger.read() as connection:
        first_ms = min(ms for _, ms in instants)
        orders = connection.execute(_RESTED, {"first_ms": first_ms}).all()
        traded = _traded(connection, [row.order_id for row in orders], first_ms)
    changes = sorted(change for row in orders for change in _changes(row, traded.get(row.order_id, [])))
    now: dict[int, int] = {}
    held: dict[tuple[int, int], int] = {}
    done = 0
    for subaccount, ms in sorted(instants, key=lambda instant: instant[1]):
        while done < len(changes) and changes[done][0] <= ms:
            _, of, change_e6 = changes[done]
            now[of] = now.get(of, 0) + change_e6
            done += 1
        held[subaccount, ms] = now.get(subaccount, 0)
    return held


def _changes(order: Row[Any], trades: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """(ms, subaccount, dollars x 10^6) by which an order held back more or less: made, traded, ended."""
    left_e2 = max(order.count_e2, order.working_count_e2)
    holds = _hold_e6(order, left_e2)
    yield order.created_ts_ms, order.of, holds
    for ts_ms, count_e2 in sorted(trades):
        if ts_ms >= order.ended_ms:
            break
        left_e2 = max(0, left_e2 - count_e2)
        before, holds = holds, _hold_e6(order, left_e2)
        yield ts_ms, order.of, holds - before
    yield order.ended_ms, order.of, -holds


def _hold_e6(order: Row[Any], count_e2: int) -> int:
    return max(hold_e6(order.side, price_e6, count_e2) for price_e6 in (order.price_e6, order.working_price_e6))


def _traded(connection: Connection, order_ids: Sequence[str], first_ms: int) -> dict[str, list[tuple[int, int]]]:
    """order_id -> (ms, contracts) of its trades."""
    rows: list[Any] = list(connection.execute(_STRANGE_TRADED, {"first_ms": first_ms}))
    for start in range(0, len(order_ids), 500):
        rows += connection.execute(_TRADED, {"ids": list(order_ids[start : start + 500])})
    found: dict[str, list[tuple[int, int]]] = {}
    for order_id, ts_ms, count_e2 in rows:
        found.setdefault(order_id, []).append((ts_ms, count_e2))
    return found


_FOREVER_MS = 2**62
# Orders that rested at some time from then on, and until when: until the last fact about those that ended.
_RESTED = text(
    "SELECT order_id, coalesce(subaccount, 0) AS of, side, price_e6, working_price_e6, count_e2, working_count_e2,"  # noqa: S608
    f" created_ts_ms, CASE status WHEN 'resting' THEN {_FOREVER_MS} ELSE fact_ts_ms END AS ended_ms FROM orders"
    " WHERE created_ts_ms IS NOT NULL AND order_id IS NOT NULL AND (status = 'resting' OR (fact_ts_ms > :first_ms"
    " AND fact_ts_ms > created_ts_ms AND time_in_force = 'good_till_canceled')) UNION ALL"
    " SELECT order_id, coalesce(subaccount, 0), side, price_e6, price_e6, initial_count_e2, initial_count_e2,"
    f" coalesce(created_ts_ms, 0), CASE status WHEN 'resting' THEN {_FOREVER_MS} ELSE as_of_ms END FROM external_orders"
    " WHERE status = 'resting' OR as_of_ms > :first_ms"
)
_TRADED = (
    select(_o.order_id, _f.ts_ms, _f.count_e2)
    .join(schema.orders, _o.key == _f.order_key)
    .where(text("orders.order_id IS NOT NULL"), _o.order_id.in_(bindparam("ids", expanding=True)))
)
_STRANGE_TRADED = text(
    "SELECT order_id, ts_ms, count_e2 FROM fills WHERE order_key IS NULL"
    " AND order_id IN (SELECT order_id FROM external_orders WHERE status = 'resting' OR as_of_ms > :first_ms)"
)
