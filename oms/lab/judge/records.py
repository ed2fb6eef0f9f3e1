"""Rules about what was recorded: the file, the batches, the intents and the requests made of them. Ledger alone."""

import hashlib
import json
from collections import Counter
from decimal import Decimal
from typing import Any

from oms.lab.judge.case import Case, Said
from oms.lab.judge.reading import APPLICATION_ID, REVISIONS, Row
from oms.lab.judge.shape import batch_head


def schema_is_one_and_known(case: Case) -> Said:
    """I22."""
    if case.ledger.application_id != APPLICATION_ID:
        yield None, f"the file's application id is {case.ledger.application_id:#x}, not that of a ledger"
    if list(case.ledger.revisions) not in [[known] for known in REVISIONS]:
        yield None, f"the tables are of revision {', '.join(case.ledger.revisions) or 'none'}, not of one that is known"


def ledger_is_no_older_than_its_mark(case: Case) -> Said:
    """I20."""
    mark = case.ledger.mark
    for row in case.ledger["ledger"]:
        if mark is None or mark["id"] != row["ledger_id"]:
            continue
        newest = max((event["seq"] for event in case.ledger["events"]), default=0)
        if mark["epoch"] > row["epoch"] or mark["seq"] > newest:
            yield (
                None,
                f"the ledger is at run {row['epoch']}, event {newest}; the mark beside it has seen run"
                f" {mark['epoch']}, event {mark['seq']}: an older file was put in its place",
            )


def numbers_are_whole(case: Case) -> Said:
    """I19."""
    for table in ("orders", "commands", "fills", "positions"):
        for row in case.ledger[table]:
            if float in set(map(type, row.values())):
                name = case.name(row["key"] if table == "orders" else row.get("order_key", 0))
                columns = ", ".join(column for column, value in row.items() if isinstance(value, float))
                yield name, f"{table} holds a float in {columns}"
    for event in case.ledger["events"]:
        if event["said"] is None:
            yield (
                case.name(event["order_key"]),
                f"event {event['n']} ({event['kind']}) holds a number that is not whole",
            )
    for event in case.ledger["action_events"]:
        if event["said"] is None:
            yield None, f"event {event['n']} of action {event['action_key']} holds a number that is not whole"


def batches_are_whole(case: Case) -> Said:
    """I14."""
    found: dict[int, list[int]] = {}
    for order in case.ledger["orders"]:
        found.setdefault(order["batch_key"], []).append(order["row"])
    keys = Counter(batch["batch_key"] for batch in case.ledger["batches"])
    for batch in case.ledger["batches"]:
        numbers = sorted(found.get(batch["key"], []))
        label = batch["batch_key"][:14]
        if keys[batch["batch_key"]] > 1:
            yield None, f"batch {label} is recorded {keys[batch['batch_key']]} times"
        if batch["state"] == "recorded" and numbers != list(range(1, batch["row_count"] + 1)):
            yield None, f"batch {label} was recorded with {batch['row_count']} rows, and has rows {_short(numbers)}"


def nothing_is_sent_of_half_a_batch(case: Case) -> Said:
    """I1."""
    half = {batch["key"]: batch["batch_key"][:14] for batch in case.ledger["batches"] if batch["state"] != "recorded"}
    for command in case.ledger["commands"]:
        if command["batch_key"] in half and command["attempts"]:
            yield (
                case.name(command["order_key"]),
                f"it was sent while its batch {half[command['batch_key']]} was incomplete",
            )


def one_id_is_one_intent(case: Case) -> Said:
    """I2."""
    for name, times in Counter(order["client_order_id"] for order in case.ledger["orders"]).items():
        if times > 1:
            yield name, f"{times} intents have the id {name}"
    creates = Counter(command["order_key"] for command in case.ledger["commands"] if command["kind"] == "create")
    heads = {batch["key"]: batch["batch_key"][:14] for batch in case.ledger["batches"]}
    for order in case.ledger["orders"]:
        name = order["client_order_id"]
        if creates[order["key"]] != 1:
            yield name, f"{name} has {creates[order['key']]} commands that create it"
        head = batch_head(name)
        if not order["own_id"] and head is not None and head != heads.get(order["batch_key"]):
            yield (
                name,
                f"the id {name} was derived from batch {head}, and stands in batch {heads.get(order['batch_key'])}",
            )


def requests_are_as_recorded(case: Case) -> Said:
    """I5."""
    recorded = {event["seq"]: event["said"] for event in case.ledger["events"] if event["kind"] == "recorded"}
    for command in case.ledger["commands"]:
        name, said = case.name(command["order_key"]), recorded.get(command["recorded_seq"])
        if said is None:
            yield name, f"the {command['kind']} of {name} names no event that recorded it"
            continue
        body = said.get("body", "")
        if hashlib.sha256(body.encode()).digest()[:16] != command["digest"]:
            yield name, f"the digest of the {command['kind']} of {name} is not that of its recorded request"
        if command["kind"] == "create" and name is not None:
            for field in _differs(case.orders[name], body):
                yield name, f"the recorded request of {name} is another order than its row: {field}"


def _differs(order: Row, body: str) -> list[str]:
    """The fields in which a request body is not what the row says."""
    try:
        sent = json.loads(body, parse_float=Decimal)
        told = {
            **{name: sent.get(name) for name in _WORDS},
            "price_e6": Decimal(sent["price"]) * 10**6,
            "count_e2": Decimal(sent["count"]) * 100,
            "post_only": int(sent.get("post_only", False)),
            "reduce_only": int(sent.get("reduce_only", False)),
        }
    except (ValueError, KeyError, TypeError, ArithmeticError, AttributeError):
        return ["it cannot be read"]
    return [name for name, value in told.items() if value != order[name]]


_WORDS = (
    *("client_order_id", "ticker", "side", "time_in_force", "self_trade_prevention_type"),
    *("expiration_time", "subaccount"),
)


def _short(values: list[Any]) -> str:
    text = ", ".join(map(str, values[:5]))
    return f"{text} ... ({len(values)})" if len(values) > 5 else text or "none"
