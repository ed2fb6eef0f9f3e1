"""Lists in pages: newest first, an opaque cursor, limits checked as the exchange checks them.

A cursor holds '+', '/' and '=', so a client that does not escape it gets the first page again, as on the wire.
It names the place in the list, not a page number: orders made meanwhile neither shift nor repeat rows.
"""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from oms.sandbox.calls import Call
from oms.sandbox.refusals import bad_query

T = TypeVar("T")
Rows = list[dict[str, Any]]


def limit_of(call: Call, lowest: int = 1, default: int = 100) -> int:
    """How many rows the caller wants; raises shape c outside lowest..1000."""
    limit = call.integer("limit")
    if limit is None or (limit == 0 and lowest == 0):
        return default
    if limit < lowest:
        raise bad_query(call.operation, "Limit", "gte")
    if limit > 1000:
        raise bad_query(call.operation, "Limit", "lte")
    return limit


def write_cursor(place: int) -> str:
    """The text for a place in a list."""
    return "+/" + base64.b64encode(f"at:{place}".encode()).decode().rstrip("=") + "="


def read_cursor(text: str | None) -> int | None:
    """The place a cursor names; None for garbage, which the exchange silently takes for the first page."""
    if text is None or not text.startswith("+/"):
        return None
    try:
        words = base64.b64decode(text[2:].rstrip("=") + "==").decode()
    except (binascii.Error, ValueError):
        return None
    number = words.removeprefix("at:")
    return int(number) if number.isascii() and number.isdigit() else None


def newest_first(
    call: Call,
    rows: Sequence[T],
    show: Callable[[T], dict[str, Any] | None],
    is_past: Callable[[T], bool] = lambda row: False,
    number_of: Callable[[T], int] | None = None,
) -> tuple[Rows, str]:
    """One page of a list kept oldest first. `show` gives None for what the filters leave out;
    `is_past` says that this row and all older ones are left out. The cursor is "" at the end.
    A list that rows may leave needs `number_of`, by which they ascend: its cursors name the next row, not its place.
    """
    limit = limit_of(call)
    start = read_cursor(call.request.first("cursor"))
    if start is None or number_of is None:
        place = len(rows) if start is None else min(start, len(rows))
    else:
        place = bisect_right(rows, start, key=number_of)
    shown: Rows = []
    while place > 0 and not is_past(rows[place - 1]):
        document = show(rows[place - 1])
        if document is not None:
            if len(shown) == limit:
                return shown, write_cursor(place if number_of is None else number_of(rows[place - 1]))
            shown.append(document)
        place -= 1
    return shown, ""


def in_order(call: Call, rows: Sequence[dict[str, Any]], lowest: int = 1, default: int = 100) -> tuple[Rows, str]:
    """One page of a short list already filtered and in its final order."""
    limit = limit_of(call, lowest, default)
    start = read_cursor(call.request.first("cursor")) or 0
    end = start + limit
    return list(rows[start:end]), write_cursor(end) if end < len(rows) else ""
