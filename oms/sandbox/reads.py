"""Signed reads of the account: orders, fills, positions, balance, settlements, queue positions, limits.

They show what had been committed by `call.as_of_us`, so a read lag hides exactly what came later.
"""

from collections.abc import Callable
from typing import Any

from oms.sandbox import amounts
from oms.sandbox.account import Fill, HoldingState, fill_document, position_document, settlement_document
from oms.sandbox.calls import Call
from oms.sandbox.listing import in_order, newest_first
from oms.sandbox.orders import Order, Version, document
from oms.sandbox.refusals import bad_query, not_found
from oms.sandbox.wire import Response, json_response

STATUSES = ("resting", "canceled", "executed")


def _is_historical(version: Version, cutoff_us: int) -> bool:
    return version.at_us < cutoff_us and version.status != "resting"


def _orders(call: Call, is_historical: bool, accept: Callable[[Order, Version], bool]) -> Response:
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

    rows, cursor = newest_first(call, call.account.orders, show, lambda order: order.latest_created_us < after)
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

    return _orders(call, False, accept)


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

    def show(fill: Fill) -> dict[str, Any] | None:
        order = fill.order
        wanted = (
            fill.shown_us <= call.as_of_us
            and (fill.at_us < call.cutoff_us) == is_historical
            and (not tickers or order.ticket.ticker in tickers)
            and (order_id is None or order.order_id == order_id)
            and (subaccount is None or order.ticket.subaccount == subaccount)
            and (shard is None or order.exchange_index == shard)
            and (after is None or fill.at_us >= after)
            and (before is None or fill.at_us <= before)
        )
        return fill_document(fill) if wanted else None

    rows, cursor = newest_first(call, call.account.fills, show)
    return json_response(200, {"fills": rows, "cursor": cursor})


def list_fills(call: Call) -> Response:
    """GET /portfolio/fills."""
    return _fills(call, False)


def list_historical_fills(call: Call) -> Response:
    """GET /historical/fills."""
    return _fills(call, True)


def list_positions(call: Call) -> Response:
    """GET /portfolio/positions: of one subaccount, the primary one unless named."""
    subaccount, shard = call.subaccount(call.integer("subaccount"), 0), call.integer("exchange_index")
    ticker, event = call.request.first("ticker"), call.request.first("event_ticker")
    wanted = call.request.first("settlement_status") or "unsettled"
    counted = call.request.every("count_filter")
    held = []
    for (of, name), holding in sorted(call.account.holdings.items(), key=lambda item: item[0]):
        market, state = call.state.markets[name], holding.seen(call.as_of_us)
        is_settled = market.status == "finalized"
        if state is None or of != subaccount or shard not in (None, market.exchange_index):
            continue
        if ticker not in (None, name) or event not in (None, market.event_ticker):
            continue
        if wanted != "all" and is_settled != (wanted == "settled"):
            continue
        if ("position" in counted and not state.position_e2) or ("total_traded" in counted and not state.traded_e6):
            continue
        held.append((name, state))
    documents = [position_document(name, call.state.markets[name].exchange_index, state) for name, state in held]
    rows, cursor = in_order(call, documents)
    return json_response(200, {"market_positions": rows, "event_positions": _by_event(call, held), "cursor": cursor})


def _by_event(call: Call, held: list[tuple[str, HoldingState]]) -> list[dict[str, Any]]:
    events: dict[str, list[HoldingState]] = {}
    for name, state in held:
        events.setdefault(call.state.markets[name].event_ticker, []).append(state)
    return [
        {
            "event_ticker": event,
            "total_cost_dollars": amounts.money_text(sum(state.traded_e6 for state in states)),
            "total_cost_shares_fp": amounts.count_text(sum(abs(state.position_e2) for state in states)),
            "event_exposure_dollars": amounts.money_text(sum(state.exposure_e6 for state in states)),
            "realized_pnl_dollars": amounts.money_text(sum(state.realized_e6 for state in states)),
            "fees_paid_dollars": amounts.money_text(sum(state.fees_e6 for state in states)),
        }
        for event, states in events.items()
    ]


