"""What the ledger knows of the account's exposure: the ground that limits are judged on.

Orders that are live (queued, on the wire, in doubt, resting; those made elsewhere that were seen resting), positions,
what was asked for lately, what today realized, and markets as last read. `Exposure` keeps it up to date from one
entry to the next, because a claim cannot afford a query. In doubt counts in full (P4), and so does what a pending amend
asks for: of several terms that an order may have, the largest count at the riskiest price.

A position is what the exchange showed last with every trade since. Trades that were acknowledged and not listed yet
count at the order's own price, which is the worst they can have had.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import bindparam, select, text
from sqlalchemy.engine import Connection

from oms.ledger import schema
from oms.ledger.ledger import Ledger
from oms.ledger.rows import ENTRY_SELECT, Entry, entry_of
from oms.lifecycle.states import MODIFIES, UNFINISHED, CommandKind, CommandState, OrderStatus, Side, Terms
from oms.money.books import DAY_MS, keep
from oms.money.positions import Settled, Trade
from oms.risk.checks import Day, MarketFacts, Recent
from oms.risk.live import Held, Live, LiveOrder, risk_e6

__all__ = ["Exposure", "asked_for", "day", "live_order", "load", "market_facts", "recent", "recent_writes"]

_PAGE = 1_000
# Of the newest commands, so many are looked through for what was sent a moment ago.
_LATEST = 2_000
_UNFINISHED_C = schema.UNFINISHED_SQL.replace("state", "commands.state", 1)


@dataclass(slots=True)
class _Known:
    """One order as it is counted now."""

    live: LiveOrder | None
    fill_e2: int


class Exposure:
    """Live orders and positions, kept up to date by the entries that move. Not thread-safe: the writer's own."""

    def __init__(self, live: Live, newest_key: int, *, queued: bool) -> None:
        self.live = live
        self._queued = queued  # whether what has not left counts too
        self._newest_key = newest_key  # of the orders there were when it was loaded
        self._known: dict[int, _Known] = {}
        self._asked: dict[int, dict[int, LiveOrder]] = {}  # by order and command: what pending amends ask for

    def start(self, order_key: int, own: LiveOrder, fill_e2: int, asked: dict[int, LiveOrder]) -> None:
        """An order as it was loaded, with what pending amends ask for; its trades are in the position already."""
        known = self._known[order_key] = _Known(None, fill_e2)
        if asked:
            self._asked[order_key] = asked
        self._replace(known, _worst([own, *asked.values()]))

    def of(self, order_key: int) -> LiveOrder | None:
        """An order as it is counted now; None where it is not."""
        known = self._known.get(order_key)
        return None if known is None else known.live

    def note(self, entries: Iterable[Entry]) -> None:
        """Entries as they are now, whatever moved them; the same entry again changes nothing."""
        for entry in entries:
            known = self._known.get(entry.order_key)
            if known is None:
                known = self._known[entry.order_key] = _Known(None, self._counted_e2(entry))
            self._note_fills(entry, known)
            self._note_terms(entry)
            if self._tells_of_order(entry):
                self._replace(known, self._counted(entry))

    def _tells_of_order(self, entry: Entry) -> bool:
        """Whether a pending order is queued or out is told by its create alone."""
        return entry.order.status is not OrderStatus.PENDING or entry.command.kind is CommandKind.CREATE

    def _counted(self, entry: Entry) -> LiveOrder | None:
        is_queued = entry.order.status is OrderStatus.PENDING and entry.command.state is CommandState.QUEUED
        if is_queued and not self._queued:
            return None
        return live_order(entry, self._asked.get(entry.order_key, {}).values())

    def _counted_e2(self, entry: Entry) -> int:
        """Of an order that is met for the first time, what is in the loaded position already."""
        is_new = entry.order_key > self._newest_key or entry.order.late
        return 0 if is_new else entry.order.fill_count_e2

    def _note_fills(self, entry: Entry, known: _Known) -> None:
        traded_e2 = entry.order.fill_count_e2 - known.fill_e2
        if traded_e2 <= 0:
            return
        known.fill_e2 = entry.order.fill_count_e2
        price_e6 = entry.order.price_e6 or entry.price_e6
        self.live.fill(entry.ticker, entry.subaccount or 0, Side(entry.side), traded_e2, price_e6)

    def _note_terms(self, entry: Entry) -> None:
        if entry.command.kind not in MODIFIES:
            return
        asked = self._asked.setdefault(entry.order_key, {})
        counts = entry.command.state in UNFINISHED and (self._queued or entry.command.state is not CommandState.QUEUED)
        if counts and (terms := asked_for(entry)) is not None:
            asked[entry.command_key] = terms
        else:
            asked.pop(entry.command_key, None)
        if not asked:
            del self._asked[entry.order_key]

    def _replace(self, known: _Known, live: LiveOrder | None) -> None:
        if live == known.live:
            return
        if known.live is not None:
            self.live.remove(known.live)
        if live is not None:
            self.live.add(live)
        known.live = live


