"""One order held against the limits: the refusal that names the limit, or None. PURE.

The order of the checks is fixed (what may be traded, the market, the price, the size, a repetition, what is live, the
day), so that the same order meets the same refusal. A limit that cannot be judged refuses: a collar without a book,
facts of a market that are too old. Whoever can read the market again does so first and asks once more (`is_stale`).
"""

from collections.abc import Callable

import msgspec

from oms.lifecycle.states import Side
from oms.risk.limits import Limits, matches
from oms.risk.live import Live, LiveOrder, risk_e6
from oms.units import format_count, format_dollars, format_time

__all__ = ["Day", "MarketFacts", "Recent", "Refusal", "change_refusal", "refusal"]


class MarketFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the exchange said of a market, and when it was asked (our clock)."""

    ticker: str
    event_ticker: str
    status: str  # initialized | inactive | active | closed | determined | disputed | amended | finalized
    close_ts_ms: int | None
    grid: tuple[tuple[int, int, int], ...]  # (start_e6, end_e6, step_e6); () where it is not known
    yes_bid_e6: int | None
    yes_ask_e6: int | None
    read_at_us: int


class Day(msgspec.Struct, frozen=True):
    """Where the day stands (UTC)."""

    realized_e6: int = 0  # of today, fees taken off; negative is a loss


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An order that a limit does not allow."""

    limit: str  # the key in [limits]
    allowed: str  # its value, with the unit
    would_be: str  # what the order would make of it
    what: str  # what is limited
    order: LiveOrder
    is_stale: bool = False  # only because the market was not read recently

    def __str__(self) -> str:
        order = self.order
        named = f"{order.side} {format_count(order.count_e2)} {order.ticker} at {format_dollars(order.price_e6)}"
        return f"{named}: {self.what} {self.would_be}; limits.{self.limit} = {self.allowed}"


class Recent:
    """When orders were last asked for, by all that makes one a repetition: ticker, side, price, count, subaccount."""

    def __init__(self) -> None:
        self._asked: dict[LiveOrder, int] = {}

    def note(self, order: LiveOrder, at_us: int) -> None:
        """This was asked for then."""
        self._asked[order] = max(at_us, self._asked.get(order, at_us))

    def age_us(self, order: LiveOrder, now_us: int) -> int | None:
        """How long ago the same was asked for last (0 for what is ahead of this clock); None for never."""
        at_us = self._asked.get(order)
        return None if at_us is None else max(0, now_us - at_us)


def refusal(
    limits: Limits,
    order: LiveOrder,
    *,
    live: Live,
    market: MarketFacts | None,
    recent: Recent,
    day: Day,
    now_us: int,
    asked_at_us: int | None = None,
    reduce_only: bool = False,
) -> Refusal | None:
    """Why this order may not be sent, or None.

    `live` counts everything else that is live, without this order; `market` is None where nothing is known of it;
    `asked_at_us` is when it was recorded, where that is not now; `reduce_only`: the exchange cuts it to the position.
    The pace (max_orders_per_s) is not among the checks: what is above it is sent later, see `oms.risk.pace`.
    """
    checks: tuple[Callable[[], Refusal | None], ...] = (
        lambda: _ticker(limits, order),
        lambda: _market(limits, order, market, now_us),
        lambda: _price(limits, order, market, now_us),
        lambda: _size(limits, order),
        lambda: _repetition(limits, order, recent, now_us if asked_at_us is None else asked_at_us),
        lambda: _live(limits, order, live),
        lambda: _loss(limits, order, day, live, reduce_only=reduce_only),
    )
    return next((found for check in checks if (found := check()) is not None), None)


def change_refusal(
    limits: Limits,
    own: LiveOrder | None,
    asked: LiveOrder,
    *,
    live: Live,
    market: MarketFacts | None,
    day: Day,
    now_us: int,
) -> Refusal | None:
    """Why an order that is live on the terms `own` may not be changed to those `asked`, or None.

    `live` counts the order as it is. A change that raises neither count nor what it can lose is held against the
    market and the price only: an order may always be made smaller.
    """
    if own is None:
        return refusal(limits, asked, live=live, market=market, recent=Recent(), day=day, now_us=now_us)
    live.remove(own)
    is_less = asked.count_e2 <= own.count_e2 and live.added_e8(asked) <= live.added_e8(own)
    held = msgspec.structs.replace(limits, **_NO_SIZE) if is_less else limits
    found = refusal(held, asked, live=live, market=market, recent=Recent(), day=day, now_us=now_us)
    live.add(own)
    return found


