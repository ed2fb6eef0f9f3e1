"""The judge: reads the ledger's SQLite file and the sandbox exchange's, and says every way in which they disagree.

Independent on purpose: it shares no code with what it judges, neither queries nor words. It holds them to P2 (one
intent is never two orders), P3 (nothing lost, every intent ends in a named state), P6 (no trade counted twice) and to
exact agreement of prices, counts, trades, positions and cash.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

Rows = list[dict[str, Any]]

_INTENTS = """
SELECT client_order_id, order_id, status, ticker, side, price_e6, count_e2, fill_count_e2, remaining_count_e2, late
FROM orders ORDER BY key
"""
_IN_DOUBT = """
SELECT o.client_order_id, c.kind, c.state FROM commands c JOIN orders o ON o.key = c.order_key
WHERE c.state IN ('queued', 'on_wire', 'in_doubt', 'parked') ORDER BY c.key
"""
_BOOKED = "SELECT trade_id, order_id, count_e2, price_e6, fee_e6 FROM fills"
_POSITIONS = "SELECT ticker, subaccount, position_e2 FROM positions WHERE position_e2 <> 0"

# Of the account that the sandbox opened; the strangers who make its market have no part in it.
_MINE = "(SELECT value FROM meta WHERE name = 'user_id')"
_ORDERS = f"""
SELECT client_order_id, order_id, status, ticker, side, price_e4 * 100 AS price_e6, initial_e2 AS count_e2,
       fill_e2 AS fill_count_e2, remaining_e2 AS remaining_count_e2
FROM orders WHERE user_id = {_MINE} ORDER BY seq
"""  # noqa: S608 - constants of this module
_TRADED = f"""
SELECT f.trade_id, p.order_id, f.price_e4 * 100 AS price_e6, f.fee_e6,
       (SELECT t.count_e2 FROM trades t WHERE t.trade_id = f.trade_id) AS count_e2
FROM fills f JOIN placed p ON p.seq = f.seq WHERE f.user_id = {_MINE}
"""  # noqa: S608
_HELD = f"""
SELECT ticker, subaccount, position_e2 FROM holdings h
WHERE user_id = {_MINE} AND position_e2 <> 0 AND n = (
    SELECT MAX(n) FROM holdings l WHERE l.user_id = h.user_id AND l.ticker = h.ticker AND l.subaccount = h.subaccount)
"""  # noqa: S608
_CREATES = "SELECT client_order_ids FROM wire WHERE operation IN ('CreateOrderV2', 'BatchCreateOrdersV2')"
_AGREE = ("order_id", "status", "ticker", "side", "price_e6", "count_e2", "fill_count_e2", "remaining_count_e2")


def judge(ledger: Path, exchange: Path) -> list[str]:
    """Every disagreement, one sentence each, duplicates first; empty when ledger and exchange are at one.

    Both files are only read. Raises sqlite3.Error for a file that is not what it is said to be.
    """
    intents, orders = _read(ledger, _INTENTS), _read(exchange, _ORDERS)
    return [
        *_duplicates(orders),
        *_one_by_one(intents, orders),
        *_unfinished(_read(ledger, _IN_DOUBT)),
        *_trades(_read(ledger, _BOOKED), _read(exchange, _TRADED)),
        *_positions(_read(ledger, _POSITIONS), _read(exchange, _HELD)),
    ]


def tally(ledger: Path, exchange: Path) -> tuple[int, int]:
    """How many intents the ledger holds, and how many orders of the account the exchange holds."""
    return len(_read(ledger, _INTENTS)), len(_read(exchange, _ORDERS))


def _read(path: Path, query: str) -> Rows:
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=10)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query)]


def _duplicates(orders: Rows) -> Iterator[str]:
    for client_order_id, times in Counter(order["client_order_id"] for order in orders).items():
        if times > 1:
            yield f"duplicate: {times} orders at the exchange under {client_order_id}"


def _one_by_one(intents: Rows, orders: Rows) -> Iterator[str]:
    there = {order["client_order_id"]: order for order in orders}
    for intent in intents:
        name, order = intent["client_order_id"], there.pop(intent["client_order_id"], None)
        claimed = intent["status"] in ("resting", "executed", "canceled")
        if order is None and claimed:
            yield f"lost: {name} is {intent['status']} in the ledger, and the exchange has no such order"
        elif order is not None and not claimed:
            yield f"unknown: {name} is {intent['status']} in the ledger, and {order['status']} at the exchange"
        elif order is not None:
            yield from _differences(name, intent, order)
    for name, order in there.items():
        yield f"not ours: order {order['order_id']} ({name or 'no id'}) is at the exchange and in no ledger"


def _differences(name: str, intent: dict[str, Any], order: dict[str, Any]) -> Iterator[str]:
    for field in _AGREE:
        if intent[field] != order[field]:
            yield f"differs: {name} {field} is {intent[field]} in the ledger, {order[field]} at the exchange"


def _unfinished(commands: Rows) -> Iterator[str]:
    for command in commands:
        yield f"unfinished: {command['kind']} of {command['client_order_id']} is {command['state']}"


def _trades(booked: Rows, traded: Rows) -> Iterator[str]:
    ours = {(each["trade_id"], each["order_id"]): each for each in booked}
    theirs = {(each["trade_id"], each["order_id"]): each for each in traded}
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            yield f"trade: {key[0]} of order {key[1]} is {ours.get(key)} in the ledger, {theirs.get(key)} there"


def _positions(seen: Rows, held: Rows) -> Iterator[str]:
    ours = {(each["ticker"], each["subaccount"]): each["position_e2"] for each in seen}
    theirs = {(each["ticker"], each["subaccount"]): each["position_e2"] for each in held}
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key, 0) != theirs.get(key, 0):
            yield f"position: {key[0]} is {ours.get(key, 0)} in the ledger, {theirs.get(key, 0)} at the exchange"


def arrived(exchange: Path) -> set[str]:
    """The client_order_ids of all requests to create orders that have reached the exchange."""
    requests = _read(exchange, _CREATES)
    return {name for request in requests for name in request["client_order_ids"].split(",") if name}