def get_balance(call: Call) -> Response:
    """GET /portfolio/balance: what is free for new orders, in cut-off cents and in dollars, and by shard."""
    subaccount, shard = call.subaccount(call.integer("subaccount"), 0), call.integer("exchange_index")
    purses = {
        index: purse.seen(call.as_of_us)
        for (of, index), purse in sorted(call.account.purses.items())
        if of == subaccount and shard in (None, index)
    }
    total = sum(purse.available_e6 for purse in purses.values())
    return json_response(
        200,
        {
            "balance": total // 10_000,
            "balance_dollars": amounts.balance_text(total),
            "portfolio_value": _portfolio_e6(call, subaccount, shard) // 10_000,
            "updated_ts": max([purse.at_us for purse in purses.values()], default=0) // amounts.MICROS,
            "balance_breakdown": [
                {"exchange_index": index, "balance": amounts.balance_text(purse.available_e6)}
                for index, purse in purses.items()
            ],
        },
    )


def _portfolio_e6(call: Call, subaccount: int | None, shard: int | None) -> int:
    """Open positions at what the book would pay for them now."""
    total = 0
    for (of, name), holding in call.account.holdings.items():
        state, market, book = holding.seen(call.as_of_us), call.state.markets[name], call.state.books[name]
        if state is None or of != subaccount or shard not in (None, market.exchange_index):
            continue
        price = book.bids.best() or 0
        if state.position_e2 < 0:
            price = amounts.ONE_DOLLAR_E4 - (book.asks.best() or amounts.ONE_DOLLAR_E4)
        total += abs(state.position_e2) * price
    return total


def list_settlements(call: Call) -> Response:
    """GET /portfolio/settlements."""
    ticker, event = call.request.first("ticker"), call.request.first("event_ticker")
    subaccount = call.subaccount(call.integer("subaccount"), None)
    after, before = call.after_us("min_ts"), call.before_us("max_ts")
    rows = []
    for settlement in reversed(call.account.settlements):
        market = call.state.markets[settlement.ticker]
        if ticker not in (None, market.ticker) or event not in (None, market.event_ticker):
            continue
        if subaccount not in (None, settlement.subaccount):
            continue
        if (after is not None and settlement.at_us < after) or (before is not None and settlement.at_us > before):
            continue
        rows.append(settlement_document(settlement, market.event_ticker, market.exchange_index))
    shown, cursor = in_order(call, rows)
    return json_response(200, {"settlements": shown, "cursor": cursor})


def list_queue_positions(call: Call) -> Response:
    """GET /portfolio/orders/queue_positions: contracts ahead of each resting order."""
    tickers, events = set(call.request.every("market_tickers")), set(call.request.every("event_ticker"))
    subaccount = call.subaccount(call.integer("subaccount"), 0)
    rows = []
    for order in call.account.orders:
        ticker = order.ticket.ticker
        if order.now.status != "resting" or order.ticket.subaccount != subaccount:
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


def get_resting_value(call: Call) -> Response:
    """GET /portfolio/summary/total_resting_order_value: what resting orders hold back, in cents."""
    shards: dict[int, int] = {}
    for order in call.account.orders:
        if order.now.status == "resting":
            shards[order.exchange_index] = shards.get(order.exchange_index, 0) + order.now.reserved_e6
    return json_response(
        200,
        {
            "total_resting_order_value": sum(shards.values()) // 10_000,
            "resting_order_value_breakdown": [
                {"exchange_index": index, "balance": amounts.balance_text(value)}
                for index, value in sorted(shards.items())
            ],
        },
    )


def list_subaccount_balances(call: Call) -> Response:
    """GET /portfolio/subaccounts/balances."""
    rows = []
    for (subaccount, index), purse in sorted(call.account.purses.items()):
        seen = purse.seen(call.as_of_us)
        rows.append(
            {
                "subaccount_number": subaccount,
                "exchange_index": index,
                "balance": amounts.balance_text(seen.available_e6),
                "updated_ts": seen.at_us // amounts.MICROS,
            }
        )
    return json_response(200, {"subaccount_balances": rows})