# The limits that a smaller order cannot be over if it was allowed to be larger.
_NO_SIZE: dict[str, None] = dict.fromkeys(
    (
        "max_order_count_e2",
        "max_order_cost_e6",
        "max_open_orders",
        "max_market_exposure_e6",
        "max_event_exposure_e6",
        "max_total_exposure_e6",
        "max_daily_loss_e6",
    )
)


def _ticker(limits: Limits, order: LiveOrder) -> Refusal | None:
    denying = next((pattern for pattern in limits.deny_tickers if matches(pattern, order.ticker)), None)
    if denying is not None:
        return _refusal(order, "deny_tickers", denying, "the ticker matches", denying)
    if limits.allow_tickers and not any(matches(pattern, order.ticker) for pattern in limits.allow_tickers):
        return _refusal(order, "allow_tickers", ", ".join(limits.allow_tickers), "the ticker matches", "none of them")
    return None


def _market(limits: Limits, order: LiveOrder, market: MarketFacts | None, now_us: int) -> Refusal | None:
    if not limits.check_market:
        return None
    # A market does not open again after its close, however long ago that was read.
    if market is not None and market.close_ts_ms is not None and market.close_ts_ms * 1000 <= now_us:
        return _refusal(order, "check_market", "true", "the market closed at", format_time(market.close_ts_ms * 1000))
    stale = _stale(limits, order, market, now_us)
    if stale is not None or market is None:
        return stale
    if market.status not in ("active", ""):
        return _refusal(order, "check_market", "true", "the market is", market.status)
    if market.grid and not _is_on_grid(order.price_e6, market.grid):
        steps = (
            f"{format_dollars(step)} from {format_dollars(a)} to {format_dollars(b)}" for a, b, step in market.grid
        )
        return _refusal(order, "check_market", "true", "the price is off the market's grid of", ", ".join(steps))
    return None


def _is_on_grid(price_e6: int, grid: tuple[tuple[int, int, int], ...]) -> bool:
    return any(start <= price_e6 <= end and step > 0 and (price_e6 - start) % step == 0 for start, end, step in grid)


def _stale(limits: Limits, order: LiveOrder, market: MarketFacts | None, now_us: int) -> Refusal | None:
    allowed = _seconds(limits.market_max_age_us)
    if market is None:
        found = _refusal(order, "market_max_age_s", allowed, "the market was read", "never")
        return msgspec.structs.replace(found, is_stale=True)
    age_us = now_us - market.read_at_us
    if age_us > limits.market_max_age_us:
        found = _refusal(order, "market_max_age_s", allowed, "the market was read", f"{_seconds(age_us)} ago")
        return msgspec.structs.replace(found, is_stale=True)
    return None


def _price(limits: Limits, order: LiveOrder, market: MarketFacts | None, now_us: int) -> Refusal | None:
    if not limits.needs_prices:
        return None
    stale = _stale(limits, order, market, now_us)
    if stale is not None or market is None:
        return stale
    is_bid = order.side is Side.BID
    opposite_e6, own_e6 = (market.yes_ask_e6, market.yes_bid_e6) if is_bid else (market.yes_bid_e6, market.yes_ask_e6)
    if limits.refuse_crossing and opposite_e6 is not None and _through_e6(order, opposite_e6) >= 0:
        meets = f"the best {'ask' if is_bid else 'bid'} of {format_dollars(opposite_e6)}"
        return _refusal(order, "refuse_crossing", "true", "the price meets", meets)
    if limits.price_collar_e6 is None:
        return None
    allowed = _dollars(limits.price_collar_e6)
    # With nobody on the other side an order is measured by its own: it still must not be far above the other bids.
    best_e6 = opposite_e6 if opposite_e6 is not None else own_e6
    if best_e6 is None:
        return _refusal(order, "price_collar_dollars", allowed, "the price is held against", "an empty book")
    through_e6 = _through_e6(order, best_e6)
    if through_e6 > limits.price_collar_e6:
        would_be = f"{_dollars(through_e6)} through the best price of {format_dollars(best_e6)}"
        return _refusal(order, "price_collar_dollars", allowed, "the price goes", would_be)
    return None


