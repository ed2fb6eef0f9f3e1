"""Markets of the sandbox: series, events, price grids, and the markets every new sandbox starts with."""

from itertools import product
from typing import Any

import msgspec

from oms.sandbox import amounts
from oms.sandbox.amounts import price_text
from oms.sandbox.book import Book, Half
from oms.sandbox.seed import Seed

DAY_US = 86_400 * amounts.MICROS
CENT_E4 = 100

# Kalshi's names of price grids: (start, end, step) in price_e4.
GRIDS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "linear_cent": ((0, 10_000, 100),),
    "deci_cent": ((0, 10_000, 10),),
    "tapered_deci_cent": ((0, 1_000, 10), (1_000, 9_000, 100), (9_000, 10_000, 10)),
}


class Series(msgspec.Struct, frozen=True):
    """What an event is an instance of; it sets the fees, the shard and the grid of its markets."""

    ticker: str
    title: str
    category: str
    structure: str
    exchange_index: int
    maker_rate_e4: int  # 0, or 175 where makers pay too

    @property
    def fee_type(self) -> str:
        """The exchange's name for the fee formula."""
        return "quadratic_with_maker_fees" if self.maker_rate_e4 else "quadratic"


TAKER_RATE_E4 = 700
MAKER_RATE_E4 = 175

SERIES = {
    series.ticker: series
    for series in (
        Series("SBXRAIN", "Rain on the sandbox", "Climate and Weather", "linear_cent", 0, 0),
        Series("SBXTEMP", "Highest temperature in the sandbox", "Climate and Weather", "tapered_deci_cent", 0, 0),
        Series("SBXRATE", "Sandbox central bank rate", "Economics", "linear_cent", 0, MAKER_RATE_E4),
        Series("SBXCOIN", "Price of a sandbox coin", "Crypto", "deci_cent", 2, 0),
        Series("SBXGAME", "Winner of the sandbox final", "Sports", "linear_cent", 1, MAKER_RATE_E4),
    )
}
EVENT_SUFFIXES = ("A", "B")
STRIKES = (10, 20, 30)


class Market(msgspec.Struct):
    """One market. Statuses are the exchange's: active, inactive (paused), closed, determined, finalized (settled)."""

    number: int  # its place in the list
    ticker: str
    event_ticker: str
    series_ticker: str
    strike: int
    created_us: int
    updated_us: int
    close_us: int
    status: str = "active"
    result: str = ""
    value_e4: int = 0  # what a YES contract is worth, once there is a result
    settled_us: int = 0
    closes_us: int = 0  # when it closes by itself; 0: only when told
    last_price_e4: int = 0
    volume_e2: int = 0

    @property
    def series(self) -> Series:
        """The series whose rules hold here."""
        return SERIES[self.series_ticker]

    @property
    def exchange_index(self) -> int:
        """The shard this market trades on."""
        return self.series.exchange_index

    def has_price(self, price: int) -> bool:
        """Is this price_e4 on the market's grid? 0 and 1 dollar are not orderable."""
        if not 0 < price < amounts.ONE_DOLLAR_E4:
            return False
        return any(
            start <= price <= end and (price - start) % step == 0 for start, end, step in GRIDS[self.series.structure]
        )


# The words of the status filter, and the statuses each stands for.
STATUS_FILTER = {
    "unopened": {"initialized"},
    "open": {"active"},
    "paused": {"inactive"},
    "closed": {"closed", "determined", "disputed", "amended"},
    "settled": {"finalized"},
}


def first_markets(now_us: int) -> list[Market]:
    """The markets of a new sandbox: every grid, three shards, and one each paused, closed and settled."""
    made = [
        Market(
            number=number,
            ticker=f"{series}-{suffix}-T{strike}",
            event_ticker=f"{series}-{suffix}",
            series_ticker=series,
            strike=strike,
            created_us=now_us - 30 * DAY_US,
            updated_us=now_us,
            close_us=now_us + 365 * DAY_US,
        )
        for number, (series, suffix, strike) in enumerate(product(SERIES, EVENT_SUFFIXES, STRIKES))
    ]
    for market in made:
        if market.ticker == "SBXRATE-B-T10":
            market.status = "inactive"
        elif market.ticker == "SBXRATE-B-T20":
            market.status, market.close_us = "closed", now_us - DAY_US
        elif market.ticker == "SBXRATE-B-T30":
            market.status, market.result, market.close_us = "finalized", "yes", now_us - 2 * DAY_US
            market.value_e4 = amounts.ONE_DOLLAR_E4
            market.settled_us = now_us - DAY_US
    return made


def first_quotes(market: Market, seed: Seed) -> list[tuple[str, int, int]]:
    """Resting orders of strangers in a new market, as (side, price_e4, count_e2), oldest first.

    Five cents deep on both sides of a middle between 25 and 75 cents; one size in three is fractional.
    """
    middle = 2_500 + 100 * seed.below(51, market.ticker, "middle")
    quotes = []
    for depth in range(1, 6):
        for turn in range(2):
            for side, price in (("bid", middle - depth * CENT_E4), ("ask", middle + depth * CENT_E4)):
                label = (market.ticker, side, depth, turn)
                whole = 5 + seed.below(396, *label, "size")
                cents = seed.below(99, *label, "part") + 1 if seed.below(3, *label, "is_part") == 0 else 0
                quotes.append((side, price, whole * 100 + cents))
    return quotes


