"""What the judge reads of an exchange: orders, trades and positions of one account, and the log of its requests.

From the sandbox's own database file, which also tells every request that arrived; or from the bodies with which a live
exchange answered, byte for byte as they came. Money and counts are read exactly or not at all (P8).
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from oms.lab.judge.reading import Row, read_quietly, rows

# Of the account that the sandbox opened; the strangers who make its market have no part in it.
_MINE = "(SELECT value FROM meta WHERE name = 'user_id')"
_ORDERS = f"""
SELECT client_order_id, order_id, status, ticker, side, price_e4 * 100 AS price_e6, initial_e2 AS count_e2,
       fill_e2 AS fill_count_e2, remaining_e2 AS remaining_count_e2
FROM orders WHERE user_id = {_MINE} ORDER BY seq
"""  # noqa: S608 - constants of this module
_TRADES = f"""
SELECT f.trade_id, p.order_id, f.price_e4 * 100 AS price_e6, f.fee_e6, f.count_e2
FROM fills f JOIN placed p ON p.seq = f.seq WHERE f.user_id = {_MINE} ORDER BY f.n
"""  # noqa: S608
_POSITIONS = f"""
SELECT ticker, subaccount, position_e2 FROM holdings h
WHERE user_id = {_MINE} AND position_e2 <> 0 AND n = (
    SELECT MAX(n) FROM holdings l WHERE l.user_id = h.user_id AND l.ticker = h.ticker AND l.subaccount = h.subaccount)
"""  # noqa: S608
_REQUESTS = f"""
SELECT seq, at_us, method, path, operation, signed_ms, client_order_ids, body_sha256, arrival_of FROM wire
WHERE method <> 'GET' AND (key_id IS NULL OR key_id IN (SELECT key_id FROM keys WHERE user_id = {_MINE})) ORDER BY seq
"""  # noqa: S608
_GROUPS = "SELECT group_id FROM order_groups ORDER BY n"
_USER = "SELECT value AS user_id FROM meta WHERE name = 'user_id'"
CREATES = ("CreateOrderV2", "BatchCreateOrdersV2")
_ARRIVED = "SELECT client_order_ids FROM wire WHERE operation IN ('CreateOrderV2', 'BatchCreateOrdersV2')"

Position = tuple[str, int]  # ticker, subaccount


@dataclass(frozen=True, slots=True)
class Raw:
    """Bodies of a live exchange's answers, page by page, of the whole account."""

    as_of_ms: int  # user_data_timestamp, read before all the rest (exchange clock)
    orders: Sequence[bytes]  # GET /portfolio/orders, then GET /historical/orders
    fills: Sequence[bytes]  # GET /portfolio/fills, then GET /historical/fills
    positions: Mapping[int, Sequence[bytes]] = field(default_factory=dict)  # by subaccount: GET /portfolio/positions


@dataclass(frozen=True, slots=True)
class Book:
    """The exchange's side of one account."""

    orders: list[Row]
    trades: list[Row]
    positions: dict[Position, int]
    subaccounts: frozenset[int] | None = None  # whose positions were read; None: of all
    requests: list[Row] | None = None  # writes that arrived, in order; None where nobody keeps a log of them
    groups: frozenset[str] | None = None  # every order group that ever was; None: nobody says
    as_of_ms: int | None = None  # what came later may be missing; None: nothing is
    unread: list[str] = field(default_factory=list)  # what could not be read
    users: frozenset[str] = frozenset()  # whose orders these are; empty: nobody says


def read_book(exchange: Path | Raw) -> Book:
    """Read an exchange's side. Raises sqlite3.Error, OSError, and ValueError for a body that is no page of a list."""
    return _from_bodies(exchange) if isinstance(exchange, Raw) else read_quietly(exchange, _from_file)


def arrived(exchange: Path) -> set[str]:
    """The client_order_ids of all requests to create orders that have reached the sandbox of that file."""
    found: list[Row] = read_quietly(exchange, lambda database, _: rows(database, _ARRIVED))
    return {name for request in found for name in request["client_order_ids"].split(",") if name}


def count_orders(exchange: Path) -> int:
    """How many orders of the account the sandbox of that file holds."""
    return len(read_quietly(exchange, lambda database, _: rows(database, _ORDERS)))


