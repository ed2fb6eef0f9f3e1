"""Reads that need no key: markets, books, trades, events, series, and the state of the exchange."""

from typing import Any

from oms.sandbox import amounts
from oms.sandbox.calls import Call
from oms.sandbox.limits import costs_document
from oms.sandbox.listing import in_order, newest_first
from oms.sandbox.markets import (
    SERIES,
    STATUS_FILTER,
    Market,
    book_document,
    event_document,
    market_document,
    series_document,
)
from oms.sandbox.refusals import bad_query, not_found
from oms.sandbox.state import Trade
from oms.sandbox.wire import Response, json_response

SHARD_NAMES = ("Main", "Sports", "Crypto")

# Bounds of the market list, each pair with the instant it compares.
_BOUNDS = {"created": "created_us", "updated": "updated_us", "close": "close_us", "settled": "settled_us"}


def _document(call: Call, market: Market) -> dict[str, Any]:
    interest = sum(
        abs(account.position_e2(subaccount, ticker))
        for account in call.state.accounts.values()
        for subaccount, ticker in account.holdings
        if ticker == market.ticker
    )
    return market_document(market, call.state.books[market.ticker], interest)


def list_markets(call: Call) -> Response:
    """GET /markets, with all filters."""
    status = call.request.first("status")
    if status is not None and status not in STATUS_FILTER:
        raise bad_query(call.operation, "Status", "oneof")
    tickers = set(call.request.every("tickers"))
    event, series = call.request.first("event_ticker"), call.request.first("series_ticker")
    bounds = [
        (field, call.after_us(f"min_{name}_ts"), call.before_us(f"max_{name}_ts")) for name, field in _BOUNDS.items()
    ]
    is_multivariate_only = call.request.first("mve_filter") == "only"
    found = [
        market
        for market in call.state.markets.values()
        if (status is None or market.status in STATUS_FILTER[status])
        and (not tickers or market.ticker in tickers)
        and event in (None, market.event_ticker)
        and series in (None, market.series_ticker)
        and not is_multivariate_only
        and all(_is_within(getattr(market, field), after, before) for field, after, before in bounds)
    ]
    rows, cursor = in_order(call, [_document(call, market) for market in found], lowest=0)
    return json_response(200, {"markets": rows, "cursor": cursor})


def _is_within(at_us: int, after: int | None, before: int | None) -> bool:
    return (after is None or at_us >= after) and (before is None or at_us <= before)


def _market(call: Call) -> Market:
    market = call.state.markets.get(call.path["ticker"])
    if market is None:
        raise not_found()
    return market


def get_market(call: Call) -> Response:
    """GET /markets/{ticker}."""
    return json_response(200, {"market": _document(call, _market(call))})


def get_orderbook(call: Call) -> Response:
    """GET /markets/{ticker}/orderbook: bids of both legs, best last."""
    depth = call.integer("depth") or 0
    if not 0 <= depth <= 100:
        raise bad_query(call.operation, "Depth", "lte" if depth > 0 else "gte")
    book = call.state.books[_market(call).ticker]
    return json_response(200, {"orderbook_fp": book_document(book, depth)})


def list_orderbooks(call: Call) -> Response:
    """GET /markets/orderbooks for 1 to 100 tickers; one that does not exist is left out."""
    tickers = call.request.every("tickers")
    if not 1 <= len(tickers) <= 100:
        raise bad_query(call.operation, "Tickers", "required" if not tickers else "max")
    books = [
        {"ticker": ticker, "orderbook_fp": book_document(call.state.books[ticker], 0)}
        for ticker in tickers
        if ticker in call.state.books
    ]
    return json_response(200, {"orderbooks": books})


