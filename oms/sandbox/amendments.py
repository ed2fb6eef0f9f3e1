"""Changing a resting order: amend (price, size, expiry, id) and decrease.

The order id stays. A smaller size or another expiry keeps the place in the queue; another price or a larger size
loses it, and may trade at once. The `count` of an amend is the total: what was filled plus what shall remain.
"""

from typing import NamedTuple

import msgspec

from oms.sandbox.account import Account
from oms.sandbox.amounts import MICROS, fee_e6
from oms.sandbox.desk import Desk, check_tradable, reserve, taker_fees
from oms.sandbox.markets import Market
from oms.sandbox.matching import Plan, plan
from oms.sandbox.orders import Order, Status, cost_e6
from oms.sandbox.refusals import refuse
from oms.sandbox.state import Moment

NOTHING = Plan([], [], False)


class Amendment(NamedTuple):
    """What an amend asks for. `expiration_time`: None keeps it, 0 clears it, else Unix seconds."""

    ticker: str
    side: str
    price_e4: int
    count_e2: int
    client_order_id: str
    updated_client_order_id: str
    expiration_time: int | None


def amend(desk: Desk, account: Account, order: Order, wanted: Amendment, when: Moment) -> Plan:
    """Amend a resting order; returns the trades it made. Raises Refusal, and then nothing was changed."""
    desk.check_open()
    market = desk.state.markets[order.ticket.ticker]
    _check(desk, account, order, wanted, market, when)
    before = order.now
    remaining = wanted.count_e2 - before.fill_e2
    keeps_place = wanted.price_e4 == before.price_e4 and remaining <= before.remaining_e2
    planned = NOTHING if keeps_place else _plan(desk, account, order, wanted, remaining)
    _check_money(account, order, market, wanted, remaining, planned)
    if wanted.updated_client_order_id:
        desk.state.rename(order, wanted.updated_client_order_id, when.at_us)
    expiry = before.expiration_time if wanted.expiration_time is None else wanted.expiration_time or None
    if keeps_place:
        _resize(desk, account, order, remaining, wanted.count_e2, expiry, when)
    else:
        _requeue(desk, account, order, wanted, remaining, planned, expiry, when)
        desk.trigger_hit(when)
    return planned


def decrease(desk: Desk, account: Account, order: Order, to_e2: int, when: Moment) -> None:
    """Leave only `to_e2` contracts of a resting order; with none left it is canceled."""
    desk.check_open()
    before = order.now
    if to_e2 == 0:
        desk.end(order, when, "Decrease")
    elif to_e2 < before.remaining_e2:
        _resize(desk, account, order, to_e2, before.initial_e2, before.expiration_time, when)


def _check(desk: Desk, account: Account, order: Order, wanted: Amendment, market: Market, when: Moment) -> None:
    if wanted.ticker != order.ticket.ticker:
        raise refuse(400, "order_ticker_mismatch")
    if wanted.side != order.ticket.side:
        raise refuse(400, "order_side_mismatch")
    if wanted.client_order_id not in ("", order.ticket.client_order_id):
        raise refuse(400, "order_id_and_client_order_id_mismatch")
    if wanted.updated_client_order_id:
        desk.check_unused(account, wanted.updated_client_order_id)
    check_tradable(market)
    if not market.has_price(wanted.price_e4):
        raise refuse(400, "invalid_price")
    if wanted.count_e2 <= order.now.fill_e2:
        raise refuse(400, "INVALID_AMEND_QTY_FOR_ORDER", "INVALID_AMEND_QTY_FOR_ORDER")
    if wanted.expiration_time and wanted.expiration_time * MICROS <= when.at_us:
        raise refuse(400, "invalid_order", details="expiration is in the past")


def _plan(desk: Desk, account: Account, order: Order, wanted: Amendment, remaining: int) -> Plan:
    facing = desk.state.books[wanted.ticker].facing(order.ticket.side)
    if order.ticket.post_only and facing.crosses(wanted.price_e4):
        raise refuse(400, "invalid_order", details="post only cross")
    prevention = order.ticket.self_trade_prevention_type
    return plan(facing, wanted.price_e4, remaining, account.user_id, prevention)


def _closable(account: Account, order: Order) -> int:
    """What the order may close, its own present claim included."""
    ticket = order.ticket
    return account.closable_e2(ticket.subaccount, ticket.ticker, ticket.side, order.now.closing_e2)


def _check_money(
    account: Account, order: Order, market: Market, wanted: Amendment, remaining: int, planned: Plan
) -> None:
    opening = remaining - min(remaining, _closable(account, order))
    needed = cost_e6(order.ticket.side, wanted.price_e4, opening) + taker_fees(planned)
    needed += fee_e6(remaining - planned.count_e2, wanted.price_e4, market.series.maker_rate_e4)
    purse = account.purse(order.ticket.subaccount, order.exchange_index)
    # An order that needs no more than before is never short, whatever happened to the purse since.
    if needed > order.now.reserved_e6 and needed > purse.available_e6 + order.now.reserved_e6:
        raise refuse(400, "insufficient_balance")


def _resize(
    desk: Desk, account: Account, order: Order, remaining: int, initial: int, expiry: int | None, when: Moment
) -> None:
    before, market = order.now, desk.state.markets[order.ticket.ticker]
    closing = min(before.closing_e2, remaining)
    desk.state.books[market.ticker].half(order.ticket.side).shrink(order, before.remaining_e2 - remaining)
    after = msgspec.structs.replace(
        before,
        at_us=when.at_us,
        shown_us=when.shown_us,
        initial_e2=initial,
        remaining_e2=remaining,
        closing_e2=closing,
        reserved_e6=reserve(market, order, remaining, closing, before.price_e4),
        expiration_time=expiry,
        reason="Amend",
        client_order_id=order.ticket.client_order_id,
    )
    desk.change(order, after)
    desk.watch_expiry(order)
    desk.stamp(account, order, when)


def _requeue(
    desk: Desk,
    account: Account,
    order: Order,
    wanted: Amendment,
    remaining: int,
    planned: Plan,
    expiry: int | None,
    when: Moment,
) -> None:
    before, market = order.now, desk.state.markets[order.ticket.ticker]
    half = desk.state.books[market.ticker].half(order.ticket.side)
    half.shrink(order, before.remaining_e2)
    for own in planned.self_canceled:
        desk.end(own, when, "SelfTradeCancel")
    spent = sum(cost_e6(order.ticket.side, take.maker.now.price_e4, take.count_e2) for take in planned.takes)
    for take in planned.takes:
        desk.trade(order, take, when)
    left = 0 if planned.stopped else remaining - planned.count_e2
    status: Status = "resting" if left else "canceled" if planned.stopped else "executed"
    closing = min(left, _closable(account, order))
    after = msgspec.structs.replace(
        before,
        at_us=when.at_us,
        shown_us=when.shown_us,
        status=status,
        price_e4=wanted.price_e4,
        initial_e2=wanted.count_e2,
        fill_e2=before.fill_e2 + planned.count_e2,
        remaining_e2=left,
        taker_cost_e6=before.taker_cost_e6 + spent,
        taker_fees_e6=before.taker_fees_e6 + taker_fees(planned),
        closing_e2=closing,
        reserved_e6=reserve(market, order, left, closing, wanted.price_e4),
        expiration_time=expiry,
        place=desk.state.take_place(),
        reason="Amend",
        client_order_id=order.ticket.client_order_id,
    )
    desk.change(order, after)
    if status == "resting":
        half.add(order)
        desk.watch_expiry(order)
    desk.stamp(account, order, when)
