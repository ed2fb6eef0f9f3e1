"""Ledger and exchange held against each other and against the file of orders, from their SQLite files alone.

Shares no code with what it inspects: it knows the two schemas, the exchange's wire log, the mark of an id and the
formula of the chain. Each sentence it returns is a broken promise.
"""

import hashlib
import json
import re
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# A UUIDv8 whose first 16 bits are "om": what oms derives.
OURS = re.compile(r"6f6d[0-9a-f]{4}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
CREATES = ("CreateOrderV2", "BatchCreateOrdersV2")
CHANGES = ("AmendOrderV2", "DecreaseOrderV2")
_ORDERS = "SELECT o.*, b.state AS batch_state FROM orders o JOIN batches b ON b.key = o.batch_key"
_CHAIN = "{order_key}|{n}|{command_key}|{epoch}|{at_us}|{kind}|"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the two files say."""

    orders: list[Row]  # the ledger's
    commands: list[Row]
    events: list[Row]
    controls: list[Row]
    there: list[Row]  # the exchange's orders of our account
    wire: list[Row]
    actions: list[Row]
    action_events: list[Row]


def facts(ledger: Path, exchange: Path) -> Facts:
    """Read both files; of the ledger a copy, since looking at a WAL may already tidy it up. Raises sqlite3.Error."""
    with TemporaryDirectory() as aside, closing(_open(_copied(ledger, Path(aside)))) as ours:
        return _facts(ours, exchange)


def _facts(ours: sqlite3.Connection, exchange: Path) -> Facts:
    with closing(_open(exchange)) as theirs:
        return Facts(
            orders=_rows(
                ours, "SELECT o.*, b.state AS batch_state FROM orders o JOIN batches b ON b.key = o.batch_key"
            ),
            commands=_rows(ours, "SELECT * FROM commands"),
            events=_rows(ours, "SELECT * FROM events ORDER BY order_key, n"),
            controls=_rows(ours, "SELECT * FROM controls"),
            there=_rows(theirs, "SELECT * FROM orders WHERE user_id = (SELECT value FROM meta WHERE name = 'user_id')"),
            wire=_rows(theirs, "SELECT * FROM wire ORDER BY seq"),
            actions=_rows(ours, "SELECT * FROM actions"),
            action_events=_rows(ours, "SELECT * FROM action_events ORDER BY action_key, n"),
        )


def _copied(path: Path, to: Path) -> Path:
    for suffix in ("", "-wal"):
        if Path(f"{path}{suffix}").exists():
            shutil.copy(f"{path}{suffix}", to)
    return to / path.name


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=10)
    database.row_factory = sqlite3.Row
    return database


def _rows(database: sqlite3.Connection, query: str) -> list[Row]:
    return [dict(row) for row in database.execute(query)]


def problems(ledger: Path, exchange: Path, expected: Sequence[str]) -> list[str]:
    """Every broken promise of a ledger at rest whose rows should stand as `expected` (statuses in row order)."""
    seen = facts(ledger, exchange)
    return [
        *_rows_as_expected(seen, expected),
        *unfinished(seen),
        *safety(seen),
        *agreement(seen),
    ]


def safety(seen: Facts) -> list[str]:
    """What must hold at any moment, also in mid crash."""
    return [*actions_safe(seen), *once(seen), *_bodies(seen), *_halts(seen)]


def actions_safe(seen: Facts) -> list[str]:
    """What holds of every request, whoever else uses the account, and also while sending is halted."""
    return [*_claims(seen), *_chains(seen)]


def torn(ledger: Path, exchange: Path) -> list[str]:
    """What a kill has broken at once, before anybody has recovered anything."""
    try:
        seen = facts(ledger, exchange)
    except sqlite3.OperationalError:
        return []  # killed before it had tables
    return safety(seen)


def posts(exchange: Path) -> int:
    """How many write requests were sent to the exchange; one that a fault delivers late or twice counts once."""
    with closing(_open(exchange)) as theirs:
        query = "SELECT count(*) FROM wire WHERE method <> 'GET' AND arrival_of IS NULL"
        found: int = theirs.execute(query).fetchone()[0]
        return found


def _rows_as_expected(seen: Facts, expected: Sequence[str]) -> Iterator[str]:
    got = [order["status"] for order in sorted(seen.orders, key=lambda o: (o["batch_key"], o["row"]))]
    if got != list(expected):
        yield f"statuses are {got}, expected {list(expected)}"
    if any(order["batch_state"] != "recorded" for order in seen.orders):
        yield "a batch was left in recording"


def unfinished(seen: Facts) -> Iterator[str]:
    for command in seen.commands:
        if command["state"] in ("queued", "on_wire", "in_doubt", "parked"):
            yield f"unfinished: {command['kind']} {command['key']} is {command['state']}"


def once(seen: Facts) -> Iterator[str]:
    for client_order_id, times in Counter(order["client_order_id"] for order in seen.there).items():
        if times > 1:
            yield f"P2: {times} orders at the exchange under {client_order_id}"
    known = {order["client_order_id"] for order in seen.orders}
    for order in seen.there:
        if OURS.fullmatch(order["client_order_id"]) and order["client_order_id"] not in known:
            yield f"P3: order {order['order_id']} ({order['client_order_id']}) is in no ledger"


def agreement(seen: Facts) -> Iterator[str]:
    there = {order["client_order_id"]: order for order in seen.there}
    for ours in seen.orders:
        name, theirs = ours["client_order_id"], there.get(ours["client_order_id"])
        is_live = ours["status"] in ("resting", "executed", "canceled")
        if is_live != (theirs is not None):
            yield f"P3: {name} is {ours['status']} here and {theirs and theirs['status']} there"
        elif theirs is not None:
            pairs = {
                "order_id": theirs["order_id"],
                "status": theirs["status"],
                "fill_count_e2": theirs["fill_e2"],
                "remaining_count_e2": theirs["remaining_e2"],
                "working_price_e6": theirs["price_e4"] * 100,
                "working_count_e2": _total(theirs),
                "side": theirs["side"],
                "ticker": theirs["ticker"],
            }
            for field, value in pairs.items():
                if ours[field] != value:
                    yield f"P3: {name} {field} is {ours[field]} here and {value} there"


def _total(theirs: Row) -> int:
    """All that it may come to; of an order that has ended what it was asked for."""
    total: int = theirs["initial_e2"]
    return total if theirs["status"] != "resting" else theirs["fill_e2"] + theirs["remaining_e2"]


def _claims(seen: Facts) -> Iterator[str]:
    """P1: every write that arrived was claimed, with the very timestamp it was signed with."""
    names = {order["key"]: order for order in seen.orders}
    kinds = {command["key"]: command["kind"] for command in seen.commands}
    claimed: Counter[tuple[str, int]] = Counter()
    for event in seen.events:
        if event["kind"] == "claimed":
            order, kind = names[event["order_key"]], kinds[event["command_key"]]
            name = order["client_order_id"] if kind == "create" else order["order_id"]
            claimed[name, json.loads(event["data"])["signed_ms"]] += 1
    for name, signed_ms in _action_claims(seen):
        claimed[name, signed_ms] += 1
    for request in seen.wire:
        if request["arrival_of"] is not None:
            continue
        if request["operation"] in CREATES:
            wanted = request["client_order_ids"].split(",")
        elif request["operation"] == "BatchCancelOrdersV2":
            if all(signed_ms != request["signed_ms"] for _, signed_ms in claimed):
                yield f"P1: nothing was claimed at {request['signed_ms']}, when orders were canceled"
            continue
        elif request["method"] == "DELETE":
            wanted = [request["path"].rpartition("/")[2]]
        elif request["operation"] in CHANGES:
            wanted = [request["path"].split("/")[-2]]
        elif request["method"] != "GET" and "/order_groups/" in request["path"]:
            wanted = [request["path"].rpartition("/order_groups/")[2]]
        else:
            continue
        for name in wanted:
            claimed[name, request["signed_ms"]] -= 1
            if claimed[name, request["signed_ms"]] < 0:
                yield f"P1: {request['operation']} {name} signed {request['signed_ms']} was never claimed"


def _action_claims(seen: Facts) -> Iterator[tuple[str, int]]:
    """What each attempt of an action is called on the wire, and the timestamp it was claimed with."""
    wire = {
        "cancel_all": "orders",
        "cancel_external": "{target}",
        "group_create": "create",
        "group_delete": "{target}",
        "group_trigger": "{target}/trigger",
        "group_reset": "{target}/reset",
        "group_limit": "{target}/limit",
    }
    names = {action["key"]: wire[action["kind"]].format(target=action["target"]) for action in seen.actions}
    for event in seen.action_events:
        if event["kind"] == "claimed":
            yield names[event["action_key"]], json.loads(event["data"])["signed_ms"]


def _bodies(seen: Facts) -> Iterator[str]:
    """Every create that arrived has the bytes that were recorded, whether alone or among others."""
    names = {order["key"]: order["client_order_id"] for order in seen.orders}
    recorded: dict[str, str] = {}
    for event in seen.events:
        data = json.loads(event["data"])
        if event["kind"] == "recorded" and data["kind"] == "create":
            recorded[names[event["order_key"]]] = data["body"]
    for request in seen.wire:
        if request["operation"] not in CREATES:
            continue
        ids = request["client_order_ids"].split(",")
        if not set(ids) <= recorded.keys():
            continue  # said by _claims already
        body = recorded[ids[0]]
        if request["operation"] == "BatchCreateOrdersV2":
            body = '{"orders":[' + ",".join(recorded[name] for name in ids) + "]}"
        if hashlib.sha256(body.encode()).hexdigest() != request["body_sha256"]:
            yield f"the body sent for {ids} is not the one recorded"


def _chains(seen: Facts) -> Iterator[str]:
    """P7: the events of each order are numbered without a gap, and each carries the hash over the one before."""
    by_order: dict[int, list[Row]] = defaultdict(list)
    for event in seen.events:
        by_order[event["order_key"]].append(event)
    for order in seen.orders:
        head = hashlib.sha256(order["client_order_id"].encode()).digest()[:16]
        events = by_order[order["key"]]
        for number, event in enumerate(events, 1):
            text = _CHAIN.format(**event) + event["data"]
            head = hashlib.sha256(head + text.encode()).digest()[:16]
            if (event["n"], event["hash"]) != (number, head):
                yield f"P7: the chain of {order['client_order_id']} is broken at event {number}"
                break
        if (order["event_count"], order["chain_hash"]) != (len(events), head):
            yield f"P7: {order['client_order_id']} does not end its chain"


def _halts(seen: Facts) -> Iterator[str]:
    for control in seen.controls:
        yield f"{control['name']}: {control['reason']}"
