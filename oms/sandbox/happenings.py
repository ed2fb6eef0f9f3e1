"""What others do at the exchange, as control requests tell it: markets turn, strangers trade and quote, money moves.

Each struct is one key of POST /sandbox/control. `steps` checks all of a request and returns what is to be done.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import msgspec

from oms.sandbox import amounts, endings, incidents
from oms.sandbox.account import Account, Movement
from oms.sandbox.auth import EVERYTHING, key_of_private
from oms.sandbox.endings import RESULTS, STATUSES, Turn
from oms.sandbox.exchange import Exchange
from oms.sandbox.markets import Market
from oms.sandbox.orders import Order, Side, Ticket
from oms.sandbox.state import Moment
from oms.sandbox.tickets import LATEST_EXPIRY_S

Step = Callable[[], object]
Subaccount = Annotated[int, msgspec.Meta(ge=0, le=63)]


class MarketChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A market's status, its result when it is determined or settles, and when it closes by itself (Unix seconds)."""

    ticker: str
    status: str | None = None
    result: str | None = None
    value: str | None = None  # with the result scalar: what a YES contract is worth, in dollars
    close_ts: Annotated[int, msgspec.Meta(ge=0, le=LATEST_EXPIRY_S)] | None = None


class Outside(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order of somebody else: `side` and `price` are the YES book's."""

    ticker: str
    side: str
    price: str
    count: str
    client_order_id: str | None = None  # trade: only against the order with this id


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Orders of the account: one by its order_id or client_order_id, or all that rest in a market."""

    order: str | None = None
    ticker: str | None = None
    reason: str = "MarginCancel"  # cancel: the stream's word for it
    count: str = ""  # fill, late_fill: how many contracts; for a fill "" is all that rests


class Funding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a purse holds from now on (balance), or what comes or goes (deposit, withdraw)."""

    dollars: str
    subaccount: Subaccount = 0
    exchange_index: Annotated[int, msgspec.Meta(ge=0, le=2)] = 0


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A further key of the account, or of another user."""

    private_pem: str
    scopes: tuple[str, ...] = EVERYTHING
    subaccount: int | None = None
    user_id: str | None = None


class Happenings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of a control request that are facts of the market rather than settings."""

    balance: Funding | None = None
    deposit: Funding | None = None
    withdraw: Funding | None = None
    add_key: NewKey | None = None
    quote: Outside | None = None
    trade: Outside | None = None
    fill: Named | None = None
    cancel: Named | None = None
    late_fill: Named | None = None
    market: MarketChange | None = None


def steps(exchange: Exchange, told: Happenings, when: Moment) -> list[Step]:
    """Everything to be done, checked, nothing done yet; raises ValueError saying what is wrong."""
    found: list[Step] = []
    for name in Happenings.__struct_fields__:
        given = getattr(told, name)
        if given is not None:
            found += _CHECKS[name](exchange, given, when)
    return found


def _balance(exchange: Exchange, given: Funding, when: Moment) -> list[Step]:
    cash = _money(given.dollars)

    def fund() -> None:
        account = _account(exchange)
        account.purse(given.subaccount, given.exchange_index).cash_e6 = cash
        exchange.state.stamp_purse(account, given.subaccount, given.exchange_index, *when)

    return [fund]


def _movement(kind: str, exchange: Exchange, given: Funding, when: Moment) -> list[Step]:
    amount, account = _money(given.dollars), _account(exchange)
    come, went = (given.subaccount, None) if kind == "deposit" else (None, given.subaccount)
    number = len(account.movements)
    made = Movement(
        movement_id=exchange.state.ids.uuid("movement", account.user_id, number),
        kind=kind,
        from_subaccount=went,
        to_subaccount=come,
        exchange_index=given.exchange_index,
        amount_e6=amount,
        at_us=when.at_us,
    )
    return [partial(incidents.move_money, exchange.desk, account, made, when)]


def _add_key(exchange: Exchange, given: NewKey, when: Moment) -> list[Step]:
    user_id = given.user_id or exchange.state.user_id
    key = key_of_private(given.private_pem.encode(), user_id, given.scopes, given.subaccount)
    return [partial(exchange.add_key, key), lambda: ("added_key_id", key.key_id)]


def _quote(exchange: Exchange, given: Outside, when: Moment) -> list[Step]:
    ticket, market = _ticket(exchange, given), _market(exchange, given.ticker)
    if exchange.state.books[ticket.ticker].facing(ticket.side).crosses(ticket.price_e4):
        raise ValueError("the quote would trade at once: use `trade` for that")
    price, count = ticket.price_e4, ticket.count_e2
    return [partial(exchange.state.rest_stranger, "outsider", market, ticket.side, price, count, when.at_us)]


def _trade(exchange: Exchange, given: Outside, when: Moment) -> list[Step]:
    ticket = _ticket(exchange, given)

    def accept(order: Order) -> bool:
        is_wanted = given.client_order_id in (None, order.ticket.client_order_id)
        return order.user_id in exchange.state.accounts and is_wanted

    # Against resting orders of accounts only, past the strangers in front of them.
    return [lambda: ("traded_orders", len(exchange.desk.outside_trade(ticket, when, accept)))]


def _fill(exchange: Exchange, given: Named, when: Moment) -> list[Step]:
    """A stranger trades with one order at its price: the one named, or the first in turn of those in a market."""
    resting = [order for order in _named(exchange, given) if order.now.status == "resting"]
    if not resting:
        raise ValueError("no such order of an account rests there")
    order, wanted = resting[0], {each.seq for each in resting}
    if len(wanted) > 1:
        book = exchange.state.books[order.ticket.ticker]
        order = next(each for half in (book.bids, book.asks) for each in half.best_first() if each.seq in wanted)
    left = order.now.remaining_e2
    count = amounts.count_e2(given.count) if given.count else left
    if not count or count > left:
        raise ValueError(f"fill.count is above 0 and at most the {amounts.count_text(left)} that rest")
    other: Side = "ask" if order.ticket.side == "bid" else "bid"
    ticket = _stranger(order.ticket.ticker, other, order.now.price_e4, count)
    trade = partial(exchange.desk.outside_trade, ticket, when, lambda each: each is order)
    return [lambda: ("traded_orders", len(trade())), lambda: ("filled_order_id", order.order_id)]


def _cancel(exchange: Exchange, given: Named, when: Moment) -> list[Step]:
    if given.reason not in incidents.REASONS:
        raise ValueError(f"cancel.reason is one of {', '.join(incidents.REASONS)}")
    orders = _named(exchange, given)
    return [lambda: ("canceled_orders", incidents.cancel_unasked(exchange.desk, orders, given.reason, when))]


def _late_fill(exchange: Exchange, given: Named, when: Moment) -> list[Step]:
    count, orders = amounts.count_e2(given.count), _named(exchange, given)
    if not count or len(orders) != 1:
        raise ValueError("late_fill names one order, and a count above 0 with at most two decimals")
    incidents.check_late(orders[0], count)
    return [partial(incidents.print_late, exchange.desk, orders[0], count, when)]


def _turn(exchange: Exchange, given: MarketChange, when: Moment) -> list[Step]:
    market, scalar = _market(exchange, given.ticker), amounts.price_e4(given.value or "")
    if given.status not in (None, *STATUSES) or given.result not in (None, *RESULTS):
        raise ValueError(f"market.status is one of {', '.join(STATUSES)}; result is one of {', '.join(RESULTS)}")
    if (given.result == "scalar") != (given.value is not None):
        raise ValueError("market.value goes with the result scalar, and only with it")
    if given.value is not None and (scalar is None or scalar > amounts.ONE_DOLLAR_E4):
        raise ValueError("market.value is 0 to 1 dollar with at most four decimals")
    if given.status is None and given.close_ts is None:
        raise ValueError("market needs a status or a close_ts")
    if given.close_ts is not None and given.close_ts * amounts.MICROS <= when.at_us:
        raise ValueError("market.close_ts is in the past: use the status closed")
    if market.status == "finalized" and given.status != "settled":
        raise ValueError(f"{market.ticker} is settled, and stays so")
    result = given.result or market.result or "yes"
    closes_us = None if given.close_ts is None else given.close_ts * amounts.MICROS
    value = market.value_e4 if scalar is None else scalar
    return [partial(endings.turn, exchange.desk, market, Turn(given.status, result, value, closes_us), when)]


_CHECKS: dict[str, Callable[..., list[Step]]] = {
    "balance": _balance,
    "deposit": partial(_movement, "deposit"),
    "withdraw": partial(_movement, "withdrawal"),
    "add_key": _add_key,
    "quote": _quote,
    "trade": _trade,
    "fill": _fill,
    "cancel": _cancel,
    "late_fill": _late_fill,
    "market": _turn,
}


def _account(exchange: Exchange) -> Account:
    return exchange.state.accounts[exchange.state.user_id]


def _market(exchange: Exchange, ticker: str) -> Market:
    market = exchange.state.markets.get(ticker)
    if market is None:
        raise ValueError(f"no market is called {ticker}")
    return market


def _money(text: str) -> int:
    cents = amounts.count_e2(text)
    if cents is None:
        raise ValueError("dollars is an amount with at most two decimals")
    return cents * 10_000


def _ticket(exchange: Exchange, outside: Outside) -> Ticket:
    market = _market(exchange, outside.ticker)
    price, count = amounts.price_e4(outside.price), amounts.count_e2(outside.count)
    if outside.side not in ("bid", "ask") or price is None or not market.has_price(price) or not count:
        raise ValueError("side is bid or ask, price on the market's grid, count above 0")
    return _stranger(outside.ticker, "bid" if outside.side == "bid" else "ask", price, count)


def _stranger(ticker: str, side: Side, price_e4: int, count_e2: int) -> Ticket:
    return Ticket(
        ticker=ticker,
        client_order_id="",
        side=side,
        count_e2=count_e2,
        price_e4=price_e4,
        time_in_force="immediate_or_cancel",
        self_trade_prevention_type="taker_at_cross",
    )


def _named(exchange: Exchange, given: Named) -> list[Order]:
    """The orders of accounts that are meant; raises ValueError for none but where a whole market is named."""
    ticker = None if given.ticker is None else _market(exchange, given.ticker).ticker
    accounts = exchange.state.accounts
    if given.order is None:
        resting = [order for account in accounts.values() for order in account.resting.values()]
        return [order for order in resting if order.ticket.ticker == ticker]
    by_id = exchange.state.by_order_id.get(given.order)
    found = [by_id] if by_id is not None and by_id.user_id in accounts else []
    for account in accounts.values():
        found += filter(None, [account.by_client_order_id.get(given.order)])
    found = [order for order in found if ticker in (None, order.ticket.ticker)]
    if not found:
        raise ValueError(f"no order {given.order} of an account{f' in {ticker}' if ticker else ''}")
    return found[:1]
