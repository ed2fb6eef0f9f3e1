"""What happens to an account without its asking: the exchange cancels an order, a fill is printed late, money moves."""

import msgspec

from oms.sandbox.account import Account, Movement
from oms.sandbox.amounts import count_text, fee_e6
from oms.sandbox.desk import Desk
from oms.sandbox.orders import Order, cost_e6
from oms.sandbox.state import Moment

# The stream's words for cancels that no user asked for.
REASONS = (
    *("MarginCancel", "SelfTradeCancel", "ExpiryCancel", "CloseCancel", "HaltCancel"),
    *("PostOnlyCrossCancel", "ReduceOnlyCancel", "SettlementBoundsCancel"),
)


def cancel_unasked(desk: Desk, orders: list[Order], reason: str, when: Moment) -> int:
    """Cancel what still rests of some orders; returns how many did."""
    resting = [order for order in orders if order.now.status == "resting"]
    for order in resting:
        desk.end(order, when, reason)
    return len(resting)


def check_late(order: Order, count_e2: int) -> None:
    """Raise ValueError for an order that is not canceled, and for more contracts than it left unfilled."""
    now = order.now
    if now.status != "canceled":
        raise ValueError(f"a fill is late only for a canceled order; this one is {now.status}")
    if count_e2 > now.initial_e2 - now.fill_e2:
        raise ValueError(f"the order left {count_text(now.initial_e2 - now.fill_e2)} contracts unfilled")


def print_late(desk: Desk, order: Order, count_e2: int, when: Moment) -> None:
    """Book a trade that a canceled order had made before its cancel, at its own price.

    It stays canceled, or is executed once nothing of it was left unfilled. `check_late` says what can be so booked.
    """
    now, side = order.now, order.ticket.side
    market, price = desk.state.markets[order.ticket.ticker], now.price_e4
    fee = fee_e6(count_e2, price, market.series.maker_rate_e4)
    trade_id = desk.tell_trade(market, price, count_e2, "ask" if side == "bid" else "bid", when)
    after = msgspec.structs.replace(
        now,
        at_us=when.at_us,
        shown_us=when.shown_us,
        status="executed" if now.fill_e2 + count_e2 == now.initial_e2 else "canceled",
        fill_e2=now.fill_e2 + count_e2,
        maker_cost_e6=now.maker_cost_e6 + cost_e6(side, price, count_e2),
        maker_fees_e6=now.maker_fees_e6 + fee,
        reason="Trade",
    )
    desk.change(order, after)
    desk.book_fill(order, trade_id, price, count_e2, False, fee, when)
    desk.stamp(desk.state.accounts[order.user_id], order, when)
    desk.trigger_hit(when)


def move_money(desk: Desk, account: Account, movement: Movement, when: Moment) -> None:
    """Take money from one purse and give it to another; a side that is None is outside the exchange."""
    shard = movement.exchange_index
    for subaccount, sign in ((movement.from_subaccount, -1), (movement.to_subaccount, 1)):
        if subaccount is not None:
            account.purse(subaccount, shard).cash_e6 += sign * movement.amount_e6
            desk.state.stamp_purse(account, subaccount, shard, *when)
    desk.state.add_movement(account, movement)