def list_trades(call: Call) -> Response:
    """GET /markets/trades, newest first."""
    ticker = call.request.first("ticker")
    after, before = call.after_us("min_ts"), call.before_us("max_ts")
    is_block_only = call.request.first("is_block_trade") == "true"

    def show(trade: Trade) -> dict[str, Any] | None:
        if is_block_only or ticker not in (None, trade.ticker) or not _is_within(trade.at_us, after, before):
            return None
        outcome = "yes" if trade.taker_side == "bid" else "no"
        return {
            "trade_id": trade.trade_id,
            "ticker": trade.ticker,
            "count_fp": amounts.count_text(trade.count_e2),
            "yes_price_dollars": amounts.price_text(trade.price_e4),
            "no_price_dollars": amounts.price_text(amounts.ONE_DOLLAR_E4 - trade.price_e4),
            "taker_side": outcome,
            "taker_outcome_side": outcome,
            "taker_book_side": trade.taker_side,
            "created_time": amounts.time_text(trade.at_us),
            "is_block_trade": False,
        }

    rows, cursor = newest_first(call, call.state.trades, show)
    return json_response(200, {"trades": rows, "cursor": cursor})


def _markets_of(call: Call, event_ticker: str) -> list[Market]:
    return [market for market in call.state.markets.values() if market.event_ticker == event_ticker]


def list_events(call: Call) -> Response:
    """GET /events."""
    series, wanted = call.request.first("series_ticker"), set(call.request.every("tickers"))
    status, is_nested = call.request.first("status"), call.request.first("with_nested_markets") == "true"
    events: dict[str, dict[str, Any]] = {}
    for market in call.state.markets.values():
        event = market.event_ticker
        if series not in (None, market.series_ticker) or (wanted and event not in wanted):
            continue
        if status is not None and market.status not in STATUS_FILTER.get(status, set()):
            continue
        found = events.setdefault(event, event_document(event, market))
        if is_nested:
            found.setdefault("markets", []).append(_document(call, market))
    rows, cursor = in_order(call, list(events.values()))
    return json_response(200, {"events": rows, "milestones": [], "cursor": cursor})


def get_event(call: Call) -> Response:
    """GET /events/{event_ticker}, with its markets."""
    markets = _markets_of(call, call.path["event_ticker"])
    if not markets:
        raise not_found()
    documents = [_document(call, market) for market in markets]
    return json_response(200, {"event": event_document(markets[0].event_ticker, markets[0]), "markets": documents})


def list_series(call: Call) -> Response:
    """GET /series."""
    return json_response(200, {"series": [series_document(series) for series in SERIES.values()]})


def get_series(call: Call) -> Response:
    """GET /series/{series_ticker}: the fee formula of its markets."""
    series = SERIES.get(call.path["series_ticker"])
    if series is None:
        raise not_found()
    return json_response(200, {"series": series_document(series)})


def get_status(call: Call) -> Response:
    """GET /exchange/status."""
    pause = call.state.knobs.pause
    active = {
        "exchange_active": pause != "exchange",
        "trading_active": pause == "none",
        "intra_exchange_transfers_active": pause != "exchange",
    }
    shards = [{"exchange_index": index, "description": name, **active} for index, name in enumerate(SHARD_NAMES)]
    return json_response(200, {**active, "exchange_index_statuses": shards})


def get_schedule(call: Call) -> Response:
    """GET /exchange/schedule: open around the clock."""
    day = [{"open_time": "00:00", "close_time": "00:00"}]
    names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    week = {
        "start_time": "2026-01-01T00:00:00Z",
        "end_time": "2100-01-01T00:00:00Z",
        **dict.fromkeys(names, day),
    }
    return json_response(200, {"schedule": {"standard_hours": [week], "maintenance_windows": []}})


def get_user_data_timestamp(call: Call) -> Response:
    """GET /exchange/user_data_timestamp: everything committed before it is in the reads of the account.

    Never later than the exchange's clock less the read lag, and held back while a change is hidden on purpose.
    """
    lag_us = call.state.knobs.read_lag_ms * 1000
    hidden = [at_us - 1 for at_us, shown_us in call.state.hidden if shown_us > call.as_of_us]
    as_of_us = min([call.when.at_us - lag_us, *hidden])
    return json_response(200, {"as_of_time": amounts.time_text(as_of_us)})


def get_historical_cutoff(call: Call) -> Response:
    """GET /historical/cutoff."""
    at = amounts.time_text(call.cutoff_us)
    names = ("market_settled_ts", "trades_created_ts", "orders_updated_ts", "market_positions_last_updated_ts")
    return json_response(200, dict.fromkeys(names, at))


def get_costs(call: Call) -> Response:
    """GET /account/endpoint_costs."""
    return json_response(200, costs_document())
