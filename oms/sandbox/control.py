"""The control endpoint: settings, pauses, markets, money and strangers, changed while the exchange runs.

It is outside /trade-api and no part of Kalshi's interface. All of a change is checked before any of it is made.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import msgspec

from oms.sandbox import amounts
from oms.sandbox.account import LONGEST_LAG_US
from oms.sandbox.auth import EVERYTHING, key_of_private
from oms.sandbox.exchange import Exchange
from oms.sandbox.faults import read_rules
from oms.sandbox.knobs import Dedupe, Pause, Tier
from oms.sandbox.limits import Meter
from oms.sandbox.markets import STATUS_FILTER, Market
from oms.sandbox.orders import Order, Ticket
from oms.sandbox.state import Moment
from oms.sandbox.tickets import LATEST_EXPIRY_S


class MarketChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A market's status in the words of the market list's filter; `result` when it settles."""

    ticker: str
    status: str
    result: str = "yes"


class Outside(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order of somebody else: `side` and `price` are the YES book's."""

    ticker: str
    side: str
    price: str
    count: str
    client_order_id: str | None = None  # trade: only against the order with this id


class Funding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a purse holds from now on, reservations included."""

    dollars: str
    subaccount: int = 0
    exchange_index: int = 0


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A further key of the account, or of another user."""

    private_pem: str
    scopes: tuple[str, ...] = EVERYTHING
    subaccount: int | None = None
    user_id: str | None = None


class SeedFaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Faults drawn by seed for a share of the requests."""

    rate: Annotated[float, msgspec.Meta(ge=0, le=1)]
    seed: str = "0"


_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=LONGEST_LAG_US // 1000)]
_Offset = Annotated[int, msgspec.Meta(ge=-(10**12), le=10**12)]  # thirty years either way
_Second = Annotated[int, msgspec.Meta(ge=0, le=LATEST_EXPIRY_S)]


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /sandbox/control; what is not given stays as it is."""

    latency_ms: _Milliseconds | None = None
    tier: Tier | None = None
    read_lag_ms: _Milliseconds | None = None
    dedupe: Dedupe | None = None
    burn_refused_ids: bool | None = None
    skew_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] | None = None
    v1_compat: bool | None = None
    pause: Pause | None = None
    clock_offset_ms: _Offset | None = None
    cancel_all_tail_ms: _Milliseconds | None = None
    cancel_all_tail_delay_ms: _Milliseconds | None = None
    historical_cutoff: _Second | None = None
    faults: list[Any] | None = None
    seed_faults: SeedFaults | None = None
    market: MarketChange | None = None
    trade: Outside | None = None
    quote: Outside | None = None
    balance: Funding | None = None
    add_key: NewKey | None = None


_KNOBS = (
    "latency_ms",
    "tier",
    "read_lag_ms",
    "dedupe",
    "burn_refused_ids",
    "v1_compat",
    "clock_offset_ms",
    "cancel_all_tail_ms",
    "cancel_all_tail_delay_ms",
    "historical_cutoff",
)


def apply(exchange: Exchange, body: bytes, now_us: int) -> dict[str, Any]:
    """Make the changes a control request asks for and answer the state after them.

    Raises ValueError saying what is wrong with it, and then nothing was changed.
    """
    try:
        change = msgspec.json.decode(body, type=Change)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ValueError(str(exc)) from exc
    when = Moment(now_us, now_us)
    steps: list[Callable[[], object]] = _checked(exchange, change, when)
    exchange.advance(now_us)
    done = [step() for step in steps]
    exchange.state.journal.commit()
    answer = state_document(exchange, now_us)
    answer.update(fact for fact in done if isinstance(fact, tuple))
    return answer


def _checked(exchange: Exchange, change: Change, when: Moment) -> list[Callable[[], object]]:
    """Everything to be done, checked, nothing done yet."""
    knobs = exchange.state.knobs
    steps: list[Callable[[], object]] = []
    for name in _KNOBS:
        value = getattr(change, name)
        if value is not None:
            steps.append(partial(setattr, knobs, name, value))
    if change.skew_s is not None:
        skew_ms = change.skew_s * 1000
        steps.append(lambda: setattr(knobs, "skew_ms", skew_ms))
    if change.tier is not None:
        meter = Meter(change.tier)
        steps.append(lambda: setattr(exchange, "meter", meter))
    if change.pause is not None:
        pause = change.pause
        steps.append(lambda: _pause(exchange, pause, when))
    if change.faults is not None:
        rules = read_rules(change.faults)
        steps.append(lambda: exchange.faults.set_rules(rules))
    if change.seed_faults is not None:
        drawn = change.seed_faults
        steps.append(lambda: exchange.faults.set_rate(drawn.rate, drawn.seed))
    return steps + _checked_facts(exchange, change, when)


