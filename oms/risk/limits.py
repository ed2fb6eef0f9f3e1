"""The limits there are, as one frozen record. PURE. None, and an empty list, is no limit; 0 allows nothing."""

import re
from functools import lru_cache

import msgspec

__all__ = ["Limits", "matches"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """One account's limits; a value of exactly the limit passes. Names follow the keys of `[limits]`."""

    max_order_count_e2: int | None = None  # contracts of one order
    max_order_cost_e6: int | None = None  # the most that one order can cost without fees
    price_collar_e6: int | None = None  # how far a price may go through the best opposite price
    refuse_crossing: bool = False  # no price that meets the best opposite one
    check_market: bool = False  # open, not past its close, price on its grid
    market_max_age_us: int = 60_000_000  # what is known of a market counts for so long
    max_open_orders: int | None = None
    max_market_exposure_e6: int | None = None
    max_event_exposure_e6: int | None = None
    max_total_exposure_e6: int | None = None
    max_orders_per_s: int | None = None  # a pace, not a refusal: what is above it waits
    duplicate_window_us: int | None = None
    allow_tickers: tuple[str, ...] = ()  # patterns; where there is one, a ticker has to match one
    deny_tickers: tuple[str, ...] = ()
    max_daily_loss_e6: int | None = None

    @property
    def is_any(self) -> bool:
        """Whether anything at all has to be checked before an order is recorded."""
        return self != Limits(max_orders_per_s=self.max_orders_per_s, market_max_age_us=self.market_max_age_us)

    @property
    def needs_market(self) -> bool:
        """Whether the market has to be known: its status, close, grid, best prices."""
        return self.check_market or self.needs_prices

    @property
    def needs_prices(self) -> bool:
        """Whether the best prices have to be known."""
        return self.refuse_crossing or self.price_collar_e6 is not None

    @property
    def needs_live(self) -> bool:
        """Whether live orders and positions have to be counted."""
        return any(
            limit is not None
            for limit in (
                self.max_open_orders,
                self.max_market_exposure_e6,
                self.max_event_exposure_e6,
                self.max_total_exposure_e6,
                self.max_daily_loss_e6,
            )
        )


def matches(pattern: str, ticker: str) -> bool:
    """Whether a ticker fits a pattern, in which `*` stands for any text and everything else for itself."""
    return _compiled(pattern).fullmatch(ticker) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
