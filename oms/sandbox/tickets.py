"""Reading a create request: the exchange's strict formats, before any rule of the market is asked."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from oms.sandbox import amounts
from oms.sandbox.orders import Side, Ticket
from oms.sandbox.refusals import malformed, refuse, wrong_type

# Kalshi's FIX rules give this format; its REST answers 400 to anything else (recorded for a dot).
_CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9_:+=/-]{1,64}", re.ASCII)

TIMES_IN_FORCE = ("good_till_canceled", "immediate_or_cancel", "fill_or_kill")
LATEST_EXPIRY_S = 253_402_300_799  # the end of the year 9999: nothing later has a date
SELF_TRADE_PREVENTION = ("taker_at_cross", "maker")

CREATE_FIELDS = {
    "ticker": "string",
    "client_order_id": "string",
    "side": "string",
    "count": "string",
    "price": "string",
    "time_in_force": "string",
    "self_trade_prevention_type": "string",
    "order_group_id": "string",
    "expiration_time": "int64",
    "subaccount": "int",
    "exchange_index": "int",
    "post_only": "bool",
    "reduce_only": "bool",
    "cancel_order_on_pause": "bool",
}

_PYTHON_TYPES: dict[str, type] = {"string": str, "int64": int, "int": int, "bool": bool}


def _json_name(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request's body; raises the exchange's shape b for anything else."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise malformed("unexpected end of JSON input" if not body else "invalid JSON") from exc
    if not isinstance(document, dict):
        raise malformed(f"json: cannot unmarshal {_json_name(document)} into Go value of type object")
    return document


def _is_int(value: int, kind: type) -> bool:
    """Is it what a 64-bit integer field takes (or a bool field, for which Python's True is an int too)?"""
    return kind is bool or (not isinstance(value, bool) and abs(value) < 2**63)


def typed(document: object, fields: Mapping[str, str], record: str) -> dict[str, Any]:
    """The known fields that are given, each of its declared type. Nulls count as not given, unknown keys pass."""
    if not isinstance(document, dict):
        raise malformed(f"json: cannot unmarshal {_json_name(document)} into Go value of type {record}")
    given = {}
    for field, wanted in fields.items():
        value = document.get(field)
        if value is None:
            continue
        kind = _PYTHON_TYPES[wanted]
        if not isinstance(value, kind) or (isinstance(value, int) and not _is_int(value, kind)):
            raise wrong_type(_json_name(value), record, field, wanted)
        given[field] = value
    return given


def one_of(given: Mapping[str, Any], field: str, choices: tuple[str, ...]) -> str:
    """A required word out of a closed list."""
    value = given.get(field)
    if not value:
        raise refuse(400, "missing_parameters", details=f"{field} is required")
    if value not in choices:
        raise refuse(400, "invalid_parameters", details=f"{field} is none of {', '.join(choices)}")
    return str(value)


def subaccount_in(given: Mapping[str, Any]) -> int:
    """The subaccount, 0 (primary) when not given."""
    subaccount = given.get("subaccount", 0)
    if not 0 <= subaccount <= 63:
        raise refuse(400, "invalid_parameters", details="subaccount is 0 to 63")
    return int(subaccount)


def expiry_in(given: Mapping[str, Any], field: str = "expiration_time") -> int | None:
    """The expiry in Unix seconds, None when not given."""
    expires: int | None = given.get(field)
    if expires is not None and expires > LATEST_EXPIRY_S:
        raise refuse(400, "invalid_parameters", details=f"{field} is not a time")
    return expires


def client_order_id_in(given: Mapping[str, Any], field: str = "client_order_id") -> str:
    """The caller's id, empty when not given."""
    value = str(given.get(field, ""))
    if value and _CLIENT_ORDER_ID.fullmatch(value) is None:
        raise refuse(400, "invalid_parameters", details=f"{field} has a bad length or character")
    return value


def side_in(given: Mapping[str, Any]) -> Side:
    """The side of the YES book."""
    side = given.get("side")
    if side == "bid":
        return "bid"
    if side == "ask":
        return "ask"
    raise refuse(400, "invalid_order", details="side is required" if not side else "side is bid or ask")


def count_in(given: Mapping[str, Any], field: str = "count") -> int:
    """A required count above zero, in count_e2."""
    if not given.get(field):
        raise refuse(400, "invalid_order", details=f"{field} is required")
    count = amounts.count_e2(given[field])
    if not count:
        raise refuse(400, "invalid_order_size", details=f"{field} is above 0 with at most two decimals")
    return count


def price_in(given: Mapping[str, Any]) -> int:
    """A required price, in price_e4; whether it is on the market's grid is not asked here."""
    if not given.get("price"):
        raise refuse(400, "invalid_order", details="price is required")
    price = amounts.price_e4(given["price"])
    if price is None:
        raise refuse(400, "invalid_price", details="price is dollars with at most four decimals")
    return price


def read_ticket(document: object) -> Ticket:
    """A V2 create request. Raises the refusal that the exchange answers to a bad one."""
    given = typed(document, CREATE_FIELDS, "CreateOrderV2Request")
    if not given.get("ticker"):
        raise refuse(400, "missing_parameters", details="ticker is required")
    side = side_in(given)
    return Ticket(
        ticker=given["ticker"],
        client_order_id=client_order_id_in(given),
        side=side,
        count_e2=count_in(given),
        price_e4=price_in(given),
        time_in_force=one_of(given, "time_in_force", TIMES_IN_FORCE),
        self_trade_prevention_type=one_of(given, "self_trade_prevention_type", SELF_TRADE_PREVENTION),
        expiration_time=expiry_in(given),
        post_only=given.get("post_only", False),
        reduce_only=given.get("reduce_only", False),
        cancel_order_on_pause=given.get("cancel_order_on_pause", False),
        subaccount=subaccount_in(given),
        exchange_index=given.get("exchange_index", -1),
        order_group_id=given.get("order_group_id", ""),
        action="buy" if side == "bid" else "sell",
    )
