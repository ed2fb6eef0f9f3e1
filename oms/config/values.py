"""How one value is read: from TOML, where it has a type, or from a variable or flag, where it is text. PURE.

A reader returns the value or raises BadValue with what it expects instead; the caller knows key and origin. Numbers
are read exactly: TOML floats arrive as Decimal, and become float only here, because they are seconds and never money.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from typing import Any

from oms.units import parse_scaled

Reader = Callable[[object, bool], Any]  # (value, whether it came as text from a variable or flag)

MAX_SECONDS = 31_536_000  # a year: beyond it a wait is a mistake, and clocks and sockets overflow
MIN_SECONDS = Decimal("0.000001")  # everything inside counts microseconds
MAX_TEXT = 4096

MAX_PATTERNS = 1_000

_PATTERN = re.compile(r"[A-Za-z0-9_.*-]{1,256}")
_PATTERNS = 'a list of tickers such as ["KXHIGHNY-*"], with * for any text'
_INTEGER = re.compile(r"[0-9]{1,12}")
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


class BadValue(Exception):
    """The value is not what the key takes; str() says what it takes."""


def text(value: object, is_text: bool) -> str:
    """A line of text; "" is none."""
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        raise BadValue("one line of text")
    return value


def word(words: type[StrEnum]) -> Reader:
    """One of a closed set of words, as its Enum."""

    def read(value: object, is_text: bool) -> StrEnum:
        try:
            return words(value)  # type: ignore[arg-type]
        except ValueError:
            raise BadValue("one of " + ", ".join(words)) from None

    return read


def integer(low: int, high: int) -> Reader:
    """A whole number from low to high."""

    def read(value: object, is_text: bool) -> int:
        number = int(value) if is_text and isinstance(value, str) and _INTEGER.fullmatch(value) else value
        if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
            raise BadValue(f"a whole number from {low} to {high}")
        return number

    return read


def auto_or_integer(low: int, high: int) -> Reader:
    """The word auto, which is None, or a whole number."""
    read_integer = integer(low, high)

    def read(value: object, is_text: bool) -> int | None:
        if value == "auto":
            return None
        try:
            number: int = read_integer(value, is_text)
        except BadValue as bad:
            raise BadValue(f'"auto" or {bad}') from None
        return number

    return read


def off_or(read_value: Reader) -> Reader:
    """The word off, which is None, or what the other reader takes."""

    def read(value: object, is_text: bool) -> Any:
        if value == "off":
            return None
        try:
            return read_value(value, is_text)
        except BadValue as bad:
            raise BadValue(f'"off" or {bad}') from None

    return read


def switch(value: object, is_text: bool) -> bool:
    """true or false."""
    if is_text and value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise BadValue("true or false")
    return value


def dollars_e6(value: object, is_text: bool) -> int:
    """Dollars from 0, exactly, as dollars x 10^6."""
    return _scaled(value, 6, "dollars, a number from 0 with at most 6 decimals")


def contracts_e2(value: object, is_text: bool) -> int:
    """Contracts from 0, exactly, as contracts x 10^2."""
    return _scaled(value, 2, "contracts, a number from 0 with at most 2 decimals")


def _scaled(value: object, places: int, expected: str) -> int:
    """A TOML number, or text in either (money is often quoted), scaled without a rounding."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise BadValue(expected)
    try:
        scaled = parse_scaled(f"{value:f}" if isinstance(value, Decimal) else str(value), places)
    except ValueError:
        raise BadValue(expected) from None
    if scaled < 0:
        raise BadValue(expected)
    return scaled


def patterns(value: object, is_text: bool) -> tuple[str, ...]:
    """Patterns of tickers: a list of texts, in a variable as in JSON; or one text with commas."""
    if isinstance(value, str) and value.startswith("["):
        with suppress(ValueError):
            value = json.loads(value)
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list) or len(given) > MAX_PATTERNS:
        raise BadValue(_PATTERNS)
    if not all(isinstance(each, str) and _PATTERN.fullmatch(each.strip()) for each in given if each != ""):
        raise BadValue(_PATTERNS)
    return tuple(each.strip() for each in given if each != "")


def seconds(*, above_zero: bool) -> Reader:
    """Seconds, fractions allowed; NaN, infinities and exponents in text are refused."""
    expected = f"seconds, a number {'above' if above_zero else 'from'} 0, at most {MAX_SECONDS} (a year)"

    def read(value: object, is_text: bool) -> float:
        if is_text and isinstance(value, str) and _DECIMAL.fullmatch(value):
            value = Decimal(value)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise BadValue(expected)
        number = Decimal(value)
        if not number.is_finite() or not 0 <= number <= MAX_SECONDS:
            raise BadValue(expected)
        if (number == 0 and above_zero) or 0 < number < MIN_SECONDS:
            raise BadValue(expected)
        return float(number)

    return read


def ledger_url(value: object, is_text: bool) -> str:
    """Where the ledger is, as a SQLAlchemy URL: sqlite:////absolute/path or postgresql://...; "" is the default.

    A plain absolute path is taken for a SQLite file. Relative paths and ~ would mean another ledger in every
    directory and for every user, so they are refused; so is a ledger in memory, which remembers nothing (P1).
    """
    given = text(value, is_text)
    if given == "" or given.startswith(("postgresql://", "postgresql+psycopg://")):
        return given
    path = given.removeprefix("sqlite:///")
    if not path.startswith("/") or path.endswith("/") or any(character in path for character in "?#"):
        raise BadValue("an absolute path, sqlite:////absolute/path (four slashes) or postgresql://...")
    return f"sqlite:///{path}"


def looks_secret(text: str) -> bool:
    """Whether a text may be a secret that was pasted where a name or path belongs: never to be shown.

    A whole private key, a piece of one (it has line ends), or a URL with a password.
    """
    return "PRIVATE KEY" in text or "-----" in text or "\n" in text or "\\n" in text or "@" in text
