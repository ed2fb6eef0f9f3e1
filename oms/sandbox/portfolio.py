"""Signed reads of what the account holds: positions, balance, settlements, deposits, subaccounts.

They show what had been committed by `call.as_of_us`, so a read lag hides exactly what came later.
"""

from collections.abc import Iterator
from typing import Any

from oms.sandbox import amounts
from oms.sandbox.account import HoldingState, Movement, Settlement, position_document, settlement_document
from oms.sandbox.calls import Call
from oms.sandbox.listing import in_order, newest_first
from oms.sandbox.refusals import bad_query
from oms.sandbox.wire import Response, json_response


def _held(call: Call) -> Iterator[tuple[str, HoldingState]]:
    """The positions of one subaccount, the primary one unless named, that the filters of both lists let through."""
    subaccount, shard = call.subaccount(call.integer("subaccount"), 0), call.integer("exchange_index")
    ticker, event = call.request.first("ticker"), call.request.first("event_ticker")
    for (of, name), holding in sorted(call.account.holdings.items(), key=lambda item: item[0]):
        market, state = call.state.markets[name], holding.seen(call.as_of_us)
        if state is None or of != subaccount or shard not in (None, market.exchange_index):
            continue
        if ticker in (None, name) and event in (None, market.event_ticker):
            yield name, state


def _is_settled(call: Call, ticker: str) -> bool:
    market = call.state.markets[ticker]
    return market.status == "finalized" and market.settled_us <= call.as_of_us


def _is_archived(call: Call, event_ticker: str) -> bool:
    """Have all markets of the event settled before the cutoff? Positions move to the archive by whole events."""
    markets = [market for market in call.state.markets.values() if market.event_ticker == event_ticker]
    return all(market.status == "finalized" and market.settled_us < call.cutoff_us for market in markets)


def _positions(call: Call, held: list[tuple[str, HoldingState]]) -> Response:
    documents = [position_document(name, call.state.markets[name].exchange_index, state) for name, state in held]
    rows, cursor = in_order(call, documents)
    return json_response(200, {"market_positions": rows, "event_positions": _by_event(call, held), "cursor": cursor})


def list_positions(call: Call) -> Response:
    """GET /portfolio/positions: what is not settled, unless `settlement_status` says settled or all."""
    wanted = call.request.first("settlement_status") or "unsettled"
    if wanted not in ("unsettled", "settled", "all"):
        raise bad_query(call.operation, "SettlementStatus", "oneof")
    counted = call.request.every("count_filter")
    held = []
    for name, state in _held(call):
        is_settled = _is_settled(call, name)
        if wanted != "all" and is_settled != (wanted == "settled"):
            continue
        if is_settled and _is_archived(call, call.state.markets[name].event_ticker):
            continue
        if ("position" in counted and not state.position_e2) or ("total_traded" in counted and not state.traded_e6):
            continue
        held.append((name, state))
    return _positions(call, held)


def list_historical_positions(call: Call) -> Response:
    """GET /historical/positions: settled positions of events that were handed over as a whole."""
    return _positions(
        call, [held for held in _held(call) if _is_archived(call, call.state.markets[held[0]].event_ticker)]
    )


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
        if purse.is_used and of == subaccount and shard in (None, index)
    }
    total = sum(purse.available_e6 for purse in purses.values())
    answer: dict[str, Any] = {
        "balance": total // 10_000,
        "balance_dollars": amounts.balance_text(total),
        "portfolio_value": _portfolio_e6(call, subaccount, shard) // 10_000,
        "updated_ts": max([purse.at_us for purse in purses.values()], default=0) // amounts.MICROS,
    }
    if call.key is None or call.key.subaccount is None:  # a key locked to a subaccount gets no breakdown
        answer["balance_breakdown"] = [
            {"exchange_index": index, "balance": amounts.balance_text(purse.available_e6)}
            for index, purse in purses.items()
        ]
    return json_response(200, answer)


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
    """GET /portfolio/settlements, newest first; archived ones are in no list."""
    ticker, event = call.request.first("ticker"), call.request.first("event_ticker")
    subaccount = call.subaccount(call.integer("subaccount"), None)
    after, before = call.after_us("min_ts"), call.before_us("max_ts")

    def show(settlement: Settlement) -> dict[str, Any] | None:
        market, at_us = call.state.markets[settlement.ticker], settlement.at_us
        wanted = (
            call.cutoff_us <= at_us <= call.as_of_us
            and ticker in (None, market.ticker)
            and event in (None, market.event_ticker)
            and subaccount in (None, settlement.subaccount)
            and (after is None or at_us >= after)
            and (before is None or at_us <= before)
        )
        return settlement_document(settlement, market.event_ticker, market.exchange_index) if wanted else None

    rows, cursor = newest_first(call, call.account.settlements, show)
    return json_response(200, {"settlements": rows, "cursor": cursor})


def _movements(call: Call, kind: str) -> Response:
    """Deposits or withdrawals, newest first."""

    def show(movement: Movement) -> dict[str, Any] | None:
        if movement.kind != kind or movement.at_us > call.as_of_us:
            return None
        at_s = movement.at_us // amounts.MICROS
        return {
            "id": movement.movement_id,
            "status": "applied",
            "type": "ach",
            "amount_cents": movement.amount_e6 // 10_000,
            "fee_cents": 0,
            "created_ts": at_s,
            "finalized_ts": at_s,
        }

    rows, cursor = newest_first(call, call.account.movements, show)
    return json_response(200, {f"{kind}s": rows, "cursor": cursor})


def list_deposits(call: Call) -> Response:
    """GET /portfolio/deposits."""
    return _movements(call, "deposit")


def list_withdrawals(call: Call) -> Response:
    """GET /portfolio/withdrawals."""
    return _movements(call, "withdrawal")


def get_resting_value(call: Call) -> Response:
    """GET /portfolio/summary/total_resting_order_value: what resting orders hold back, in cents."""
    shards: dict[int, int] = {}
    for order in call.account.resting.values():
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
