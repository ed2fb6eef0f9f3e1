"""An account with a long past, made at once: so many orders and fills as no test would place one by one.

What it makes fits together as if it had been traded: each order's counts, costs and fees are the sums of its fills,
positions and cash follow from the fills, and what rests is in the book and reserved. It is written straight into the
exchange's file, so nothing may serve that at the same time.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from oms.sandbox.account import Account, Fill, HoldingState, Movement, turned
from oms.sandbox.amounts import MICROS, fee_e6
from oms.sandbox.desk import reserve
from oms.sandbox.exchange import Exchange
from oms.sandbox.incidents import move_money
from oms.sandbox.markets import CENT_E4, TAKER_RATE_E4, Market
from oms.sandbox.options import ServeOptions
from oms.sandbox.orders import Order, Side, Status, Ticket, Version, cost_e6
from oms.sandbox.server import only_server_of, open_exchange
from oms.sandbox.state import Moment, Trade

DAY_US = 86_400 * MICROS
COMMIT_EVERY = 5_000
# Counts of single fills in count_e2: whole contracts, and now and then one that came in two parts.
COUNTS = (100, 200, 95, 5, 100, 300, 100, 50, 250, 100, 33)


class Wanted(NamedTuple):
    """How much past: `resting` orders are the newest ones, the others ended within the last `days`."""

    orders: int
    fills: int
    resting: int = 0
    days: int = 30


class Made(NamedTuple):
    """What was made; `deposited_e6` was paid in at its beginning so that no purse ran dry."""

    orders: int
    fills: int
    resting: int
    markets: int
    deposited_e6: int


class Served(Exception):
    """A sandbox serves the directory."""


def load(options: ServeOptions, wanted: Wanted) -> Made:
    """Give the sandbox of a directory a past, made or resumed as `serve` does it; committed on return.

    Raises Served while one runs there, ValueError for what cannot be.
    """
    options.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_server_of(options.dir) as is_only:
        if not is_only:
            raise Served
        exchange, _ = open_exchange(options, [])
        try:
            return fill_account(exchange, wanted, time.time_ns() // 1000)
        finally:
            exchange.state.journal.close()


class _Plan(NamedTuple):
    """One order to be: where, when, and the counts of its fills."""

    number: int
    market: Market
    subaccount: int
    side: Side
    price_e4: int
    at_us: int
    counts: list[int]
    status: Status
    left_e2: int  # neither filled nor, if it rests, canceled


def fill_account(exchange: Exchange, wanted: Wanted, now_us: int) -> Made:
    """Give the exchange's own account its past; committed on return.

    The same request of an equally founded exchange makes the same. Raises ValueError for what cannot be.
    """
    if wanted.orders < 1 or not 0 <= wanted.resting <= wanted.orders or wanted.fills < 0 or wanted.days < 1:
        raise ValueError("at least one order, resting ones among them, and at least one day")
    state = exchange.state
    account = state.accounts[state.user_id]
    maker = _Maker(exchange, account)
    for plan in _plans(exchange, wanted, now_us):
        maker.make(plan)
        if plan.number % COMMIT_EVERY == 0:
            state.journal.commit()
    deposited = maker.finish(now_us)
    state.now_us = max(state.now_us, now_us)
    state.journal.commit()
    return Made(wanted.orders, wanted.fills, wanted.resting, len(maker.markets), deposited)


def _plans(exchange: Exchange, wanted: Wanted, now_us: int) -> Iterator[_Plan]:
    """The orders, oldest first, their fills spread evenly, and no two at the same microsecond."""
    state = exchange.state
    markets = [market for market in state.markets.values() if market.status == "active"]
    span = wanted.days * DAY_US
    each, more = divmod(wanted.fills, wanted.orders)
    for number in range(wanted.orders):
        market = markets[number * 7 % len(markets)]
        draw = int.from_bytes(state.ids.digest("bulk", number)[:4])
        side: Side = "bid" if draw & 1 else "ask"
        rests = number >= wanted.orders - wanted.resting
        counts = [COUNTS[(draw + 3 * turn) % len(COUNTS)] for turn in range(each + (number < more))]
        status: Status = "resting" if rests else "canceled" if draw % 3 == 0 or not counts else "executed"
        yield _Plan(
            number=number,
            market=market,
            # Money of the second subaccount is on the first shard only.
            subaccount=1 if market.exchange_index == 0 and draw % 16 == 0 else 0,
            side=side,
            price_e4=_price(exchange, market, side, draw >> 8, rests),
            at_us=now_us - span + span * number // wanted.orders,
            counts=counts,
            status=status,
            left_e2=0 if status == "executed" else 100 + draw % 400,
        )


def _price(exchange: Exchange, market: Market, side: Side, draw: int, rests: bool) -> int:
    """A price in whole cents: of what rests behind the best quote of its own side, else anywhere about the middle."""
    book = exchange.state.books[market.ticker]
    best = book.half(side).best() or (CENT_E4 if side == "bid" else 99 * CENT_E4)
    best -= best % CENT_E4
    step = draw % 5 if rests else draw % 31 - 15
    cents = best // CENT_E4 + (-step if side == "bid" else step)
    return min(max(cents, 1), 99) * CENT_E4


class _Maker:
    """Makes the orders one after the other, and the account's positions and purses as they result."""

    def __init__(self, exchange: Exchange, account: Account) -> None:
        self.exchange = exchange
        self.state = exchange.state
        self.account = account
        self.markets: dict[str, Market] = {}
        self.held = {key: holding.now for key, holding in account.holdings.items()}
        self.touched: dict[tuple[int, str], HoldingState] = {}
        self.cash_e6: dict[tuple[int, int], int] = {}
        self.lowest_e6: dict[tuple[int, int], int] = {}
        self.first_us = 0

    def make(self, plan: _Plan) -> None:
        """Place one order with all that became of it. Its last version stands for all of its life."""
        state, market = self.state, plan.market
        self.markets[market.ticker] = market
        self.first_us = self.first_us or plan.at_us
        filled = sum(plan.counts)
        ticket = Ticket(
            ticker=market.ticker,
            client_order_id=f"bulk-{state.next_seq}",
            side=plan.side,
            count_e2=filled + plan.left_e2,
            price_e4=plan.price_e4,
            time_in_force="good_till_canceled",
            self_trade_prevention_type="taker_at_cross",
            subaccount=plan.subaccount,
            action="buy" if plan.side == "bid" else "sell",
        )
        order = state.new_order(self.account.user_id, ticket, market.exchange_index, plan.at_us)
        takers = [turn == 0 and plan.number % 4 == 0 for turn in range(len(plan.counts))]
        fees = [self._fill(order, count, turn, takers[turn]) for turn, count in enumerate(plan.counts)]
        at_us = plan.at_us + len(plan.counts)
        rests = plan.status == "resting"
        reserved = reserve(market, order, plan.left_e2, 0, plan.price_e4) if rests else 0
        version = Version(
            at_us=at_us,
            shown_us=at_us,
            status=plan.status,
            price_e4=plan.price_e4,
            initial_e2=ticket.count_e2,
            fill_e2=filled,
            remaining_e2=plan.left_e2 if rests else 0,
            taker_cost_e6=self._cost(plan, takers, True),
            maker_cost_e6=self._cost(plan, takers, False),
            taker_fees_e6=sum(fee for fee, is_taker in zip(fees, takers, strict=True) if is_taker),
            maker_fees_e6=sum(fee for fee, is_taker in zip(fees, takers, strict=True) if not is_taker),
            reserved_e6=reserved,
            closing_e2=0,
            expiration_time=None,
            place=state.take_place(),
            reason="Trade" if plan.status == "executed" else "",
            client_order_id=ticket.client_order_id,
        )
        state.add_version(order, version)
        if rests:
            state.books[market.ticker].half(plan.side).add(order)
            self.account.purse(plan.subaccount, market.exchange_index).reserved_e6 += reserved

    def _cost(self, plan: _Plan, takers: list[bool], is_taker: bool) -> int:
        count = sum(count for count, taken in zip(plan.counts, takers, strict=True) if taken is is_taker)
        return cost_e6(plan.side, plan.price_e4, count)

    def _fill(self, order: Order, count: int, turn: int, is_taker: bool) -> int:
        """One fill with its public trade; returns the fee."""
        ticket, state = order.ticket, self.state
        side, price, at_us = ticket.side, ticket.price_e4, order.created_us + turn + (not is_taker)
        rate = TAKER_RATE_E4 if is_taker else state.markets[ticket.ticker].series.maker_rate_e4
        fee = fee_e6(count, price, rate)
        trade_id = state.ids.uuid("trade", len(state.trades))
        taker_side = side if is_taker else "ask" if side == "bid" else "bid"
        state.add_trade(Trade(trade_id, ticket.ticker, price, count, taker_side, at_us))
        latest = max(at_us, self.account.latest_filled_us)
        state.add_fill(self.account, Fill(trade_id, order, price, count, is_taker, fee, at_us, at_us, latest))
        key, purse = (ticket.subaccount, ticket.ticker), (ticket.subaccount, order.exchange_index)
        after, cash = turned(self.held.get(key) or HoldingState(at_us, at_us), side, price, count, fee)
        self.held[key] = self.touched[key] = msgspec.structs.replace(after, at_us=at_us, shown_us=at_us)
        self.cash_e6[purse] = self.cash_e6.get(purse, 0) + cash - fee
        self.lowest_e6[purse] = min(self.lowest_e6.get(purse, 0), self.cash_e6[purse])
        return fee

    def finish(self, now_us: int) -> int:
        """Write the positions and purses that resulted; returns what had to be paid in, in dollars x 10^6."""
        account, deposited = self.account, 0
        for (subaccount, shard), lowest in sorted(self.lowest_e6.items()):
            purse = account.purse(subaccount, shard)
            lacking = purse.reserved_e6 - purse.cash_e6 - lowest
            if lacking > 0:
                amount = -(-lacking // MICROS) * MICROS  # whole dollars
                name = self.state.ids.uuid("movement", account.user_id, len(account.movements))
                paid = Movement(name, "deposit", None, subaccount, shard, amount, self.first_us)
                move_money(self.exchange.desk, account, paid, Moment(now_us, now_us))
                deposited += amount
        for (subaccount, ticker), held in self.touched.items():
            self.state.set_holding(account, subaccount, ticker, held)
        for (subaccount, shard), change in self.cash_e6.items():
            account.purse(subaccount, shard).cash_e6 += change
        for subaccount, shard in sorted(account.purses):
            self.state.stamp_purse(account, subaccount, shard, now_us, now_us)
        return deposited