def _best(half: Half) -> tuple[int, int]:
    price = half.best()
    return (0, 0) if price is None else (price, half.total_at(price))


def market_document(market: Market, book: Book, open_interest_e2: int) -> dict[str, Any]:
    """The market as `GET /markets` answers it, with every field that the published schema requires."""
    bid, bid_size = _best(book.bids)
    ask, ask_size = _best(book.asks)
    one = amounts.ONE_DOLLAR_E4
    closes = amounts.time_text(market.close_us)
    settled = market.status == "finalized"
    return {
        "ticker": market.ticker,
        "event_ticker": market.event_ticker,
        "market_type": "binary",
        "title": f"{market.series.title}: above {market.strike}?",
        "subtitle": f"Above {market.strike}",
        "yes_sub_title": f"Above {market.strike}",
        "no_sub_title": f"{market.strike} or below",
        "created_time": amounts.time_text(market.created_us),
        "updated_time": amounts.time_text(market.updated_us),
        "open_time": amounts.time_text(market.created_us),
        "close_time": closes,
        "expected_expiration_time": closes,
        "expiration_time": closes,
        "latest_expiration_time": closes,
        "settlement_timer_seconds": 60,
        "status": market.status,
        "yes_bid_dollars": price_text(bid),
        "yes_bid_size_fp": amounts.count_text(bid_size),
        "yes_ask_dollars": price_text(ask if ask else one),
        "yes_ask_size_fp": amounts.count_text(ask_size),
        "no_bid_dollars": price_text(one - ask if ask else 0),
        "no_ask_dollars": price_text(one - bid if bid else one),
        "last_price_dollars": price_text(market.last_price_e4),
        "volume_fp": amounts.count_text(market.volume_e2),
        "volume_24h_fp": amounts.count_text(market.volume_e2),
        "result": market.result,
        "can_close_early": True,
        "open_interest_fp": amounts.count_text(open_interest_e2),
        "notional_value_dollars": "1.0000",
        "previous_yes_bid_dollars": price_text(bid),
        "previous_yes_ask_dollars": price_text(ask if ask else one),
        "previous_price_dollars": price_text(market.last_price_e4),
        "settlement_value_dollars": price_text(market.value_e4) if settled else None,
        "settlement_ts": amounts.time_text(market.settled_us) if settled else None,
        "settlement_bounds_type": "default",
        "expiration_value": str(market.strike + 1) if settled else "",
        "strike_type": "greater",
        "floor_strike": market.strike,
        "rules_primary": f"Resolves to yes when the value is above {market.strike}.",
        "rules_secondary": "A market of the sandbox: nothing here is worth anything.",
        "price_level_structure": market.series.structure,
        "price_ranges": [
            {"start": price_text(start), "end": price_text(end), "step": price_text(step)}
            for start, end, step in GRIDS[market.series.structure]
        ],
        "is_provisional": False,
        "exchange_index": market.exchange_index,
    }


def book_document(book: Book, depth: int) -> dict[str, Any]:
    """Bids of both legs, worst first, best last; `depth` levels of each (0: all)."""

    def levels(half: Half, complement: bool) -> list[list[str]]:
        prices = half.prices if half.side == "bid" else half.prices[::-1]
        rows = [
            [price_text(amounts.ONE_DOLLAR_E4 - p if complement else p), amounts.count_text(half.total_at(p))]
            for p in prices
        ]
        return rows[-depth:] if depth else rows

    return {"yes_dollars": levels(book.bids, False), "no_dollars": levels(book.asks, True)}


def event_document(event_ticker: str, market: Market) -> dict[str, Any]:
    """The event as `GET /events` answers it; `market` is any market of it."""
    return {
        "event_ticker": event_ticker,
        "series_ticker": market.series_ticker,
        "title": market.series.title,
        "sub_title": f"Round {event_ticker[-1]}",
        "collateral_return_type": "",
        "mutually_exclusive": False,
        "category": market.series.category,
        "settlement_sources": [],
        "last_updated_ts": amounts.time_text(market.updated_us),
        "exchange_index": market.exchange_index,
    }


def series_document(series: Series) -> dict[str, Any]:
    """The series as `GET /series/{ticker}` answers it."""
    return {
        "ticker": series.ticker,
        "frequency": "custom",
        "title": series.title,
        "category": series.category,
        "categories": [series.category],
        "tags": [],
        "settlement_sources": [],
        "contract_url": "",
        "contract_terms_url": "",
        "fee_type": series.fee_type,
        "fee_multiplier": 1,
        "additional_prohibitions": [],
        "exchange_index": series.exchange_index,
    }
