"""Markets and their books: what can be traded, at which prices, on which shard."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import msgspec

from oms.errors import ReadFailed
from oms.units import DOLLAR_E6
from oms.venue.pages import Listing
from oms.venue.reads import Reader
from oms.venue.wire import Unreadable, convert, count_e2, dollars_e6, integer, printable

__all__ = ["Level", "Market", "Markets", "OrderBook", "PriceRange"]

MAX_LISTED = 1000
MAX_SEARCHED_PAGES = 50


class PriceRange(msgspec.Struct, frozen=True):
    """Prices from `start_e6` to `end_e6` are multiples of `step_e6`."""

    start_e6: int
    end_e6: int
    step_e6: int


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """One market; prices are None where the exchange shows none. Summary prices may come from a cache."""

    ticker: str
    event_ticker: str = ""
    title: str = ""
    status: str = ""  # initialized | inactive | active | closed | determined | disputed | amended | finalized
    close_time: str = ""
    yes_bid_e6: int | None = None
    yes_ask_e6: int | None = None
    last_price_e6: int | None = None
    volume_e2: int | None = None
    open_interest_e2: int | None = None
    result: str = ""
    settlement_value_e6: int | None = None  # of YES, once it is determined
    price_ranges: tuple[PriceRange, ...] = ()
    exchange_index: int | None = None


class Level(msgspec.Struct, frozen=True):
    """Contracts wanted at one price."""

    price_e6: int
    count_e2: int


class OrderBook(msgspec.Struct, frozen=True, kw_only=True):
    """The YES book, best first on both sides. The exchange shows bids of both legs: an ask is one minus a NO bid."""

    ticker: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Markets:
    """Public reads of markets."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def markets(
        self,
        *,
        status: str | None = "open",
        limit: int = 100,
        event_ticker: str | None = None,
        series_ticker: str | None = None,
        tickers: Iterable[str] = (),
        search: str | None = None,
    ) -> list[Market]:
        """At most `limit` markets in the exchange's order; `status` is the filter's word (open, closed, ...).

        `search` is looked for in ticker and title on this side (the exchange has no such filter), in at most 50
        pages. Raises ReadFailed.
        """
        query = {
            "status": status,
            "event_ticker": event_ticker,
            "series_ticker": series_ticker,
            "tickers": ",".join(tickers),
            "limit": MAX_LISTED if search else max(1, min(limit, MAX_LISTED)),
        }
        path = "/markets"
        listing = Listing(
            lambda page: self._reader.get(path, page), "markets", query, _read_market, lambda market: market.ticker
        )
        wanted = (search or "").casefold()
        found: list[Market] = []
        for market in listing:
            if wanted in market.ticker.casefold() or wanted in market.title.casefold():
                found.append(market)
            if len(found) >= limit or listing.pages > MAX_SEARCHED_PAGES:
                break
        return found

    def market(self, ticker: str) -> Market | None:
        """One market; None when the exchange knows no such ticker. Raises ReadFailed."""
        path = f"/markets/{quote(ticker, safe='')}"
        body = self._reader.get(path, endpoint="/markets/:ticker", also=(404,))
        if body is None:
            return None
        try:
            return _read_market(body.get("market") if isinstance(body, dict) else None)
        except Unreadable as exc:
            raise ReadFailed(f"market {ticker} cannot be read: {exc}") from None

    def orderbook(self, ticker: str, depth: int = 0) -> OrderBook | None:
        """The book of one market, `depth` levels (0: all); None for an unknown ticker. Raises ReadFailed."""
        path = f"/markets/{quote(ticker, safe='')}/orderbook"
        query = {"depth": depth or None}
        body = self._reader.get(path, query, endpoint="/markets/:ticker/orderbook", also=(404,))
        if body is None:
            return None
        try:
            book = convert(body, _BookBody).orderbook_fp or _Book()
            bids = _levels(book.yes_dollars)
            no_bids = _levels(book.no_dollars)
        except Unreadable as exc:
            raise ReadFailed(f"the book of {ticker} cannot be read: {exc}") from None
        # The documents say best first, observers saw best last: sorted here, it does not matter.
        return OrderBook(
            ticker=ticker,
            bids=tuple(sorted(bids, key=lambda level: -level.price_e6)),
            asks=tuple(Level(DOLLAR_E6 - each.price_e6, each.count_e2) for each in sorted(no_bids, key=_falling)),
        )


def _falling(level: Level) -> int:
    return -level.price_e6


class _Range(msgspec.Struct, frozen=True):
    start: str
    end: str
    step: str


class _Market(msgspec.Struct, frozen=True):
    ticker: str | None = None
    event_ticker: str | None = None
    title: str | None = None
    status: str | None = None
    close_time: str | None = None
    yes_bid_dollars: str | None = None
    yes_ask_dollars: str | None = None
    last_price_dollars: str | None = None
    volume_fp: str | None = None
    open_interest_fp: str | None = None
    result: str | None = None
    settlement_value_dollars: str | None = None
    price_ranges: list[_Range] | None = None
    exchange_index: str | None = None


class _Book(msgspec.Struct, frozen=True):
    yes_dollars: list[tuple[str, str]] | None = None
    no_dollars: list[tuple[str, str]] | None = None


class _BookBody(msgspec.Struct, frozen=True):
    orderbook_fp: _Book | None = None


def _levels(pairs: list[tuple[str, str]] | None) -> list[Level]:
    return [Level(dollars_e6(price, "price"), count_e2(count, "count")) for price, count in pairs or ()]


def _read_market(item: Any) -> Market:
    market = convert(item, _Market)
    if not market.ticker:
        raise Unreadable("no ticker")
    return Market(
        ticker=printable(market.ticker, 256),
        event_ticker=printable(market.event_ticker or "", 256),
        title=printable(market.title or "", 1000),
        status=printable(market.status or "", 64),
        close_time=printable(market.close_time or "", 64),
        yes_bid_e6=_shown(market.yes_bid_dollars),
        yes_ask_e6=_shown(market.yes_ask_dollars),
        last_price_e6=_shown(market.last_price_dollars),
        volume_e2=count_e2(market.volume_fp, "volume_fp") if market.volume_fp else None,
        open_interest_e2=count_e2(market.open_interest_fp, "open_interest_fp") if market.open_interest_fp else None,
        result=printable(market.result or "", 64),
        settlement_value_e6=_shown(market.settlement_value_dollars),
        price_ranges=tuple(_range(each) for each in market.price_ranges or ()),
        exchange_index=None if market.exchange_index is None else integer(market.exchange_index, "exchange_index"),
    )


def _shown(text: str | None) -> int | None:
    return dollars_e6(text, "price") if text else None


def _range(each: _Range) -> PriceRange:
    return PriceRange(dollars_e6(each.start, "start"), dollars_e6(each.end, "end"), dollars_e6(each.step, "step"))