def live_order(entry: Entry, asked: Collection[LiveOrder] = ()) -> LiveOrder | None:
    """What may still trade of an order that is or may be at the exchange; None where nothing can.

    A queued create counts too, as what it would be. `asked` are the terms of amends whose outcome is not known.
    """
    order = entry.order
    if order.status is OrderStatus.RESTING:
        left_e2 = order.remaining_count_e2
    elif order.status is OrderStatus.PENDING:
        left_e2 = None
    else:
        return None
    left_e2 = order.count_e2 - order.fill_count_e2 if left_e2 is None else left_e2
    terms = LiveOrder(
        entry.ticker, Side(entry.side), order.price_e6 or entry.price_e6, max(0, left_e2), entry.subaccount or 0
    )
    return _worst([terms, *asked])


def asked_for(entry: Entry, terms: Terms | None = None) -> LiveOrder | None:
    """What an order would be once these terms held (default: those of the entry's own command).

    None where they are not an amend's: nothing else can raise what an order risks.
    """
    terms, order = terms or entry.command.terms, entry.order
    if terms is None or terms.reduce_to_e2 is not None:
        return None
    count_e2 = terms.count_e2 if terms.count_e2 is not None else order.count_e2
    price_e6 = terms.price_e6 if terms.price_e6 is not None else order.price_e6 or entry.price_e6
    left_e2 = max(0, count_e2 - order.fill_count_e2)
    return LiveOrder(entry.ticker, Side(entry.side), price_e6, left_e2, entry.subaccount or 0)


def _worst(terms: Sequence[LiveOrder]) -> LiveOrder | None:
    """The largest count at the riskiest price; None where the count is zero."""
    first = terms[0]
    count_e2 = max(each.count_e2 for each in terms)
    if not count_e2:
        return None
    price_e6 = max((each.price_e6 for each in terms), key=lambda price: risk_e6(first.side, price))
    return LiveOrder(first.ticker, first.side, price_e6, count_e2, first.subaccount)


# -- loading --------------------------------------------------------------------------------------------------------


def load(ledger: Ledger, *, queued: bool) -> Exposure:
    """All that is live now, in one consistent view; with `queued`, creates and amends that have not left too.

    Costs what is live and what was traded since positions were last read, not what is stored.
    """
    with ledger.read() as connection:
        events = {str(row[0]): str(row[1]) for row in connection.execute(_EVENTS)}
        newest_key = int(connection.execute(_NEWEST_KEY).scalar() or 0)
        exposure = Exposure(Live(events), newest_key, queued=queued)
        for (ticker, subaccount), held in _held(connection).items():
            if held.position_e2:
                exposure.live.hold(ticker, subaccount, held)
        _start_orders(connection, exposure, queued=queued)
        for row in connection.execute(_EXTERNAL):
            exposure.live.add(LiveOrder(row[0], Side(row[1]), row[2], row[3], row[4]))
    return exposure


def _start_orders(connection: Connection, exposure: Exposure, *, queued: bool) -> None:
    asked: dict[int, dict[int, LiveOrder]] = {}
    for entry in map(entry_of, connection.execute(_AMENDS)):
        terms = asked_for(entry)
        if terms is not None and (queued or entry.command.state is not CommandState.QUEUED):
            asked.setdefault(entry.order_key, {})[entry.command_key] = terms
    for key, ticker, subaccount, side, price_e6, left_e2, fill_e2, state in connection.execute(_LIVE):
        if queued or state != CommandState.QUEUED.value:
            own = LiveOrder(ticker, Side(side), price_e6, max(0, left_e2), subaccount)
            exposure.start(key, own, fill_e2, asked.get(key, {}))