def _checked_facts(exchange: Exchange, change: Change, when: Moment) -> list[Callable[[], object]]:
    """The changes that are facts of the market rather than settings."""
    steps: list[Callable[[], object]] = []
    if change.balance is not None:
        funding, cash = change.balance, _money(change.balance.dollars)
        steps.append(lambda: _fund(exchange, funding, cash, when))
    if change.add_key is not None:
        given = change.add_key
        user_id = given.user_id or exchange.state.user_id
        key = key_of_private(given.private_pem.encode(), user_id, given.scopes, given.subaccount)
        steps.append(lambda: exchange.add_key(key))
        steps.append(lambda: ("added_key_id", key.key_id))
    if change.quote is not None:
        quote, quoted = _ticket(exchange, change.quote), exchange.state.markets[change.quote.ticker]
        if exchange.state.books[quote.ticker].facing(quote.side).crosses(quote.price_e4):
            raise ValueError("the quote would trade at once: use `trade` for that")
        steps.append(
            lambda: exchange.state.rest_stranger(
                "outsider", quoted, quote.side, quote.price_e4, quote.count_e2, when.at_us
            )
        )
    if change.trade is not None:
        trade, wanted = _ticket(exchange, change.trade), change.trade.client_order_id
        steps.append(lambda: _trade(exchange, trade, wanted, when))
    if change.market is not None:
        market, turn = _market(exchange, change.market.ticker), change.market
        if turn.status not in STATUS_FILTER or turn.result not in ("yes", "no"):
            raise ValueError(f"market.status is one of {', '.join(STATUS_FILTER)}; result is yes or no")
        steps.append(lambda: _turn(exchange, market, turn, when))
    return steps


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
    return Ticket(
        ticker=outside.ticker,
        client_order_id="",
        side="bid" if outside.side == "bid" else "ask",
        count_e2=count,
        price_e4=price,
        time_in_force="immediate_or_cancel",
        self_trade_prevention_type="taker_at_cross",
    )


def _pause(exchange: Exchange, pause: Pause, when: Moment) -> None:
    exchange.state.knobs.pause = pause
    if pause != "none":
        exchange.desk.start_pause(when)


def _fund(exchange: Exchange, funding: Funding, cash_e6: int, when: Moment) -> None:
    account = exchange.state.accounts[exchange.state.user_id]
    account.purse(funding.subaccount, funding.exchange_index).cash_e6 = cash_e6
    exchange.state.stamp_purse(account, funding.subaccount, funding.exchange_index, *when)


def _trade(exchange: Exchange, ticket: Ticket, client_order_id: str | None, when: Moment) -> tuple[str, int]:
    """Trade against resting orders of accounts only, past the strangers in front of them."""

    def accept(order: Order) -> bool:
        is_wanted = client_order_id in (None, order.ticket.client_order_id)
        return order.user_id in exchange.state.accounts and is_wanted

    return "traded_orders", len(exchange.desk.outside_trade(ticket, when, accept))


def _turn(exchange: Exchange, market: Market, turn: MarketChange, when: Moment) -> None:
    market.status = {
        "unopened": "initialized",
        "open": "active",
        "paused": "inactive",
        "closed": "closed",
        "settled": "finalized",
    }[turn.status]
    market.updated_us = when.at_us
    if turn.status in ("closed", "settled"):
        market.close_us = min(market.close_us, when.at_us)
        exchange.desk.close_market(market, when)
    if turn.status == "settled":
        market.result, market.settled_us = turn.result, when.at_us
        exchange.desk.settle(market, when)
    exchange.state.add_market(market)


def state_document(exchange: Exchange, now_us: int) -> dict[str, Any]:
    """What GET /sandbox/control answers: the settings, the faults, and a few counts."""
    state, faults = exchange.state, exchange.faults
    account = state.accounts[state.user_id]
    return {
        **msgspec.structs.asdict(state.knobs),
        "now": amounts.time_text(now_us),
        "user_id": state.user_id,
        "faults": [msgspec.to_builtins(rule) for rule in faults.rules],
        "seed_faults": {"rate": faults.rate, "seed": faults.seed},
        "orders": len(account.orders),
        "resting": sum(order.now.status == "resting" for order in account.orders),
        "fills": len(account.fills),
    }
