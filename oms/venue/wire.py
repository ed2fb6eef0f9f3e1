"""The exchange's JSON as typed records: tolerant of what is new, exact with numbers, never surprised.

Numbers are kept as their literal text (the exchange mixes `"1.00"` and `1`), so that nothing passes through float
(P8). A body that no one could read in one way only (duplicate keys, NaN, nesting without end, a byte-order mark) is
not read at all: Unreadable, and the caller knows what that means for his request.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import msgspec

from oms.units import parse_count, parse_dollars, parse_time_us

__all__ = [
    "AmendBody",
    "BatchItem",
    "CancelBody",
    "CancelItem",
    "CreateBody",
    "DecreaseBody",
    "ErrorBody",
    "Unreadable",
    "clip",
    "convert",
    "count_e2",
    "dollars_e6",
    "identifier",
    "integer",
    "parse",
    "parse_error",
    "printable",
    "time_ms",
]

MAX_DETAIL = 2048
MAX_CODE = 100

T = TypeVar("T")


class Number(str):
    """A number of a body as its literal text; an id or a word is never one."""

    __slots__ = ()


class Unreadable(ValueError):
    """The body, or a field of it, cannot be understood; the text says which and holds nothing of the body."""


class CreateBody(msgspec.Struct, frozen=True):
    """201 of a create."""

    order_id: str | None = None
    client_order_id: str | None = None
    fill_count: str | None = None
    remaining_count: str | None = None
    average_fill_price: str | None = None
    average_fee_paid: str | None = None
    ts_ms: str | None = None


class BatchItem(CreateBody, frozen=True):
    """One item of a batched create; `error` is set instead of the numbers when it failed."""

    error: Any = None


class CancelBody(msgspec.Struct, frozen=True):
    """200 of a cancel."""

    order_id: str | None = None
    reduced_by: str | None = None
    ts_ms: str | None = None


class AmendBody(msgspec.Struct, frozen=True):
    """200 of an amend; the counts only where something changed."""

    order_id: str | None = None
    remaining_count: str | None = None
    ts_ms: str | None = None


class DecreaseBody(msgspec.Struct, frozen=True):
    """200 of a decrease."""

    order_id: str | None = None
    remaining_count: str | None = None
    ts_ms: str | None = None


class CancelItem(CancelBody, frozen=True):
    """One item of a batched cancel; `error` is set where it failed."""

    error: Any = None


class ErrorBody(msgspec.Struct, frozen=True):
    """What an error body says; `code` is empty when it names none."""

    code: str = ""
    message: str = ""


def parse(body: bytes) -> Any:
    """JSON with every number as its literal text; Unreadable unless there is exactly one way to read it."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_no_constant,
        )
        return _whole(value) if b"\\u" in body else value
    except Unreadable:
        raise
    except (ValueError, RecursionError) as exc:
        raise Unreadable(f"not readable JSON ({type(exc).__name__})") from None


def _whole(value: Any) -> Any:
    """The value without half characters (lone surrogates), which nothing that follows could write down."""
    match value:
        case Number():
            return value
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_whole(item) for item in value]
        case dict():
            return {_whole(name): _whole(item) for name, item in value.items()}
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise Unreadable("JSON with a key given twice")
    return record


def _no_constant(name: str) -> NoReturn:
    raise Unreadable("JSON with a number that is none")


def convert(value: Any, kind: type[T]) -> T:
    """A parsed object as a record of `kind`; unknown fields are left out, Unreadable when one has a wrong type."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError):
        raise Unreadable(f"not a {kind.__name__}") from None


def parse_error(body: bytes) -> ErrorBody:
    """Any of the error bodies the exchange is known to send; empty where it is none of them.

    `{"error":{"code","message","details"?}}`, the same flat, `{"msg":...}`, `{"error":"too many requests"}`; HTML,
    nothing at all and an exchange status object have no code.
    """
    try:
        value = parse(body)
    except Unreadable:
        return ErrorBody()
    return error_of(value)


def error_of(value: Any) -> ErrorBody:
    """The error in a parsed body or batch item."""
    if not isinstance(value, Mapping):
        return ErrorBody(message=_text(value))
    inner = value.get("error")
    if isinstance(inner, str):
        return ErrorBody(_code(value.get("code")), _text(inner))
    said = inner if isinstance(inner, Mapping) else value
    message = ": ".join(filter(None, (_text(said.get(name)) for name in ("message", "msg", "details"))))
    return ErrorBody(_code(said.get("code")) or _code(value.get("code")), message)


def _code(value: Any) -> str:
    """A code is a word. Null is none, and neither is a number: gateways in between answer `{"code":403}`."""
    if (
        not isinstance(value, str)
        or isinstance(value, Number)
        or len(value) > MAX_CODE
        or _WORD.search(value) is None
        or not value.isprintable()
    ):
        return ""
    return value


_WORD = re.compile(r"[A-Za-z]", re.ASCII)


def _text(value: Any) -> str:
    return clip(value, 500) if isinstance(value, str) else ""


def clip(raw: str | bytes, limit: int = MAX_DETAIL) -> str:
    """A foreign text for the record: printable, no longer than `limit`, and without anything like a signature."""
    text = raw if isinstance(raw, str) else raw[: 4 * limit].decode("utf-8", "backslashreplace")
    return printable(_LONG_BASE64.sub("[scrubbed]", text[: 4 * limit]), limit)


def printable(text: str, limit: int) -> str:
    """At most `limit` bytes of printable text; what is not printable is escaped (logs, terminals, CSV are safe)."""
    if text.isprintable() and text.isascii() and len(text) <= limit:
        return text
    pieces: list[str] = []
    size = 0
    for char in text[: limit + 1]:
        piece = char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        size += len(piece.encode())
        if size > limit - 3:
            return "".join(pieces) + "..."
        pieces.append(piece)
    return "".join(pieces)


# A signature is 344 characters of Base64 (Ed25519: 88); no word of an error page is.
_LONG_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]|\\[/nr]|\\u00[0-9a-fA-F]{2}){80,}={0,2}")


_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}", re.ASCII)


def identifier(text: str | None, what: str) -> str:
    """An id that can stand in a path, a log line and a ledger; Unreadable otherwise."""
    if text is None or isinstance(text, Number) or _IDENTIFIER.fullmatch(text) is None:
        raise Unreadable(f"no usable {what}")
    return text


def count_e2(text: str | None, what: str) -> int:
    """A count of contracts, not negative, x 10^2; Unreadable when it is missing or not exact."""
    value = _exact(parse_count, text, what)
    if value < 0:
        raise Unreadable(f"{what} is negative")
    return value


def dollars_e6(text: str | None, what: str) -> int:
    """Dollars x 10^6; Unreadable when it is missing or not exact."""
    return _exact(parse_dollars, text, what)


def _exact(read: Any, text: str | None, what: str) -> int:
    if text is None:
        raise Unreadable(f"no {what}")
    try:
        return int(read(text))
    except ValueError as exc:
        raise Unreadable(f"{what} {exc}") from None


_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)


def integer(text: str | None, what: str) -> int:
    """A whole number of at most 18 digits; Unreadable otherwise."""
    if text is None or _INTEGER.fullmatch(text) is None:
        raise Unreadable(f"{what} is not a whole number")
    return int(text)


def time_ms(text: str | None, what: str) -> int:
    """RFC 3339 text as milliseconds of UTC; Unreadable otherwise."""
    if text is None:
        raise Unreadable(f"no {what}")
    try:
        return parse_time_us(text) // 1000
    except (ValueError, OverflowError):
        raise Unreadable(f"{what} is not a time") from None
