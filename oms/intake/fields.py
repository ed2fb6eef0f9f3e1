"""One value of a row: from what a file or a caller gave to what the exchange's field means. PURE, no float (P8).

Each `read_...` returns the value or raises ValueError with the reason, which names the value, cut and escaped. Numbers
go through `units`, whose grammar is ASCII digits only.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, TypeAlias, TypeVar

from oms.intake.wording import clipped, shown, why_not_decimal
from oms.units import DOLLAR_E6, MAX_COUNT_E2, parse_scaled, parse_time_us

__all__ = [
    "PLAIN_TYPES",
    "Number",
    "Raw",
    "is_group_id",
    "plain",
    "read_boolean",
    "read_cents",
    "read_client_order_id",
    "read_count",
    "read_dollars",
    "read_expiration_time",
    "read_order_group",
    "read_subaccount",
    "read_submit_before",
    "read_tag",
    "read_ticker",
    "read_type",
    "words",
]

MAX_SUBACCOUNT = 63  # Kalshi's spec: 0 is the primary account, 1 to 63 the others
MAX_TAG = 64
LATEST_SECONDS = 99_999_999_999  # the year 5138; a larger number is milliseconds

_TICKER = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
# The REST spec does not say; FIX allows 64 characters, and a `.` in an id was refused live.
_CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
# What the exchange gives out: a UUID. A name given here is never taken for one.
_GROUP_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_BOOLEANS = {"true": True, "false": False}

T = TypeVar("T")


class Number(str):
    """A number of JSON as its literal text: text to `units`, yet not to be taken for text in quotes."""

    __slots__ = ()


class Odd(NamedTuple):
    """A value that no field can be: what it is, in words."""

    what: str


Raw: TypeAlias = str | bool | Odd | None
PLAIN_TYPES = frozenset({str, Number, bool, type(None)})


def plain(value: object) -> Raw:
    """A value of the Python API as what a file could have held."""
    if type(value) in PLAIN_TYPES:
        return value  # type: ignore[return-value]
    if isinstance(value, str):  # a StrEnum, say
        return str.__str__(value)
    if isinstance(value, int):
        return Number(int.__repr__(value)) if value.bit_length() <= 128 else Odd("a number of too many digits")
    if isinstance(value, Decimal):
        # A Decimal is exact, so its exponent form is only a way to print it.
        small = value.is_finite() and -40 < value.adjusted() < 40 and len(value.as_tuple().digits) <= 40
        return Number(format(value, "f")) if small else Odd(f"Decimal {clipped(str(value))}")
    if isinstance(value, float):
        return Odd("a float, which is not exact: give a string or a Decimal")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return Odd("an object")
    if isinstance(value, list | tuple):
        return Odd("a list")
    return Odd(f"of type {type(value).__name__}")


# One field each. ----------------------------------------------------------------------------------------------------


def _quoted(value: Raw) -> str:
    """The text of a field that has to be text."""
    if isinstance(value, Number):
        raise ValueError(f"is the number {clipped(value)}: it has to be text, in quotes")
    if isinstance(value, bool):
        raise ValueError(f"is {str(value).lower()}, not text")
    if isinstance(value, str):
        return value
    raise ValueError(_odd(value))


def _numeral(value: Raw) -> str:
    """The text of a field that has to be a number; quotes around a number do not matter."""
    if isinstance(value, bool):
        raise ValueError(f"is {str(value).lower()}, not a number")
    if isinstance(value, str):
        return value
    raise ValueError(_odd(value))


def _odd(value: Raw) -> str:
    return f"is {value.what}" if isinstance(value, Odd) else "is missing"


def _decimal(value: Raw, places: int) -> int:
    text = _numeral(value)
    try:
        return parse_scaled(text, places)
    except ValueError as exc:
        raise ValueError(f"{shown(text)} {why_not_decimal(text, str(exc))}") from exc


def read_ticker(value: Raw) -> str:
    text = _quoted(value)
    if _TICKER.fullmatch(text) is None:
        raise ValueError(f"{shown(text)} is not a ticker: 1 to 128 of A-Z a-z 0-9 . _ -")
    return text


def read_count(value: Raw) -> int:
    count_e2 = _decimal(value, 2)
    if count_e2 <= 0:
        raise ValueError(f"{shown(_numeral(value))} is not above 0")
    if count_e2 > MAX_COUNT_E2:
        raise ValueError(f"{shown(_numeral(value))} is more than {MAX_COUNT_E2 // 100} contracts")
    return count_e2


def read_dollars(value: Raw) -> int:
    price_e6 = _decimal(value, 4) * 100
    if not 0 < price_e6 < DOLLAR_E6:
        hint = "; for cents use yes_price or no_price" if price_e6 >= DOLLAR_E6 else ""
        raise ValueError(f"{shown(_numeral(value))} is not between 0 and 1 dollar{hint}")
    return price_e6


def read_cents(value: Raw) -> int:
    cents = _decimal(value, 12)
    if "." in _numeral(value):
        text = shown(_numeral(value))
        raise ValueError(f"{text} has a decimal point: this field is whole cents; for dollars use price")
    price_e6 = cents // 10**12 * 10_000
    if not 0 < price_e6 < DOLLAR_E6:
        raise ValueError(f"{shown(_numeral(value))} is not between 1 and 99 cents")
    return price_e6


def read_boolean(value: Raw) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and not isinstance(value, Number) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]  # a spreadsheet writes TRUE
    raise ValueError(_odd(value) if isinstance(value, Odd) else f"{shown(str(value))} is neither true nor false")


def read_subaccount(value: Raw) -> int:
    text = _numeral(value)
    if _DIGITS.fullmatch(text) is None or len(text) > 2 or int(text) > MAX_SUBACCOUNT:
        raise ValueError(f"{shown(text)} is not a subaccount: a whole number from 0 to {MAX_SUBACCOUNT}")
    return int(text)


def _time_us(value: Raw) -> int:
    """Unix seconds or RFC 3339, as microseconds of UTC."""
    text = _numeral(value)
    if _DIGITS.fullmatch(text) is None:
        try:
            at_us = parse_time_us(text)
        except (ValueError, OverflowError) as exc:
            reason = "is neither whole Unix seconds nor an RFC 3339 time with a zone (2026-01-31T15:30:00Z)"
            raise ValueError(f"{shown(text)} {reason}") from exc
        if at_us > LATEST_SECONDS * 1_000_000:
            raise ValueError(f"{shown(text)} is too far ahead: the year 5138 is the last")
        return at_us
    if len(text) > 11 or int(text) > LATEST_SECONDS:
        raise ValueError(f"{shown(text)} is too large for Unix seconds (are these milliseconds?)")
    return int(text) * 1_000_000


def read_expiration_time(value: Raw) -> int | None:
    seconds, rest = divmod(_time_us(value), 1_000_000)
    if rest:
        raise ValueError(f"{shown(_numeral(value))} has a fraction of a second: the exchange takes whole seconds")
    if seconds <= 0:
        raise ValueError(f"{shown(_numeral(value))} is not after 1970")
    return seconds


def read_submit_before(value: Raw) -> int | None:
    return _time_us(value)


def read_client_order_id(value: Raw) -> str | None:
    text = _quoted(value)
    if _CLIENT_ORDER_ID.fullmatch(text) is None:
        raise ValueError(f"{shown(text)} is not an id the exchange takes: 1 to 64 of A-Z a-z 0-9 _ -")
    return text


def is_group_id(text: str) -> bool:
    """Whether a text is what the exchange gives out as an order_group_id."""
    return _GROUP_ID.fullmatch(text) is not None


def read_order_group(value: Raw, groups: Mapping[str, str]) -> str | None:
    """The order_group_id of a group that is named as it is called here, or by its id."""
    text = _quoted(value)
    known = groups.get(text)
    if known is not None:
        return known
    if is_group_id(text):
        return text
    raise ValueError(f"{shown(text)} is not an order group of this ledger, and no order_group_id: see `oms groups`")


def read_tag(value: Raw) -> str | None:
    text = _quoted(value)
    if len(text) > MAX_TAG:
        raise ValueError(f"{shown(text)} is longer than {MAX_TAG} characters")
    if not text.isprintable():
        raise ValueError(f"{shown(text)} has a control character or one that cannot be printed")
    return text


def words(choices: Mapping[str, T]) -> Callable[[Raw], T]:
    """A reader of a closed list of words."""

    def read(value: Raw) -> T:
        text = _quoted(value)
        if text in choices:
            return choices[text]
        meant = text.strip().lower()
        hint = f": write {meant}" if meant in choices else ""
        raise ValueError(f"{shown(text)} is not one of {', '.join(choices)}{hint}")

    return read


def read_type(value: Raw) -> None:
    text = _quoted(value)
    if text == "market":
        raise ValueError(
            "market orders ended on Kalshi: give a limit price with time_in_force immediate_or_cancel or fill_or_kill"
        )
    if text != "limit":
        raise ValueError(f"{shown(text)} is not limit, the only type there is")
