"""How a market ends: it closes, its result is determined, its positions are paid.

Closing cancels what rests; determining only tells the result; settling pays each contract of a YES position the
settlement value and each of a NO position a dollar less that, books the profit and writes the settlement.
"""

import msgspec

from oms.sandbox import amounts
from oms.sandbox.account import Account, HoldingState, Settlement
from oms.sandbox.desk import Desk
from oms.sandbox.markets import Market
from oms.sandbox.state import Moment

# The exchange's own status for each word of the market list's filter, and for "determined".
STATUSES = {
    "unopened": "initialized",
    "open": "active",
    "paused": "inactive",
    "closed": "closed",
    "determined": "determined",
    "settled": "finalized",
}
RESULTS = ("yes", "no", "scalar")


class Turn(msgspec.Struct, frozen=True):
    """A market's next status (None: the same) in the words of `STATUSES`, its result, and when it shall close."""

    status: str | None = None
    result: str = ""  # needed to determine or settle, unless it is determined already
    value_e4: int = 0  # what a YES contract of a scalar market is worth
    closes_us: int | None = None  # it closes by itself then


def turn(desk: Desk, market: Market, wanted: Turn, when: Moment) -> None:
    """Make a market's next status true, with everything that follows from it."""
    market.updated_us = when.at_us
    if wanted.closes_us is not None:
        market.close_us = market.closes_us = wanted.closes_us
    if wanted.status is not None:
        market.status = STATUSES[wanted.status]
    if wanted.status in ("closed", "determined", "settled"):
        _close(desk, market, when)
    if wanted.status in ("determined", "settled") and wanted.result:
        market.result = wanted.result
        market.value_e4 = {"yes": amounts.ONE_DOLLAR_E4, "no": 0}.get(wanted.result, wanted.value_e4)
    if wanted.status == "settled":
        market.settled_us = when.at_us
        for account in desk.state.accounts.values():
            _pay(desk, account, market, when)
    desk.state.add_market(market)


def _close(desk: Desk, market: Market, when: Moment) -> None:
    market.close_us, market.closes_us = min(market.close_us, when.at_us), 0
    desk.end_market_orders(market, when)


def close_due(desk: Desk, now_us: int) -> None:
    """Close the markets whose time has come, each at its own instant."""
    for ticker, at_us in sorted(desk.state.closings.items(), key=lambda item: item[1]):
        if at_us <= now_us:
            turn(desk, desk.state.markets[ticker], Turn("closed"), Moment(at_us, at_us))


def _pay(desk: Desk, account: Account, market: Market, when: Moment) -> None:
    """Pay every position of an account in a settled market."""
    for (subaccount, ticker), holding in list(account.holdings.items()):
        held = holding.now
        if ticker != market.ticker or held.position_e2 == 0:
            continue
        each_e4 = market.value_e4 if held.position_e2 > 0 else amounts.ONE_DOLLAR_E4 - market.value_e4
        revenue = abs(held.position_e2) * each_e4
        paid = Settlement(
            ticker=ticker,
            subaccount=subaccount,
            result=market.result,
            position_e2=held.position_e2,
            cost_e6=held.exposure_e6,
            revenue_e6=revenue,
            fees_e6=held.fees_e6,
            at_us=when.at_us,
            value_e4=market.value_e4,
        )
        desk.state.add_settlement(account, paid)
        profit = held.realized_e6 + revenue - held.exposure_e6
        after = HoldingState(*when, 0, 0, profit, held.fees_e6, held.traded_e6)
        desk.state.set_holding(account, subaccount, ticker, after)
        account.purse(subaccount, market.exchange_index).cash_e6 += revenue
        desk.state.stamp_purse(account, subaccount, market.exchange_index, *when)