def _through_e6(order: LiveOrder, best_e6: int) -> int:
    """How far a price is beyond another, in the direction that is worse for the one who pays it."""
    return order.price_e6 - best_e6 if order.side is Side.BID else best_e6 - order.price_e6


def _size(limits: Limits, order: LiveOrder) -> Refusal | None:
    if limits.max_order_count_e2 is not None and order.count_e2 > limits.max_order_count_e2:
        allowed = format_count(limits.max_order_count_e2)
        return _refusal(order, "max_order_count", allowed, "its count is", format_count(order.count_e2))
    cost_e8 = risk_e6(order.side, order.price_e6) * order.count_e2
    return _exceeded(order, "max_order_cost_dollars", limits.max_order_cost_e6, "it can cost", cost_e8)


def _repetition(limits: Limits, order: LiveOrder, recent: Recent, now_us: int) -> Refusal | None:
    if limits.duplicate_window_us is None:
        return None
    age_us = recent.age_us(order, now_us)
    if age_us is None or age_us >= limits.duplicate_window_us:
        return None
    allowed = _seconds(limits.duplicate_window_us)
    return _refusal(order, "duplicate_window_s", allowed, "the same order was asked for", f"{_seconds(age_us)} before")


def _live(limits: Limits, order: LiveOrder, live: Live) -> Refusal | None:
    if not limits.needs_live:
        return None
    if limits.max_open_orders is not None and live.open_orders + 1 > limits.max_open_orders:
        allowed, would_be = str(limits.max_open_orders), str(live.open_orders + 1)
        return _refusal(order, "max_open_orders", allowed, "open orders would be", would_be)
    added_e8 = live.added_e8(order)
    event = live.event(order.ticker)
    sums = (
        ("max_market_exposure_dollars", limits.max_market_exposure_e6, order.ticker, live.market_e8(order.ticker)),
        ("max_event_exposure_dollars", limits.max_event_exposure_e6, event, live.event_e8(event)),
        ("max_total_exposure_dollars", limits.max_total_exposure_e6, "the account", live.total_e8),
    )
    for name, allowed_e6, where, now_e8 in sums:
        # What adds nothing (it closes) is let through though the limit is passed: else nobody could get out.
        if added_e8 > 0:
            found = _exceeded(order, name, allowed_e6, f"the exposure of {where} would be", now_e8 + added_e8)
            if found is not None:
                return found
    return None


def _loss(limits: Limits, order: LiveOrder, day: Day, live: Live, *, reduce_only: bool) -> Refusal | None:
    found = _exceeded(
        order, "max_daily_loss_dollars", limits.max_daily_loss_e6, "today's realized loss is", -day.realized_e6 * 100
    )
    # What can only close is let through: whoever has lost too much must be able to get out.
    if found is None or reduce_only or live.only_closes(order):
        return None
    return msgspec.structs.replace(found, would_be=f"{found.would_be}, and this can open a position")


def _exceeded(order: LiveOrder, name: str, allowed_e6: int | None, what: str, value_e8: int) -> Refusal | None:
    if allowed_e6 is None or value_e8 <= allowed_e6 * 100:
        return None
    return _refusal(order, name, _dollars(allowed_e6), what, _dollars(-(-value_e8 // 100)))


def _dollars(value_e6: int) -> str:
    return f"${format_dollars(value_e6, 2)}"


def _seconds(value_us: int) -> str:
    whole, fraction = divmod(value_us, 1_000_000)
    return f"{whole}.{fraction:06d}".rstrip("0").rstrip(".") + " s"


def _refusal(order: LiveOrder, limit: str, allowed: str, what: str, would_be: str) -> Refusal:
    return Refusal(limit=limit, allowed=allowed, what=what, would_be=would_be, order=order)
