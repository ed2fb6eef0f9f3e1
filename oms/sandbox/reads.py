"""Signed reads of orders: live and historical orders and fills, queue positions; and of keys and limits.

They show what had been committed by `call.as_of_us`, so a read lag hides exactly what came later.
"""

from collections.abc import Callable, Sequence
from typing import Any

from oms.sandbox import amounts
from oms.sandbox.account import Fill, fill_document
from oms.sandbox.calls import Call
from oms.sandbox.listing import newest_first
from oms.sandbox.orders import Order, Version, document
from oms.sandbox.refusals import bad_query, not_found
from oms.sandbox.wire import Response, json_response

STATUSES = ("resting", "canceled", "executed")


def _is_historical(version: Version, cutoff_us: int) -> bool:
    return version.at_us < cutoff_us and version.status != "resting"


def _candidates(call: Call, status: str | None) -> Sequence[Order]:
    """The orders that may be shown; where reads are live, of those that rest no other has to be looked at."""
    is_live = call.as_of_us >= call.state.now_us and all(shown_us <= call.as_of_us for _, shown_us in call.state.hidden)
    return list(call.account.resting.values()) if status == "resting" and is_live else call.account.orders


def _orders(
    call: Call, is_historical: bool, accept: Callable[[Order, Version], bool], status: str | None = None
) -> Response:
    ticker = call.request.first("ticker")  # one: a list matches nothing, as on the wire
    subaccount = call.subaccount(call.integer("subaccount"), None)
    after, before = call.after_us("min_ts") or 0, call.before_us("max_ts")
    as_of_us, cutoff_us = call.as_of_us, call.cutoff_us

    # Runs for every order of the account that is younger than min_ts: the cheap questions come first.
    def show(order: Order) -> dict[str, Any] | None:
        newest = order.versions[-1]
        version = newest if newest.shown_us <= as_of_us else order.seen(as_of_us)
        if version is None or not accept(order, version):
            return None
        if ticker not in (None, order.ticket.ticker) or subaccount not in (None, order.ticket.subaccount):
            return None
        if order.created_us < after or (before is not None and order.created_us > before):
            return None
        return document(order, version) if _is_historical(version, cutoff_us) == is_historical else None

    orders = _candidates(call, status)
    rows, cursor = newest_first(
        call, orders, show, lambda order: order.latest_created_us < after, lambda order: order.seq
    )
    return json_response(200, {"orders": rows, "cursor": cursor})


def list_orders(call: Call) -> Response:
    """GET /portfolio/orders. min_ts and max_ts compare the creation time."""
    status = call.request.first("status")
    if status is not None and status not in STATUSES:
        raise bad_query(call.operation, "Status", "oneof")
    events = set(call.request.every("event_ticker"))
    shard = call.integer("exchange_index")

    def accept(order: Order, version: Version) -> bool:
        if status is not None and version.status != status:
            return False
        if events and call.state.markets[order.ticket.ticker].event_ticker not in events:
            return False
        return shard is None or order.exchange_index == shard

    return _orders(call, False, accept, status)


def list_historical_orders(call: Call) -> Response:
    """GET /historical/orders: ended orders last touched before the cutoff; no status, event or shard filter."""
    return _orders(call, True, lambda order, version: True)


def get_order(call: Call) -> Response:
    """GET /portfolio/orders/{order_id}."""
    order = call.state.by_order_id.get(call.path["order_id"])
    version = None
    if order is not None and order.user_id == call.account.user_id:
        version = order.seen(call.as_of_us)
    if order is None or version is None or _is_historical(version, call.cutoff_us):
        raise not_found()
    if call.subaccount(None, order.ticket.subaccount) != order.ticket.subaccount:
        raise not_found()
    return json_response(200, {"order": document(order, version)})


def _fills(call: Call, is_historical: bool) -> Response:
    tickers, order_id = set(call.request.every("ticker")), call.request.first("order_id")
    subaccount, shard = call.subaccount(call.integer("subaccount"), None), call.integer("exchange_index")
    after, before = call.after_us("min_ts"), call.before_us("max_ts")
    as_of_us, cutoff_us = call.as_of_us, call.cutoff_us
    stop_us = after or 0 if is_historical else max(after or 0, cutoff_us)
    fills = call.account.fills if order_id is None else call.account.fills_of.get(order_id, [])

    def show(fill: Fill) -> dict[str, Any] | None:
        order = fill.order
        wanted = (
            fill.shown_us <= as_of_us
            and (fill.at_us < cutoff_us) == is_historical
            and (not tickers or order.ticket.ticker in tickers)
            and (subaccount is None or order.ticket.subaccount == subaccount)
            and (shard is None or order.exchange_index == shard)
            and (after is None or fill.at_us >= after)
            and (before is None or fill.at_us <= before)
        )
        return fill_document(fill) if wanted else None

    rows, cursor = newest_first(call, fills, show, lambda fill: fill.latest_us < stop_us)
    return json_response(200, {"fills": rows, "cursor": cursor})


def list_fills(call: Call) -> Response:
    """GET /portfolio/fills."""
    return _fills(call, False)


def list_historical_fills(call: Call) -> Response:
    """GET /historical/fills."""
    return _fills(call, True)


def list_queue_positions(call: Call) -> Response:
    """GET /portfolio/orders/queue_positions: contracts ahead of each resting order."""
    tickers, events = set(call.request.every("market_tickers")), set(call.request.every("event_ticker"))
    subaccount = call.subaccount(call.integer("subaccount"), 0)
    rows = []
    for order in call.account.resting.values():
        ticker = order.ticket.ticker
        if order.ticket.subaccount != subaccount:
            continue
        if (tickers and ticker not in tickers) or (events and call.state.markets[ticker].event_ticker not in events):
            continue
        rows.append({"order_id": order.order_id, "market_ticker": ticker, "queue_position_fp": _ahead(call, order)})
    return json_response(200, {"queue_positions": rows})


def get_queue_position(call: Call) -> Response:
    """GET /portfolio/orders/{order_id}/queue_position."""
    order = call.state.by_order_id.get(call.path["order_id"])
    if order is None or order.user_id != call.account.user_id or order.now.status != "resting":
        raise not_found()
    return json_response(200, {"queue_position_fp": _ahead(call, order)})


def _ahead(call: Call, order: Order) -> str:
    book = call.state.books[order.ticket.ticker]
    return amounts.count_text(book.half(order.ticket.side).ahead_of(order))


def get_limits(call: Call) -> Response:
    """GET /account/limits."""
    return json_response(200, call.meter.document())


def list_api_keys(call: Call) -> Response:
    """GET /api_keys: the keys of this user."""
    keys = [
        {"api_key_id": key.key_id, "name": f"key {number}", "scopes": list(key.scopes), "subaccount": key.subaccount}
        for number, key in enumerate(call.state.keys.values(), 1)
        if key.user_id == call.account.user_id
    ]
    return json_response(200, {"api_keys": keys})