def _from_file(database: sqlite3.Connection, _: Path) -> Book:
    held = {(row["ticker"], row["subaccount"]): row["position_e2"] for row in rows(database, _POSITIONS)}
    users = frozenset(row["user_id"] for row in rows(database, _USER))
    groups = frozenset(row["group_id"] for row in rows(database, _GROUPS))
    return Book(
        *(rows(database, _ORDERS), rows(database, _TRADES), held),
        requests=rows(database, _REQUESTS),
        groups=groups,
        users=users,
    )


# -- bodies ---------------------------------------------------------------------------------------------------------


def _from_bodies(raw: Raw) -> Book:
    users = frozenset(_users(raw.orders))
    book = Book([], [], {}, subaccounts=frozenset(raw.positions), as_of_ms=raw.as_of_ms, users=users)
    orders = {order["order_id"]: order for order in _read(raw.orders, "orders", _order, book.unread)}
    trades = {(each["trade_id"], each["order_id"]): each for each in _read(raw.fills, "fills", _trade, book.unread)}
    # What moved from one page to the next while they were read is told twice.
    book.orders.extend(orders.values())
    book.trades.extend(trades.values())
    for subaccount, pages in raw.positions.items():
        for ticker, position_e2 in _read(pages, "market_positions", _position, book.unread):
            if position_e2:
                book.positions[ticker, subaccount] = position_e2
    return book


def _read(pages: Sequence[bytes], name: str, read: Any, unread: list[str]) -> Iterator[Any]:
    for page in pages:
        for item in _items(page, name):
            try:
                yield read(item)
            except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation):
                unread.append(f"an item of the exchange's {name} cannot be read: {json.dumps(item, default=str)[:200]}")


def _items(page: bytes, name: str) -> list[Any]:
    try:
        document = json.loads(page, parse_float=Decimal)
    except RecursionError:
        raise ValueError(f"a body of the exchange's {name} is nested beyond reading") from None
    items = document.get(name) or [] if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise ValueError(f"a body of the exchange's {name} has no list of them")
    return items


def _users(pages: Sequence[bytes]) -> Iterator[str]:
    for page in pages:
        for item in _items(page, "orders"):
            if isinstance(item, dict) and isinstance(item.get("user_id"), str) and item["user_id"]:
                yield item["user_id"]


def _order(item: Row) -> Row:
    name = item.get("client_order_id")
    return {
        "client_order_id": "" if name is None or name == "" else _text(name),
        "order_id": _text(item["order_id"]),
        "status": _text(item["status"]),
        "ticker": _text(item["ticker"]),
        "side": _side(item),
        "price_e6": _price_e6(item),
        "count_e2": _scaled(item["initial_count_fp"], 2),
        "fill_count_e2": _scaled(item["fill_count_fp"], 2),
        "remaining_count_e2": _scaled(item["remaining_count_fp"], 2),
    }


def _trade(item: Row) -> Row:
    return {
        "trade_id": _text(item.get("trade_id") or item["fill_id"]),
        "order_id": _text(item["order_id"]),
        "price_e6": _price_e6(item),
        "fee_e6": _scaled(item.get("fee_cost") or "0", 6),
        "count_e2": _scaled(item["count_fp"], 2),
    }


def _position(item: Row) -> tuple[str, int]:
    return _text(item["ticker"]), _scaled(item["position_fp"], 2)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("no text")
    return value


_LEGS = {("yes", "buy"): "bid", ("no", "sell"): "bid", ("yes", "sell"): "ask", ("no", "buy"): "ask"}


def _side(item: Row) -> str:
    """The side of the YES book; older answers say it by leg and action only."""
    side = item.get("book_side") or _LEGS[item["side"], item["action"]]
    if side not in ("bid", "ask"):
        raise ValueError("no side")
    return str(side)


def _price_e6(item: Row) -> int:
    if item.get("yes_price_dollars") is None:
        return 1_000_000 - _scaled(item["no_price_dollars"], 6)
    return _scaled(item["yes_price_dollars"], 6)


def _scaled(value: Any, places: int) -> int:
    """A decimal number times 10 to the `places`; ValueError where that is not whole or not finite."""
    number = Decimal(value if isinstance(value, str | Decimal) else _whole(value))
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise ValueError(f"{value!r:.40} is out of bounds")
    scaled = number.scaleb(places)
    if scaled != int(scaled):
        raise ValueError(f"{value!r:.40} has more than {places} decimal places")
    return int(scaled)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("no number")
    return value
