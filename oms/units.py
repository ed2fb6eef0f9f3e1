"""Decimal text to scaled integers and back. PURE: no clock, no I/O, no float anywhere (P8).

Prices are dollars x 10^6 (`price_e6`), counts are contracts x 10^2 (`count_e2`), money is dollars x 10^6 (`_e6`);
times are integer microseconds of UTC (`at_us`) or, where they are signed, integer milliseconds (`signed_ms`).
The grammar is ASCII digits only: `Decimal` would also take `1_0`, full-width digits, blanks, `NaN` and exponents.
"""

import re
from datetime import UTC, datetime, timedelta

__all__ = [
    "DOLLAR_E6",
    "MAX_COUNT_E2",
    "cents_to_e6",
    "format_count",
    "format_dollars",
    "format_dollars_e8",
    "format_time",
    "parse_count",
    "parse_dollars",
    "parse_scaled",
    "parse_time_us",
]

DOLLAR_E6 = 1_000_000
MAX_COUNT_E2 = 10**14  # a trillion contracts: far above any order, far below 2^63 when multiplied by a price

_DECIMAL = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,12}))?", re.ASCII)
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_scaled(text: str, places: int) -> int:
    """Read decimal text as an integer of 10^-places units; exact, or ValueError saying why not.

    Trailing zeros beyond `places` are accepted because they lose nothing ("0.5600000" with 6 places).
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError("not a decimal number")
    sign, whole, fraction = match[1], match[2], match[3] or ""
    kept, lost = fraction[:places], fraction[places:]
    if lost.strip("0"):
        raise ValueError(f"has more than {places} decimal places")
    value = int(whole + kept.ljust(places, "0"))
    return -value if sign else value


def parse_dollars(text: str) -> int:
    """Dollars as decimal text to dollars x 10^6; ValueError where that would not be exact."""
    return parse_scaled(text, 6)


def parse_count(text: str) -> int:
    """Contracts as decimal text to contracts x 10^2; ValueError where that would not be exact."""
    return parse_scaled(text, 2)


def cents_to_e6(text: str) -> int:
    """Cents as decimal text ("56", "56.5") to dollars x 10^6; ValueError where that would not be exact."""
    return parse_scaled(text, 4)


def format_dollars(value_e6: int, places: int = 4) -> str:
    """Dollars x 10^6 as decimal text with at least `places` decimals and no information dropped."""
    sign = "-" if value_e6 < 0 else ""
    whole, fraction = divmod(abs(value_e6), DOLLAR_E6)
    digits = f"{fraction:06d}"
    return f"{sign}{whole}.{digits[:places]}{digits[places:].rstrip('0')}"


def format_dollars_e8(value_e8: int, places: int = 4) -> str:
    """Dollars x 10^8 (a price times a count) as decimal text with at least `places` decimals, nothing dropped."""
    sign = "-" if value_e8 < 0 else ""
    whole, fraction = divmod(abs(value_e8), 10**8)
    digits = f"{fraction:08d}"
    return f"{sign}{whole}.{digits[:places]}{digits[places:].rstrip('0')}"


def format_count(value_e2: int) -> str:
    """Contracts x 10^2 as the exchange writes them, always two decimals."""
    sign = "-" if value_e2 < 0 else ""
    whole, fraction = divmod(abs(value_e2), 100)
    return f"{sign}{whole}.{fraction:02d}"


def format_time(at_us: int) -> str:
    """Microseconds of UTC as RFC 3339 with six decimals and Z."""
    moment = _EPOCH.replace(tzinfo=None) + timedelta(microseconds=at_us)
    return moment.isoformat(timespec="microseconds") + "Z"


def parse_time_us(text: str) -> int:
    """RFC 3339 text with a zone to microseconds of UTC (finer digits are cut off); ValueError otherwise."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time with a zone")
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    since = datetime(year, month, day, hour, minute, second, tzinfo=UTC) - _EPOCH
    if match[8]:
        hours, minutes = int(match[9]), int(match[10])
        if hours > 23 or minutes > 59:
            raise ValueError("not a time zone")
        offset = timedelta(hours=hours, minutes=minutes)
        since -= offset if match[8] == "+" else -offset
    micros = int((match[7] or "0")[:6].ljust(6, "0"))
    return since // timedelta(microseconds=1) + micros