def _held(connection: Connection) -> dict[tuple[str, int], Held]:
    """Positions by ticker and subaccount: as last read, and moved by what was traded or settled since."""
    read: dict[tuple[str, int], int] = {}
    held: dict[tuple[str, int], Held] = {}
    oldest_ms: int | None = None
    for ticker, subaccount, position_e2, exposure_e6, as_of_ms in connection.execute(_POSITIONS):
        read[ticker, subaccount] = as_of_ms
        held[ticker, subaccount] = Held(position_e2, exposure_e6 * 100 if position_e2 else 0)
        oldest_ms = as_of_ms if oldest_ms is None else min(oldest_ms, as_of_ms)
    # A complete reading shows every position: what it left out was zero then.
    newest: dict[int, int] = {}
    for (_, subaccount), as_of_ms in read.items():
        newest[subaccount] = max(newest.get(subaccount, 0), as_of_ms)
    settled = {(row[0], row[1]): row[2] for row in connection.execute(_SETTLED, {"from_ms": oldest_ms or 0})}
    for market, settled_ms in settled.items():
        if settled_ms > read.get(market, newest.get(market[1], -1)):
            held[market], read[market] = Held(), settled_ms
    for ticker, subaccount, side, count_e2, price_e6, ts_ms in _traded(connection, oldest_ms):
        market = (ticker, subaccount)
        if ts_ms > read.get(market, newest.get(subaccount, -1)):
            held[market], _ = held.get(market, Held()).filled(Side(side), count_e2, price_e6)
    return held


def _traded(connection: Connection, from_ms: int | None) -> Iterator[Any]:
    """Trades after that time in their order, then those that were acknowledged and not listed."""
    yield from connection.execute(_FILLS, {"from_ms": -1 if from_ms is None else from_ms})
    yield from connection.execute(_UNTRADED)


_EVENTS = text("SELECT ticker, event_ticker FROM markets WHERE event_ticker <> ''")
_NEWEST_KEY = text("SELECT max(key) FROM orders")
_POSITIONS = text("SELECT ticker, subaccount, position_e2, exposure_e6, as_of_ms FROM positions")
_SETTLED = text(
    "SELECT ticker, subaccount, max(settled_ts_ms) FROM settlements WHERE settled_ts_ms > :from_ms"
    " GROUP BY ticker, subaccount"
)
_FILLS = text(
    "SELECT f.ticker, coalesce(f.subaccount, o.subaccount, 0), f.side, f.count_e2, f.price_e6, f.ts_ms FROM fills AS f"
    " LEFT JOIN orders AS o ON o.key = f.order_key WHERE f.ts_ms > :from_ms ORDER BY f.ts_ms, f.trade_id"
)
_UNTRADED = text(
    "SELECT ticker, coalesce(subaccount, 0), side, fill_count_e2 - traded_count_e2, working_price_e6, fact_ts_ms"
    " FROM orders WHERE traded_count_e2 < fill_count_e2 ORDER BY fact_ts_ms, key"
)
_EXTERNAL = text(
    "SELECT ticker, side, price_e6, remaining_count_e2, coalesce(subaccount, 0) FROM external_orders"
    " WHERE status = 'resting' AND remaining_count_e2 > 0"
)
_LIVE = text(
    "SELECT key, ticker, coalesce(subaccount, 0), side, working_price_e6,"  # noqa: S608
    " coalesce(remaining_count_e2, working_count_e2 - fill_count_e2), fill_count_e2, '' FROM orders"
    " WHERE status = 'resting' UNION ALL"
    " SELECT orders.key, ticker, coalesce(subaccount, 0), side, working_price_e6, working_count_e2 - fill_count_e2,"
    f" fill_count_e2, commands.state FROM commands JOIN orders ON orders.key = commands.order_key WHERE {_UNFINISHED_C}"
    " AND commands.kind = 'create' AND orders.status = 'pending'"
    " AND commands.batch_key NOT IN (SELECT key FROM batches WHERE state = 'recording')"
)
_AMENDS = ENTRY_SELECT.where(text(_UNFINISHED_C), text("commands.kind = 'amend'"))


# -- what was asked for lately --------------------------------------------------------------------------------------


def recent(ledger: Ledger, since_us: int) -> Recent:
    """Orders recorded from then on that were not refused or taken back: what would be asked for twice."""
    found = Recent()
    last = 2**62
    while True:
        with ledger.read() as connection:
            rows = connection.execute(_RECORDED, {"below": last, "most": _PAGE}).all()
        for key, at_us, status, ticker, side, price_e6, count_e2, subaccount in rows:
            if at_us < since_us:
                return found
            if status not in (OrderStatus.REJECTED.value, OrderStatus.UNSENT.value):
                found.note(LiveOrder(ticker, Side(side), price_e6, count_e2, subaccount), at_us)
            last = key
        if len(rows) < _PAGE:
            return found


