"""The account's books: every trade, settlement, position and balance that the exchange shows, into the ledger.

`read` is one pass. What is recorded is what was shown, once, with the instant it is true of; what is missing from an
answer proves nothing. Positions and balances are read before the trades, so that the trades known afterwards include
every one that those figures have in them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from oms import compare
from oms.errors import ReadFailed
from oms.ledger import books, queries
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.ledger.ties import untied
from oms.lifecycle import events as e
from oms.money.books import Market as MarketOf
from oms.money.ties import Sighting
from oms.reconciler import apply, ties
from oms.records import BreakRecord
from oms.units import parse_time_us
from oms.venue.account import Fill
from oms.venue.door import Venue
from oms.venue.markets import Market
from oms.venue.pages import Listing

__all__ = ["BooksRead", "How", "read", "read_quotes"]

# Watermarks, in ms of the exchange's clock: everything was read up to then.
TRADES_READ = "trades_read"
SETTLEMENTS_READ = "settlements_read"
HISTORY_READ = "history_read"  # as of then, nothing had become historical that was not read
# Where the caller does not know where history begins, it is asked at most so often.
_HISTORY_EVERY_MS = 3_600_000
# A trade that a list has left out is looked for again, where a position then did not tie out, from so long before.
_DOUBTED_MS = 3_600_000
_CHUNK = 1_000
# A subaccount other than the primary one, of which nothing was traded, is read so often: it takes two requests.
_IDLE_MS = 300_000
# So many trades that were recorded must be shown by a reading of their span.
_WITNESSES = 500
# Lists may compare whole seconds: a witness from the edge of the span is not demanded.
_EDGE_MS = 2_000
# Up to so many orders are asked for one by one before a listing is cheaper.
_SINGLE_READS = 20
_TICKERS = 100  # of one request for prices

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class How:
    """What a pass goes by."""

    as_of_ms: int  # user_data_timestamp, read before the pass
    horizon_ms: int  # the overlap with the last reading
    now_us: Callable[[], int]
    since_ms: int | None = None  # read again from there instead of from the last reading
    cutoff_ms: int | None = None  # where historical trades end, if that was just asked


@dataclass(slots=True)
class BooksRead:
    """What a pass has found."""

    trades: int = 0  # new trades of orders of this ledger
    strange_trades: int = 0  # new trades of orders made elsewhere
    adopted: int = 0  # of `trades`, those recorded as made elsewhere before their order was known
    settlements: int = 0
    breaks: list[BreakRecord] = field(default_factory=list)

    @property
    def has_news(self) -> bool:
        """Whether anything moved."""
        return bool(self.trades or self.strange_trades or self.settlements)


def read(ledger: Ledger, venue: Venue, how: How) -> BooksRead:
    """Bring trades, settlements, positions and balances up to date; the caller holds the writer lock and an epoch.

    A trade of an order of this ledger becomes its `Filled` event, all others are kept as made elsewhere; each trade_id
    once, whatever is shown again. From the last complete reading on, with an overlap; from the beginning the first
    time. With nothing new it makes three requests: balance, positions, trades; further subaccounts take two more each,
    when something of them was traded or every five minutes. The caller has asked for `as_of_ms` before. Durable on
    return. Raises ReadFailed (what was seen until then stays, and the next
    pass begins where this one did), CredentialsError, EpochLost, LedgerFailed.
    """
    return _Pass(ledger, venue, how).go()


class _Pass:
    def __init__(self, ledger: Ledger, venue: Venue, how: How) -> None:
        self.ledger = ledger
        self.venue = venue
        self.how = how
        self.found = BooksRead()
        self.seen_subaccounts: set[int] = set()
        self.traded: set[int] = set()  # subaccounts with new trades
        self.shown: dict[int, set[str]] = {}  # the positions of each subaccount
        self.sightings: dict[MarketOf, Sighting] = {}
        self.has_moved = False  # a position is shown otherwise than it was
        self.is_whole = True  # whatever was shown could be read
        self.scalars: set[str] = set()  # settled at a value that only the market tells exactly
        self.has_left = False  # a position that was shown before is gone: its market may have settled

    def go(self) -> BooksRead:
        last_ms = books.balances_read(self.ledger)
        doubted = (market.subaccount for market in untied(self.ledger))
        early = {0, *doubted, *(of for of, ms in last_ms.items() if self._is_due(ms))}
        for subaccount in sorted(early):
            self._read_standing(subaccount)
        self._read_trades()
        late = (self.traded | (self.seen_subaccounts - last_ms.keys())) - early
        for subaccount in sorted(late):
            self._read_standing(subaccount)
        if late:  # what these have in them was perhaps traded after the trades were read
            self._record(self.venue.account.fills(min_ts=_seconds(self.how.as_of_ms - self.how.horizon_ms)))
        self._read_settlements(last_ms.keys() | self.seen_subaccounts | {0})
        for subaccount, tickers in self.shown.items():
            books.forget_closed(self.ledger, subaccount, tickers)
        read = self._read_so_far()
        self.found.breaks += ties.tie_positions(self.ledger, read)
        ties.explain_balances(self.ledger, self.venue.account, read)
        self._read_quotes()
        return self.found

    def _read_so_far(self) -> ties.Pass:
        return ties.Pass(
            as_of_ms=self.how.as_of_ms,
            horizon_ms=self.how.horizon_ms,
            now_us=self.how.now_us,
            has_news=self.found.has_news or self.has_moved,
            is_whole=self.is_whole,
            is_thorough=self.how.since_ms is not None,
            shown=self.sightings,
            subaccounts=frozenset(self.shown),
        )

    def _is_due(self, last_ms: int) -> bool:
        """Whether a subaccount that is not the primary one is read although nothing of it was traded."""
        return self.how.since_ms is not None or self.how.as_of_ms - last_ms >= _IDLE_MS

    # -- trades -------------------------------------------------------------------------------------------------------

    def _read_trades(self) -> None:
        account, how = self.venue.account, self.how
        last_ms = queries.watermark(self.ledger, TRADES_READ)
        start_ms = self._doubted(last_ms) if how.since_ms is None else how.since_ms
        from_ms = None if start_ms is None or last_ms is None else max(0, start_ms - how.horizon_ms)
        wanted = set[str]()
        if from_ms is not None and last_ms is not None:
            until_ms = min(last_ms, how.as_of_ms)  # reads may lag more than they did
            wanted = books.newest_trades(self.ledger, from_ms + _EDGE_MS, until_ms, _WITNESSES)
        wanted = self._record(account.fills(min_ts=_seconds(from_ms)), wanted)
        history_from_ms = self._history_from(from_ms, is_due=bool(wanted))  # what is missing may have moved there
        if history_from_ms is not None:
            wanted = self._record(account.historical_fills(min_ts=_seconds(history_from_ms) or None), wanted)
        if wanted:
            raise ReadFailed(
                f"the exchange does not show {len(wanted)} trades that it has shown before",
                hint="check the API key: it may see less than the one used before; else run `oms reconcile` again",
            )
        self._adopt()
        self._read_missing()
        books.note_watermark(self.ledger, TRADES_READ, how.as_of_ms, how.now_us())

    def _doubted(self, last_ms: int | None) -> int | None:
        """From when on trades are read: from an hour before the oldest position that they did not explain."""
        doubts = [each.as_of_ms - _DOUBTED_MS for each in untied(self.ledger).values()]
        return last_ms if last_ms is None else min([last_ms, *doubts])

    def _history_from(self, from_ms: int | None, *, is_due: bool) -> int | None:
        """From when on historical trades have to be read, None for not at all; notes that it was looked after."""
        how = self.how
        looked_ms = queries.watermark(self.ledger, HISTORY_READ)
        is_old = looked_ms is None or how.as_of_ms - looked_ms >= _HISTORY_EVERY_MS
        is_due = is_due or is_old or how.since_ms is not None
        if not is_due and how.cutoff_ms is None:
            return None
        cutoff_ms = how.cutoff_ms
        if cutoff_ms is None:
            cutoff_ms = self.venue.exchange.historical_cutoff().trades_created_ms
        books.note_watermark(self.ledger, HISTORY_READ, how.as_of_ms, how.now_us())
        if from_ms is None or looked_ms is None:
            return 0
        begin_ms = min(from_ms, max(0, looked_ms - how.horizon_ms))
        return begin_ms if cutoff_ms > begin_ms else None

    def _adopt(self) -> None:
        """Give trades that were taken for somebody else's to their orders, where those turned out to be ours."""
        orphans = books.orphans(self.ledger)
        entries = queries.creates_by_order_id(self.ledger, orphans)
        trades = [(entries[order_id], trade) for order_id in orphans.keys() & entries for trade in orphans[order_id]]
        for start in range(0, len(trades), _CHUNK):
            part = trades[start : start + _CHUNK]
            self._check(books.adopt(self.ledger, part, self.how.now_us()).values())
        self.found.adopted += len(trades)
        self.found.trades += len(trades)

    def _read_missing(self) -> None:
        """Trades that a reading since the last one cannot show: of orders found late, or left out of a listing then."""
        account = self.venue.account
        missing = queries.untraded(self.ledger, _SINGLE_READS + 1)
        if len(missing) > _SINGLE_READS:
            min_ts = _seconds(max(0, missing[0][1] - self.how.horizon_ms))
            self._record(account.fills(min_ts=min_ts))
            self._record(account.historical_fills(min_ts=min_ts))
            return
        for order_id, _ in missing:
            self._record(account.fills(order_id=order_id))
        for order_id, _ in queries.untraded(self.ledger, _SINGLE_READS) if missing else ():
            self._record(account.historical_fills(order_id=order_id))

    def _record(self, listing: Listing[Fill], wanted: Collection[str] = ()) -> set[str]:
        """Record what a listing shows; those of `wanted` that it does not."""
        missing = set(wanted)
        for chunk in _chunks(listing):
            trades = {fill.trade_id: fill for fill in chunk}
            self._record_chunk(trades)
            missing -= trades.keys()
        self._note_unreadable(listing)
        return missing

    def _note_unreadable(self, listing: Listing[Any]) -> None:
        self.is_whole = self.is_whole and not listing.unreadable
        self.found.breaks += [
            compare.unreadable_break(x.client_order_id, x.order_id, x.reason) for x in listing.unreadable
        ]

    def _record_chunk(self, trades: dict[str, Fill]) -> None:
        self.seen_subaccounts |= {fill.subaccount or 0 for fill in trades.values()}
        known = queries.known_trades(self.ledger, list(trades))
        fresh = [fill for fill in trades.values() if fill.trade_id not in known]
        self.traded |= {fill.subaccount or 0 for fill in fresh}
        ours = queries.creates_by_order_id(self.ledger, {fill.order_id for fill in fresh})
        filled: list[tuple[Entry, e.Event]] = [
            (ours[fill.order_id], _filled(fill)) for fill in fresh if fill.order_id in ours
        ]
        strange = [_strange(fill) for fill in fresh if fill.order_id not in ours]
        self._check(apply.apply(self.ledger, filled, self.how.now_us()).values())
        books.note_strange_trades(self.ledger, strange)
        self.found.trades += len(filled)
        self.found.strange_trades += len(strange)

    def _check(self, entries: Iterable[Entry]) -> None:
        self.found.breaks += [compare.fills_break(x) for x in entries if x.order.traded_count_e2 > x.order.count_e2]

    # -- positions, balance, settlements, prices ----------------------------------------------------------------------

    def _read_standing(self, subaccount: int) -> None:
        """Balance and positions of one subaccount, as they are told."""
        balance = self.venue.account.balance(subaccount)
        books.note_balance(
            self.ledger,
            books.SeenBalance(
                subaccount,
                self._true_at(balance.updated_ts),
                balance.balance_e6,
                balance.portfolio_value_e6 or 0,
                balance.updated_ts,
            ),
        )
        before = books.counts_of(self.ledger, subaccount)
        listing = self.venue.account.positions(subaccount)
        seen = [
            books.SeenPosition(
                x.ticker, subaccount, x.position_e2, x.exposure_e6, x.realized_pnl_e6, x.fees_paid_e6, self.how.as_of_ms
            )
            for x in listing
        ]
        until_ms = self.venue.clock.now_ms()
        now = {x.ticker: x.position_e2 for x in seen}
        self.has_left |= any(count_e2 and not now.get(ticker) for ticker, count_e2 in before.items())
        self.has_moved |= any(before.get(ticker, 0) != count_e2 for ticker, count_e2 in now.items())
        self.shown[subaccount] = set(now)
        for ticker, count_e2 in now.items():
            self.sightings[MarketOf(ticker, subaccount)] = Sighting(count_e2, self.how.as_of_ms, until_ms)
        self._note_unreadable(listing)
        books.note_positions(self.ledger, subaccount, seen)

    def _true_at(self, updated_ts: int | None) -> int:
        """The instant a balance just read is true of (ms): it has not changed since the second of its last update."""
        if updated_ts is None:
            return self.how.as_of_ms
        return max(self.how.as_of_ms, min(updated_ts * 1000 + 999, self.venue.clock.now_ms()))

    def _read_settlements(self, subaccounts: set[int]) -> None:
        """Settlements since they were last read, if one can have happened: a position went, or something was traded."""
        last_ms = queries.watermark(self.ledger, SETTLEMENTS_READ)
        if last_ms is not None and self.how.since_ms is None and not (self.has_left or self.found.has_news):
            return
        start_ms = last_ms if last_ms is None or self.how.since_ms is None else min(last_ms, self.how.since_ms)
        min_ts = None if start_ms is None else _seconds(max(0, start_ms - self.how.horizon_ms))
        for subaccount in sorted(subaccounts):
            listing = self.venue.account.settlements(subaccount, min_ts=min_ts)
            for chunk in _chunks(listing):
                rows = [
                    books.SeenSettlement(
                        *(x.ticker, subaccount, x.settled_ts_ms, x.event_ticker, x.result, x.yes_count_e2),
                        *(x.yes_cost_e6, x.no_count_e2, x.no_cost_e6, x.value_e6, x.revenue_e6, x.fee_e6),
                    )
                    for x in chunk
                ]
                self.found.settlements += books.note_settlements(self.ledger, rows)
                self.scalars |= {x.ticker for x in chunk if x.result not in ("yes", "no")}
            self._note_unreadable(listing)
        books.note_watermark(self.ledger, SETTLEMENTS_READ, self.how.as_of_ms, self.how.now_us())

    def _read_quotes(self) -> None:
        held = {ticker for ticker, _ in books.held(self.ledger)}
        wanted = held if self.found.has_news or self.has_left else held - books.quoted(self.ledger)
        read_quotes(self.ledger, self.venue, wanted | self.scalars, self.how.now_us)


