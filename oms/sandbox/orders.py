"""Orders of the sandbox: what was asked for, its versions through time, and how it reads on the wire.

An order keeps every version it went through. A version has the instant it was made (`at_us`) and the instant
from which reads may show it (`shown_us`), so that a lagging read shows exactly what was committed by then.
"""

from typing import Any, Literal

import msgspec

from oms.sandbox import amounts

Side = Literal["bid", "ask"]
Status = Literal["resting", "executed", "canceled"]


class Ticket(msgspec.Struct, frozen=True):
    """A create request after its formats were checked: what somebody wants, before any rule of the market."""

    ticker: str
    client_order_id: str
    side: Side
    count_e2: int
    price_e4: int
    time_in_force: str
    self_trade_prevention_type: str
    expiration_time: int | None = None  # Unix seconds
    post_only: bool = False
    reduce_only: bool = False
    cancel_order_on_pause: bool = False
    subaccount: int = 0
    exchange_index: int = -1
    order_group_id: str = ""
    action: str = "buy"  # the deprecated pair that reads echo
    leg: str = "yes"


class Version(msgspec.Struct, frozen=True, gc=False):
    """An order between two events. Costs and fees are totals since it was placed."""

    at_us: int
    shown_us: int
    status: Status
    price_e4: int
    initial_e2: int
    fill_e2: int
    remaining_e2: int
    taker_cost_e6: int
    maker_cost_e6: int
    taker_fees_e6: int
    maker_fees_e6: int
    reserved_e6: int
    closing_e2: int  # of the remaining count, what closes a position and so needs no collateral
    expiration_time: int | None
    place: int  # in the queue of its price: lower trades first
    reason: str  # why it changed, in the words of the exchange's stream; "" for a plain user's request
    client_order_id: str = ""  # as it was then: an amend may give another; "" in files older than this field


class Order(msgspec.Struct, gc=False):
    """One order, newest version last. An amend that gives it a new client_order_id replaces its ticket."""

    seq: int
    order_id: str
    user_id: str
    ticket: Ticket
    exchange_index: int
    created_us: int
    latest_created_us: int  # of this and all older orders of the user: where a search by time may stop
    versions: list[Version]

    @property
    def now(self) -> Version:
        """The order as the matching engine sees it."""
        return self.versions[-1]

    def seen(self, as_of_us: int) -> Version | None:
        """The order as a read of that instant shows it; None when it does not show it yet."""
        for version in reversed(self.versions):
            if version.shown_us <= as_of_us:
                return version
        return None


def cost_e6(side: Side, price_e4: int, count_e2: int) -> int:
    """Dollars x 10^6 that open contracts cost: the price for a bid, one minus the price for an ask."""
    return (price_e4 if side == "bid" else amounts.ONE_DOLLAR_E4 - price_e4) * count_e2


def document(order: Order, version: Version) -> dict[str, Any]:
    """The order as `GET /portfolio/orders` answers it. What a request said of time in force is not echoed."""
    ticket = order.ticket
    is_bid = ticket.side == "bid"
    expires = version.expiration_time
    return {
        "order_id": order.order_id,
        "user_id": order.user_id,
        "client_order_id": version.client_order_id or ticket.client_order_id,
        "ticker": ticket.ticker,
        "side": ticket.leg,
        "action": ticket.action,
        "outcome_side": "yes" if is_bid else "no",
        "book_side": ticket.side,
        "type": "limit",
        "status": version.status,
        "yes_price_dollars": amounts.price_text(version.price_e4),
        "no_price_dollars": amounts.price_text(amounts.ONE_DOLLAR_E4 - version.price_e4),
        "initial_count_fp": amounts.count_text(version.initial_e2),
        "fill_count_fp": amounts.count_text(version.fill_e2),
        "remaining_count_fp": amounts.count_text(version.remaining_e2),
        "taker_fill_cost_dollars": amounts.money_text(version.taker_cost_e6),
        "maker_fill_cost_dollars": amounts.money_text(version.maker_cost_e6),
        "taker_fees_dollars": amounts.money_text(version.taker_fees_e6),
        "maker_fees_dollars": amounts.money_text(version.maker_fees_e6),
        "created_time": amounts.time_text(order.created_us),
        "last_update_time": amounts.time_text(version.at_us),
        "expiration_time": None if expires is None else amounts.time_text(expires * amounts.MICROS),
        "self_trade_prevention_type": ticket.self_trade_prevention_type,
        "order_group_id": ticket.order_group_id or None,
        "cancel_order_on_pause": ticket.cancel_order_on_pause,
        "subaccount_number": ticket.subaccount,
        "exchange_index": order.exchange_index,
    }
