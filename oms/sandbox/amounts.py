"""Exact prices, counts, money and instants of the sandbox: scaled integers inside, the exchange's text outside.

Units: price_e4 (dollars x 10^4, the finest grid Kalshi trades on), count_e2 (contracts x 10^2),
money_e6 (dollars x 10^6: a price times a count is exact), at_us (UTC microseconds). No float anywhere.
"""

import re
from datetime import datetime, timedelta
from functools import lru_cache

ONE_DOLLAR_E4 = 10_000
MICROS = 1_000_000

_PRICE = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,4}))?", re.ASCII)
_COUNT = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,2}))?", re.ASCII)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001, UTC, whose texts end with a Z of their own


def price_e4(text: str) -> int | None:
    """Read a dollar price with at most four decimals; None when it is not one."""
    found = _PRICE.fullmatch(text)
    return None if found is None else int(found[1]) * 10_000 + int((found[2] or "").ljust(4, "0"))


def count_e2(text: str) -> int | None:
    """Read a contract count with at most two decimals; None when it is not one."""
    found = _COUNT.fullmatch(text)
    return None if found is None else int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))


# The texts are cached: a long listing writes the same few prices, counts and fees over and over.
@lru_cache(maxsize=1 << 14)
def price_text(value_e4: int) -> str:
    """Write a price in dollars with four decimals."""
    return _fixed(value_e4, 4)


@lru_cache(maxsize=1 << 14)
def count_text(value_e2: int) -> str:
    """Write a count with two decimals, as every answer of Kalshi's does."""
    return _fixed(value_e2, 2)


@lru_cache(maxsize=1 << 14)
def money_text(value_e6: int) -> str:
    """Write costs and fees in dollars with six decimals."""
    return _fixed(value_e6, 6)


def balance_text(value_e6: int) -> str:
    """Write a balance in dollars with four decimals, cut off (never rounded up)."""
    return _fixed(value_e6 // 100, 4)


def _fixed(value: int, places: int) -> str:
    sign, digits = ("-", str(-value)) if value < 0 else ("", str(value))
    digits = digits.rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


def fee_e6(count: int, price: int, rate_e4: int) -> int:
    """Fee of a trade in dollars x 10^6: rate x C x P x (1-P), rounded up to $0.0001 (Kalshi's fee rounding).

    `count` in count_e2, `price` in price_e4, `rate_e4` the rate x 10^4 (700 for takers).
    """
    scaled = rate_e4 * count * price * (ONE_DOLLAR_E4 - price)
    return -(-scaled // 10**10) * 100


def average_e4(total_e6: int, count: int) -> int:
    """Amount per contract in dollars x 10^4, rounded half up; `count` in count_e2."""
    return (2 * total_e6 + count) // (2 * count)


def time_text(at_us: int) -> str:
    """Write an instant as RFC 3339 UTC with microseconds."""
    # Not by strftime, which takes most of the time of a listing.
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds") + "Z"


def http_date(at_us: int) -> str:
    """Write an instant as an HTTP Date header does (whole seconds, GMT)."""
    return _http_second(at_us // MICROS)


@lru_cache(maxsize=16)
def _http_second(at_s: int) -> str:
    at = _EPOCH + timedelta(seconds=at_s)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[at.weekday()]
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{day}, {at.day:02d} {months[at.month - 1]} {at.year:04d} {at:%H:%M:%S} GMT"
