"""One user's account: purses, positions, fills and used ids, each with the past that lagging reads need.

Money follows Kalshi's netting. Buying YES against a NO position closes it, and a closed pair is worth one
dollar: a bid that closes receives 1 - price, one that opens pays the price; an ask the other way round.
"""

from collections import deque
from typing import Any

import msgspec

from oms.sandbox import amounts
from oms.sandbox.orders import Order, Side, cost_e6

# The longest read lag the sandbox simulates: what is older than this is dropped from the past of a balance.
LONGEST_LAG_US = 600 * amounts.MICROS


class PurseState(msgspec.Struct, frozen=True, gc=False):
    """Money of one subaccount on one shard at an instant."""

    at_us: int
    shown_us: int
    cash_e6: int
    reserved_e6: int

    @property
    def available_e6(self) -> int:
        """What new orders may use; this is what the exchange calls the balance."""
        return self.cash_e6 - self.reserved_e6


class HoldingState(msgspec.Struct, frozen=True, gc=False):
    """A position at an instant: `position_e2` counts YES contracts, negative for NO."""

    at_us: int
    shown_us: int
    position_e2: int = 0
    exposure_e6: int = 0  # what the open contracts cost
    realized_e6: int = 0
    fees_e6: int = 0
    traded_e6: int = 0


class Purse:
    """A purse through time; between `stamp`s the newest values wait in `cash_e6` and `reserved_e6`."""

    def __init__(self, past: deque[PurseState]) -> None:
        self.past = past
        self.cash_e6 = past[-1].cash_e6
        self.reserved_e6 = past[-1].reserved_e6

    @property
    def available_e6(self) -> int:
        """What new orders may use now."""
        return self.cash_e6 - self.reserved_e6

    @property
    def is_used(self) -> bool:
        """Did anything ever change here? A purse that was only looked for is in no list."""
        return len(self.past) > 1

    def stamp(self, at_us: int, shown_us: int) -> PurseState | None:
        """Keep the present values as the state from now on; None when nothing changed."""
        last = self.past[-1]
        if (last.cash_e6, last.reserved_e6) == (self.cash_e6, self.reserved_e6):
            return None
        state = PurseState(at_us, shown_us, self.cash_e6, self.reserved_e6)
        self.past.append(state)
        while len(self.past) > 1 and self.past[1].shown_us < at_us - LONGEST_LAG_US:
            self.past.popleft()
        return state

    def seen(self, as_of_us: int) -> PurseState:
        """The purse as a read of that instant shows it."""
        return next((state for state in reversed(self.past) if state.shown_us <= as_of_us), self.past[0])


class Holding:
    """A position through time."""

    def __init__(self, past: list[HoldingState]) -> None:
        self.past = past

    @property
    def now(self) -> HoldingState:
        """The position as the matching engine sees it."""
        return self.past[-1]

    def seen(self, as_of_us: int) -> HoldingState | None:
        """The position as a read of that instant shows it; None before its first trade."""
        return next((state for state in reversed(self.past) if state.shown_us <= as_of_us), None)


class Fill(msgspec.Struct, frozen=True, gc=False):
    """One order's half of a trade."""

    trade_id: str
    order: Order
    price_e4: int
    count_e2: int
    is_taker: bool
    fee_e6: int
    at_us: int
    shown_us: int
    latest_us: int  # of this and all older fills of the user: where a search by time may stop


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """What a settled market paid for a position."""

    ticker: str
    subaccount: int
    result: str
    position_e2: int
    cost_e6: int
    revenue_e6: int
    fees_e6: int
    at_us: int
    value_e4: int | None = None  # of a YES contract; None in files older than this field: as the result says


class Movement(msgspec.Struct, frozen=True):
    """Money that came, went, or changed its purse. A subaccount is None where that side is outside the exchange."""

    movement_id: str
    kind: str  # deposit, withdrawal or transfer
    from_subaccount: int | None
    to_subaccount: int | None
    exchange_index: int
    amount_e6: int
    at_us: int
    client_transfer_id: str = ""


def turned(before: HoldingState, side: Side, price_e4: int, count_e2: int, fee_e6: int) -> tuple[HoldingState, int]:
    """A position after a trade, and the change of cash in dollars x 10^6 without the fee.

    Times are the caller's to set. Closing takes the cost of the closed part out of the exposure, rounded
    down while contracts remain, so that exposure and realized profit always add up to the cash exactly.
    """
    signed = count_e2 if side == "bid" else -count_e2
    opposed = before.position_e2 * signed < 0
    closing = min(count_e2, abs(before.position_e2)) if opposed else 0
    opening = count_e2 - closing
    other: Side = "ask" if side == "bid" else "bid"
    proceeds = cost_e6(other, price_e4, closing)
    released = before.exposure_e6 * closing // abs(before.position_e2) if closing else 0
    paid = cost_e6(side, price_e4, opening)
    after = msgspec.structs.replace(
        before,
        position_e2=before.position_e2 + signed,
        exposure_e6=before.exposure_e6 - released + paid,
        realized_e6=before.realized_e6 + proceeds - released,
        fees_e6=before.fees_e6 + fee_e6,
        traded_e6=before.traded_e6 + cost_e6(side, price_e4, count_e2),
    )
    return after, proceeds - paid


