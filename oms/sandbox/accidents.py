"""What a fault makes of an answer: the exchange's own is replaced, falsified, or damaged on its way."""

from typing import Any

import msgspec

from oms.sandbox import auth
from oms.sandbox.faults import Fault
from oms.sandbox.refusals import Refusal, refuse, too_many_requests
from oms.sandbox.wire import Delivery, Form, Request, Response, json_response

PROXY_PAGE = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"
    b"<body><center><h1>502 Bad Gateway</h1></center></body>\r\n</html>\r\n"
)
LISTS = (
    *("orders", "fills", "market_positions", "settlements", "markets", "trades"),
    *("order_groups", "queue_positions", "deposits", "withdrawals", "transfers"),
)
# What an answer about one order may leave out, and some send as null instead.
OPTIONAL = ("client_order_id", "remaining_count", "fill_count", "average_fill_price", "average_fee_paid")
NOBODY = "00000000-0000-4000-8000-000000000000"

_REFUSALS: dict[str, Refusal] = {
    "rate_limited": too_many_requests(),
    "clock": auth.expired(),
    "forbidden": refuse(403, "forbidden"),
    "not_found": refuse(404, "not_found", "not found"),
    "gone": refuse(410, "deprecated_v1_order_endpoint", "Please switch to the V2 endpoints"),
}


def replace_answer(fault: Fault, real: Response) -> Response:
    """The answer a client gets instead of `real`, or `real` itself damaged; `real` is empty if nothing was done."""
    if fault.kind in _REFUSALS:
        refusal = _REFUSALS[fault.kind]
        return json_response(refusal.status, refusal.document)
    match fault.kind:
        case "paused":
            return json_response(409, refuse(409, f"{fault.what}_is_paused").document)
        case "error":
            status = fault.status or 503
            code = "service_unavailable" if status == 503 else "internal_server_error"
            return json_response(status, refuse(status, code).document)
        case "html":
            return Response(fault.status or 502, PROXY_PAGE, (("content-type", "text/html"),))
        case "answer":
            headers = {"content-type": "application/json", **fault.headers}
            return Response(fault.status or 200, fault.body.encode(), tuple(headers.items()))
        case "redirect":
            return Response(fault.status or 307, b"", (("location", fault.body or "/"),))
        case "drop" | "late":
            wait_ms = fault.hold_ms if fault.kind == "late" else fault.ms or 0
            return _carried(real, Delivery(Form.DROPPED, wait_ms=wait_ms, reset=fault.reset))
        case "hang":
            return _carried(real, Delivery(Form.DROPPED, wait_ms=30_000 if fault.ms is None else fault.ms))
        case "delay":
            return _carried(real, Delivery(wait_ms=fault.ms or 0))
        case "cut_headers":
            return _carried(real, Delivery(Form.CUT_HEADERS))
        case "cut_body":
            keep = len(real.body) // 2 if fault.keep is None else fault.keep
            return _carried(real, Delivery(Form.CUT_BODY, keep_bytes=keep))
        case "trickle":
            return _carried(real, Delivery(Form.TRICKLED, pace_ms=300 if fault.ms is None else fault.ms))
        case _:
            return _falsified(fault, real)


def _carried(real: Response, delivery: Delivery) -> Response:
    if real.status == 0:
        # Nothing was processed, so there is no answer to damage: the connection just ends.
        delivery = Delivery(Form.DROPPED, wait_ms=delivery.wait_ms)
    return Response(real.status, real.body, real.headers, delivery)


def _falsified(fault: Fault, real: Response) -> Response:
    if real.status == 0:
        return _carried(real, Delivery())
    if fault.kind == "status":
        status = fault.status or 202
        return Response(status, b"" if status == 204 else real.body, real.headers)
    if fault.kind == "empty":
        return Response(real.status, b"", real.headers)
    if fault.kind == "not_json":
        return Response(real.status, b"OK\n", (("content-type", "text/plain"),))
    if real.status >= 300 or not real.body:
        return real
    document = msgspec.json.decode(real.body)
    _falsify(fault, document)
    return Response(real.status, msgspec.json.encode(document), real.headers)


def _falsify(fault: Fault, document: dict[str, Any]) -> None:
    items = document.get("orders")
    # A single answer, a batch's items, or the order in a V1 answer: wherever the ids stand.
    targets = items if isinstance(items, list) else [document.get("order", document)]
    if fault.kind == "reorder" and isinstance(items, list):
        items.reverse()
    elif fault.kind == "omit_items" and isinstance(items, list):
        del items[fault.keep or 0 :]
    elif fault.kind == "empty_list":
        document.update({name: [] for name in LISTS if name in document})
        document["cursor"] = ""
    elif fault.kind == "nulls":
        document.update({name: None for name in LISTS if document.get(name) == []})
        for target in targets:
            if "ts_ms" in target:  # the answer of a write
                target.update({name: None for name in OPTIONAL if name not in target})
    elif fault.kind.startswith("other_"):
        for target in targets:
            target[fault.kind.removeprefix("other_")] = NOBODY
    elif fault.kind.startswith("no_"):
        for target in targets:
            target.pop(fault.kind.removeprefix("no_"), None)


def repeat_cursor(request: Request, real: Response, first_cursor: str) -> Response:
    """The same page with a cursor that leads back to it."""
    document = msgspec.json.decode(real.body)
    document["cursor"] = request.first("cursor") or document.get("cursor") or first_cursor
    return json_response(real.status, document)