_RECORDED = text(
    "SELECT key, created_at_us, status, ticker, side, price_e6, count_e2, coalesce(subaccount, 0) FROM orders"
    " WHERE key < :below AND batch_key NOT IN (SELECT key FROM batches WHERE state = 'recording')"
    " ORDER BY key DESC LIMIT :most"
)


def recent_writes(ledger: Ledger, since_ms: int) -> list[tuple[int, CommandKind]]:
    """Commands whose latest attempt was signed from then on (exchange clock), oldest first: (ms, kind).

    Looks through the newest commands only; older ones are sent late by exception.
    """
    with ledger.read() as connection:
        rows = connection.execute(_SENT, {"most": _LATEST, "since_ms": since_ms}).all()
    return [(int(row[0]), CommandKind(row[1])) for row in rows]


_SENT = text(
    "SELECT last_signed_ms, kind FROM (SELECT last_signed_ms, kind FROM commands ORDER BY key DESC LIMIT :most)"
    " WHERE last_signed_ms >= :since_ms ORDER BY last_signed_ms"
)


# -- the day and the markets ----------------------------------------------------------------------------------------


def day(ledger: Ledger, now_us: int) -> Day:
    """What was realized since midnight UTC, fees taken off, by trades and settlements that are known.

    Costs the trades of the markets that moved today. Trades that were acknowledged and not listed yet count at their
    order's price, without a fee.
    """
    today = now_us // 1000 // DAY_MS
    with ledger.read() as connection:
        values = {"midnight_ms": today * DAY_MS}
        trades = [Trade(*row) for row in connection.execute(_TRADES, values)]
        for ticker, subaccount, side, count_e2, price_e6, ts_ms in connection.execute(_UNTRADED):
            signed_e2 = count_e2 if side == Side.BID.value else -count_e2
            trades.append(Trade(ticker, subaccount, signed_e2, price_e6, 0, ts_ms))
        settled = [Settled(*row) for row in connection.execute(_SETTLEMENTS, values)]
    books = keep(sorted(trades, key=lambda trade: trade[5]), settled, daily=True)
    line = books.days.get(today)
    # Rounded away from a profit, by less than a millionth of a dollar.
    return Day(0 if line is None else line.realized_e8 // 100 - line.fees_e6)


_MOVED = (
    "(SELECT ticker FROM fills WHERE ts_ms >= :midnight_ms UNION SELECT ticker FROM settlements"
    " WHERE settled_ts_ms >= :midnight_ms UNION SELECT ticker FROM orders WHERE traded_count_e2 < fill_count_e2)"
)
_TRADES = text(
    "SELECT f.ticker, coalesce(f.subaccount, o.subaccount, 0),"  # noqa: S608
    " CASE f.side WHEN 'bid' THEN f.count_e2 ELSE -f.count_e2 END, f.price_e6, f.fee_e6, f.ts_ms"
    f" FROM fills AS f LEFT JOIN orders AS o ON o.key = f.order_key WHERE f.ticker IN {_MOVED}"
    " ORDER BY f.ts_ms, f.trade_id"
)
_SETTLEMENTS = text(
    "SELECT ticker, subaccount, settled_ts_ms, value_e6, yes_count_e2, no_count_e2, revenue_e6, fee_e6"  # noqa: S608
    f" FROM settlements WHERE ticker IN {_MOVED} ORDER BY settled_ts_ms"
)


def market_facts(ledger: Ledger, tickers: Collection[str]) -> dict[str, MarketFacts]:
    """What the exchange said of these markets when it was last asked; those it was never asked about are left out."""
    found: dict[str, MarketFacts] = {}
    wanted = sorted(set(tickers))
    for start in range(0, len(wanted), 500):
        with ledger.read() as connection:
            for row in connection.execute(_FACTS, {"tickers": wanted[start : start + 500]}):
                ticker, event_ticker, status, close_ts_ms, ranges, yes_bid_e6, yes_ask_e6, read_at_us = row
                found[ticker] = MarketFacts(
                    ticker=ticker,
                    event_ticker=event_ticker,
                    status=status,
                    close_ts_ms=close_ts_ms,
                    grid=msgspec.json.decode(ranges, type=tuple[tuple[int, int, int], ...]),
                    yes_bid_e6=yes_bid_e6,
                    yes_ask_e6=yes_ask_e6,
                    read_at_us=read_at_us,
                )
    return found


_m = schema.markets.c
_FACTS = select(
    *(_m.ticker, _m.event_ticker, _m.status, _m.close_ts_ms, _m.price_ranges, _m.yes_bid_e6, _m.yes_ask_e6),
    _m.read_at_us,
).where(_m.ticker.in_(bindparam("tickers", expanding=True)))
