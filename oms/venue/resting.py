"""What rests, as raw as can be: for the moments in which everything has to go.

A listing is otherwise read with suspicion, and one strange item makes nothing of it certain. Whoever wants all orders
gone needs their ids and no more: they are taken out of whatever comes back, even of a body that is no JSON any more.
"""

import re
from typing import Any

import msgspec

from oms.errors import ReadFailed
from oms.venue.reads import Reader
from oms.venue.wire import Number, Unreadable, identifier, parse

__all__ = ["RestingOrder", "resting_orders"]

_PATH = "/portfolio/orders"
_PAGE = 1000
_MAX_PAGES = 1_000
_ORDER_ID = re.compile(rb'"order_id"\s*:\s*"([A-Za-z0-9][A-Za-z0-9_.:-]{0,127})"')
_CURSOR = re.compile(rb'"cursor"\s*:\s*"([^"\\]{1,4096})"')
_TICKER = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


class RestingOrder(msgspec.Struct, frozen=True):
    """An order that rests; what else could not be read is None."""

    order_id: str
    ticker: str | None = None
    subaccount: int | None = None


def resting_orders(reader: Reader, subaccount: int | None = None) -> list[RestingOrder]:
    """Every order that rests, of all subaccounts and shards unless one is named.

    What could be read of one page counts even where the next one cannot be. Raises ReadFailed or CredentialsError
    when not even the first can.
    """
    found: dict[str, RestingOrder] = {}
    cursor, cursors = "", {""}
    for number in range(_MAX_PAGES):
        query: dict[str, str | int | None] = {"status": "resting", "limit": _PAGE, "cursor": cursor}
        query["subaccount"] = subaccount
        try:
            body = reader.body(_PATH, query)
        except ReadFailed:
            if not number:
                raise
            return list(found.values())
        orders, cursor = _read(body)
        for order in orders:
            found.setdefault(order.order_id, order)
        if cursor in cursors:  # the end, or a list that goes round
            break
        cursors.add(cursor)
    return list(found.values())


def _read(body: bytes) -> tuple[list[RestingOrder], str]:
    try:
        value = parse(body)
        listed = value["orders"] or []
        cursor = value.get("cursor") or ""
        if isinstance(cursor, str) and isinstance(listed, list):
            return [order for item in listed if (order := _order(item)) is not None], cursor
    except (Unreadable, KeyError, TypeError, AttributeError):
        pass
    raw = _CURSOR.search(body)
    ids = (found.decode("ascii") for found in _ORDER_ID.findall(body))
    return [RestingOrder(name) for name in ids], raw[1].decode("utf-8", "replace") if raw else ""


def _order(item: Any) -> RestingOrder | None:
    if not isinstance(item, dict):
        return None
    try:
        order_id = identifier(item.get("order_id"), "order_id")
    except (Unreadable, TypeError):
        return None
    if item.get("status") not in (None, "resting"):
        return None  # the filter was not heeded
    ticker, subaccount = item.get("ticker"), item.get("subaccount_number")
    return RestingOrder(
        order_id,
        ticker if isinstance(ticker, str) and _TICKER.fullmatch(ticker) else None,
        int(subaccount) if isinstance(subaccount, Number) and subaccount.isdigit() and len(subaccount) < 3 else None,
    )
