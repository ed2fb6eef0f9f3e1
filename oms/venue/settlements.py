"""What a settled market paid, as the exchange's list of settlements tells it."""

from typing import Any

import msgspec

from oms.units import cents_to_e6
from oms.venue.wire import Unreadable, convert, count_e2, dollars_e6, printable, time_ms

__all__ = ["Settlement", "read_settlement"]


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """One market that settled with contracts of the account in it. The list does not say of which subaccount."""

    ticker: str
    event_ticker: str
    result: str  # yes | no | scalar, or a word that is new
    yes_count_e2: int
    yes_cost_e6: int
    no_count_e2: int
    no_cost_e6: int
    value_e6: int | None  # of one YES contract; None where it is not told
    revenue_e6: int  # told in cents
    fee_e6: int
    settled_ts_ms: int

    @property
    def name(self) -> str:
        """What tells it from others of one subaccount."""
        return f"{self.ticker} {self.settled_ts_ms}"


class _Settlement(msgspec.Struct, frozen=True):
    ticker: str | None = None
    event_ticker: str | None = None
    market_result: str | None = None
    yes_count_fp: str | None = None
    yes_total_cost_dollars: str | None = None
    no_count_fp: str | None = None
    no_total_cost_dollars: str | None = None
    value: str | None = None
    revenue: str | None = None
    fee_cost: str | None = None
    settled_time: str | None = None


def read_settlement(item: Any) -> Settlement:
    """A settlement object; Unreadable when it lacks a ticker, result, count, revenue or time."""
    found = convert(item, _Settlement)
    if not found.ticker or not found.market_result:
        raise Unreadable("no ticker or no result")
    result = printable(found.market_result, 64)
    return Settlement(
        ticker=printable(found.ticker, 256),
        event_ticker=printable(found.event_ticker or "", 256),
        result=result,
        yes_count_e2=count_e2(found.yes_count_fp, "yes_count_fp"),
        yes_cost_e6=_money(found.yes_total_cost_dollars, "yes_total_cost_dollars"),
        no_count_e2=count_e2(found.no_count_fp, "no_count_fp"),
        no_cost_e6=_money(found.no_total_cost_dollars, "no_total_cost_dollars"),
        value_e6=_value(result, found.value),
        revenue_e6=_cents(found.revenue, "revenue"),
        fee_e6=_money(found.fee_cost, "fee_cost"),
        settled_ts_ms=time_ms(found.settled_time, "settled_time"),
    )


def _value(result: str, cents: str | None) -> int | None:
    """What a YES contract paid: the result says it where there is no doubt, else the value in cents."""
    plain = {"yes": 1_000_000, "no": 0}.get(result)
    if plain is not None or cents is None:
        return plain
    value = _cents(cents, "value")
    if not 0 <= value <= 1_000_000:
        raise Unreadable("value is no price")
    return value


def _cents(text: str | None, what: str) -> int:
    if text is None:
        raise Unreadable(f"no {what}")
    try:
        return cents_to_e6(text)
    except ValueError as exc:
        raise Unreadable(f"{what} {exc}") from None


def _money(text: str | None, what: str) -> int:
    return dollars_e6(text, what) if text else 0