class Account:
    """Everything the exchange keeps for one user."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.purses: dict[tuple[int, int], Purse] = {}  # (subaccount, exchange_index)
        self.holdings: dict[tuple[int, str], Holding] = {}  # (subaccount, ticker)
        self.orders: list[Order] = []  # oldest first
        self.resting: dict[int, Order] = {}  # by number, oldest first
        self.fills: list[Fill] = []
        self.fills_of: dict[str, list[Fill]] = {}  # by order id
        self.settlements: list[Settlement] = []
        self.movements: list[Movement] = []
        self.netting: dict[int, bool] = {}  # by subaccount created or told
        self.by_client_order_id: dict[str, Order] = {}  # the latest order of each id
        self.burned: set[str] = set()  # ids used up without an order
        self.closing_e2: dict[tuple[int, str, Side], int] = {}  # claimed by resting orders that close

    def purse(self, subaccount: int, exchange_index: int) -> Purse:
        """The purse, an empty one if nothing was ever put in."""
        key = (subaccount, exchange_index)
        if key not in self.purses:
            self.purses[key] = Purse(deque([PurseState(0, 0, 0, 0)]))
        return self.purses[key]

    def position_e2(self, subaccount: int, ticker: str) -> int:
        """YES contracts held, negative for NO."""
        holding = self.holdings.get((subaccount, ticker))
        return 0 if holding is None else holding.now.position_e2

    def closable_e2(self, subaccount: int, ticker: str, side: Side, own_claim_e2: int = 0) -> int:
        """How much an order of this side would close, beyond what resting orders already claim.

        An order that rests already leaves its own claim out of theirs.
        """
        position = self.position_e2(subaccount, ticker)
        held = max(0, -position if side == "bid" else position)
        return max(0, held - self.closing_e2.get((subaccount, ticker, side), 0) + own_claim_e2)

    def keep_fill(self, fill: Fill) -> None:
        """Add the newest fill."""
        self.fills.append(fill)
        self.fills_of.setdefault(fill.order.order_id, []).append(fill)

    @property
    def latest_filled_us(self) -> int:
        """The latest instant of any fill so far."""
        return self.fills[-1].latest_us if self.fills else 0

    @property
    def latest_created_us(self) -> int:
        """The latest creation instant of any order so far."""
        return self.orders[-1].latest_created_us if self.orders else 0


def fill_document(fill: Fill) -> dict[str, Any]:
    """The fill as `GET /portfolio/fills` answers it; it names no client_order_id."""
    ticket = fill.order.ticket
    return {
        "fill_id": fill.trade_id,
        "trade_id": fill.trade_id,
        "order_id": fill.order.order_id,
        "ticker": ticket.ticker,
        "market_ticker": ticket.ticker,
        "exchange_index": fill.order.exchange_index,
        "side": ticket.leg,
        "action": ticket.action,
        "outcome_side": "yes" if ticket.side == "bid" else "no",
        "book_side": ticket.side,
        "count_fp": amounts.count_text(fill.count_e2),
        "yes_price_dollars": amounts.price_text(fill.price_e4),
        "no_price_dollars": amounts.price_text(amounts.ONE_DOLLAR_E4 - fill.price_e4),
        "is_taker": fill.is_taker,
        "fee_cost": amounts.money_text(fill.fee_e6),
        "created_time": amounts.time_text(fill.at_us),
        "ts": fill.at_us // amounts.MICROS,
        "subaccount_number": ticket.subaccount,
    }


def position_document(ticker: str, exchange_index: int, held: HoldingState) -> dict[str, Any]:
    """The position as `GET /portfolio/positions` answers it."""
    return {
        "ticker": ticker,
        "exchange_index": exchange_index,
        "position_fp": amounts.count_text(held.position_e2),
        "total_traded_dollars": amounts.money_text(held.traded_e6),
        "market_exposure_dollars": amounts.money_text(held.exposure_e6),
        "realized_pnl_dollars": amounts.money_text(held.realized_e6),
        "fees_paid_dollars": amounts.money_text(held.fees_e6),
        "last_updated_ts": amounts.time_text(held.at_us),
    }


def settlement_document(settlement: Settlement, event_ticker: str, exchange_index: int) -> dict[str, Any]:
    """The settlement as `GET /portfolio/settlements` answers it; revenue in cents."""
    is_yes = settlement.position_e2 > 0
    value = settlement.value_e4
    if value is None:
        value = amounts.ONE_DOLLAR_E4 if settlement.result == "yes" else 0
    count, cost = amounts.count_text(abs(settlement.position_e2)), amounts.money_text(settlement.cost_e6)
    return {
        "ticker": settlement.ticker,
        "event_ticker": event_ticker,
        "exchange_index": exchange_index,
        "market_result": settlement.result,
        "yes_count_fp": count if is_yes else "0.00",
        "yes_total_cost_dollars": cost if is_yes else "0.000000",
        "no_count_fp": "0.00" if is_yes else count,
        "no_total_cost_dollars": "0.000000" if is_yes else cost,
        "revenue": settlement.revenue_e6 // 10_000,
        "value": value // 100,
        "fee_cost": amounts.money_text(settlement.fees_e6),
        "settled_time": amounts.time_text(settlement.at_us),
    }