def read_quotes(ledger: Ledger, venue: Venue, tickers: Iterable[str], now_us: Callable[[], int]) -> int:
    """Read the prices of these markets into the ledger's cache; how many are shown. Needs no lock.

    Durable on return. Raises ReadFailed.
    """
    wanted = sorted(set(tickers))
    shown = 0
    for start in range(0, len(wanted), _TICKERS):
        part = wanted[start : start + _TICKERS]
        markets = venue.markets.markets(status=None, tickers=part, limit=len(part))
        books.note_markets(ledger, [_market(each, now_us()) for each in markets])
        shown += len(markets)
    return shown


def _market(market: Market, now_us: int) -> books.SeenMarket:
    ranges = [[each.start_e6, each.end_e6, each.step_e6] for each in market.price_ranges]
    return books.SeenMarket(
        ticker=market.ticker,
        event_ticker=market.event_ticker,
        status=market.status,
        close_ts_ms=_time_ms(market.close_time),
        price_ranges=msgspec.json.encode(ranges).decode(),
        yes_bid_e6=market.yes_bid_e6,
        yes_ask_e6=market.yes_ask_e6,
        last_price_e6=market.last_price_e6,
        result=market.result,
        settlement_value_e6=market.settlement_value_e6,
        exchange_index=market.exchange_index,
        read_at_us=now_us,
    )


def _time_ms(text: str) -> int | None:
    try:
        return parse_time_us(text) // 1000
    except (ValueError, OverflowError):
        return None


def _seconds(ms: int | None) -> int | None:
    return None if ms is None else ms // 1000


def _chunks(listing: Listing[T]) -> Iterator[list[T]]:
    chunk: list[T] = []
    for item in listing:
        chunk.append(item)
        if len(chunk) >= _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _filled(fill: Fill) -> e.Filled:
    return e.Filled(
        trade_id=fill.trade_id,
        count_e2=fill.count_e2,
        price_e6=fill.price_e6,
        fee_e6=fill.fee_e6,
        is_taker=fill.is_taker,
        ts_ms=fill.ts_ms,
    )


def _strange(fill: Fill) -> books.SeenTrade:
    return books.SeenTrade(
        trade_id=fill.trade_id,
        order_id=fill.order_id,
        ticker=fill.ticker,
        side=fill.side,
        count_e2=fill.count_e2,
        price_e6=fill.price_e6,
        fee_e6=fill.fee_e6,
        is_taker=int(fill.is_taker),
        ts_ms=fill.ts_ms,
        subaccount=fill.subaccount,
    )
