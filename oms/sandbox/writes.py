"""The V2 writes: create, cancel, amend, decrease, batches, cancel-all. They answer flat, without a status."""

from typing import Any

import msgspec

from oms.sandbox import amendments, amounts
from oms.sandbox.amendments import Amendment
from oms.sandbox.calls import Call
from oms.sandbox.orders import Order, Ticket
from oms.sandbox.refusals import Refusal, malformed, not_found, refuse
from oms.sandbox.tickets import (
    client_order_id_in,
    count_in,
    expiry_in,
    parse_object,
    price_in,
    read_ticket,
    side_in,
    subaccount_in,
    typed,
)
from oms.sandbox.wire import Response, json_response

CANCEL_FIELDS = {"order_id": "string", "subaccount": "int", "exchange_index": "int", "market_ticker": "string"}


AMEND_FIELDS = {
    "ticker": "string",
    "side": "string",
    "price": "string",
    "count": "string",
    "client_order_id": "string",
    "updated_client_order_id": "string",
    "expiration_time": "int64",
    "exchange_index": "int",
}
DECREASE_FIELDS = {
    "reduce_by": "string",
    "reduce_to": "string",
    "exchange_index": "int",
    "market_ticker": "string",
}


def _head(order: Order) -> dict[str, Any]:
    """How every answer about one order begins; without a client_order_id where none was given."""
    head = {"order_id": order.order_id}
    if order.ticket.client_order_id:
        head["client_order_id"] = order.ticket.client_order_id
    return head


def created_document(order: Order) -> dict[str, Any]:
    """What the exchange says of an order it just took; averages only where something was filled."""
    version = order.now
    answer = _head(order)
    answer["fill_count"] = amounts.count_text(version.fill_e2)
    answer["remaining_count"] = amounts.count_text(version.remaining_e2)
    if version.fill_e2:
        answer["average_fill_price"] = amounts.price_text(_average_price(order))
        answer["average_fee_paid"] = amounts.price_text(amounts.average_e4(version.taker_fees_e6, version.fill_e2))
    answer["ts_ms"] = version.at_us // 1000
    return answer


def _average_price(order: Order) -> int:
    """The average YES price; an ask's cost is one minus it."""
    cost = amounts.average_e4(order.now.taker_cost_e6, order.now.fill_e2)
    return cost if order.ticket.side == "bid" else amounts.ONE_DOLLAR_E4 - cost


def allowed(call: Call, ticket: Ticket, is_given: bool) -> Ticket:
    """The ticket with the subaccount that the key may use; raises 403 when it may not."""
    subaccount = call.subaccount(ticket.subaccount if is_given else None, 0)
    if subaccount in (None, ticket.subaccount):
        return ticket
    return msgspec.structs.replace(ticket, subaccount=subaccount)


def _place(call: Call, document: object) -> Order:
    is_given = isinstance(document, dict) and document.get("subaccount") is not None
    return call.desk.place(call.account, allowed(call, read_ticket(document), is_given), call.when)


def create(call: Call) -> Response:
    """POST /portfolio/events/orders: 201."""
    return json_response(201, created_document(_place(call, parse_object(call.request.body))))


def orders_of(call: Call, largest: int, given: dict[str, Any] | None = None) -> list[Any]:
    """The items of a batch (of its body, unless `given`); raises 400 when there are none or too many."""
    items = (parse_object(call.request.body) if given is None else given).get("orders")
    if not isinstance(items, list) or not items:
        raise refuse(400, "missing_parameters", details="orders is required")
    if len(items) > largest:
        raise refuse(400, "invalid_parameters", details=f"at most {largest} orders in one batch")
    return items


def create_batch(call: Call) -> Response:
    """POST /portfolio/events/orders/batched: 201 even if every item was refused; each item stands alone."""
    items = orders_of(call, call.meter.largest_batch)
    for item in items:
        _check_types(item)
    return json_response(201, {"orders": [_create_item(call, item) for item in items]})


def _check_types(item: object) -> None:
    """One value of a wrong type makes the whole batch unreadable; all other errors are the item's own."""
    try:
        read_ticket(item)
    except Refusal as refusal:
        if "error" not in refusal.document:
            raise malformed(str(refusal.document["details"])) from None


def _create_item(call: Call, item: Any) -> dict[str, Any]:
    answer: dict[str, Any] = dict.fromkeys(
        ("client_order_id", "fill_count", "remaining_count", "average_fill_price", "average_fee_paid", "ts_ms", "error")
    )
    try:
        answer.update(created_document(_place(call, item)))
    except Refusal as refusal:
        answer.update(client_order_id=item.get("client_order_id"), error=refusal.item())
    return answer


def shard_of(call: Call, exchange_index: int | None, market_ticker: str | None) -> int:
    """Where a cancel is sent: by index, else by ticker, else to shard 0, whatever the order's shard is."""
    if exchange_index not in (None, -1):
        return exchange_index or 0
    if market_ticker:
        market = call.state.markets.get(market_ticker)
        if market is None:
            raise not_found()
        return market.exchange_index
    if exchange_index == -1:
        raise refuse(400, "missing_parameters", details="market_ticker is required for auto-routing")
    return 0


def _canceled_document(order: Order, reduced: int) -> dict[str, Any]:
    return {**_head(order), "reduced_by": amounts.count_text(reduced), "ts_ms": order.now.at_us // 1000}


def cancel(call: Call) -> Response:
    """DELETE /portfolio/events/orders/{order_id}: 200, or the 404 that says nothing of why."""
    shard = shard_of(call, call.integer("exchange_index"), call.request.first("market_ticker"))
    subaccount = call.subaccount(call.integer("subaccount"), 0)
    order, reduced = call.desk.cancel(call.account, call.path["order_id"], shard, subaccount or 0, call.when)
    return json_response(200, _canceled_document(order, reduced))


def cancel_batch(call: Call) -> Response:
    """DELETE /portfolio/events/orders/batched, with a body: 200, each item on its own."""
    items = [
        typed(item, CANCEL_FIELDS, "BatchCancelOrdersV2RequestOrder")
        for item in orders_of(call, call.meter.limits.write.bucket_capacity // 2)
    ]
    if not all(item.get("order_id") for item in items):
        raise refuse(400, "missing_parameters", details="order_id is required")
    return json_response(200, {"orders": [_cancel_item(call, item) for item in items]})


def _cancel_item(call: Call, item: dict[str, Any]) -> dict[str, Any]:
    try:
        shard = shard_of(call, item.get("exchange_index"), item.get("market_ticker"))
        given = subaccount_in(item) if "subaccount" in item else None
        subaccount = call.subaccount(given, 0) or 0
        order, reduced = call.desk.cancel(call.account, item["order_id"], shard, subaccount, call.when)
    except Refusal as refusal:
        return {"order_id": item["order_id"], "reduced_by": "0.00", "ts_ms": None, "error": refusal.item()}
    return {**_canceled_document(order, reduced), "error": None}


def cancel_all(call: Call) -> Response:
    """DELETE /portfolio/events/orders: 204, on all shards, of one subaccount or of all."""
    subaccount = call.subaccount(call.integer("subaccount"), None)
    call.desk.cancel_all(call.account, subaccount, call.when)
    return Response(204)


def _resting(call: Call, exchange_index: int | None, ticker: str | None) -> Order:
    subaccount = call.subaccount(call.integer("subaccount"), 0) or 0
    shard = shard_of(call, exchange_index, ticker)
    return call.desk.resting(call.account, call.path["order_id"], shard, subaccount)


def amend(call: Call) -> Response:
    """POST /portfolio/events/orders/{order_id}/amend: 200; `fill_count` and averages are of this amend alone.

    Counts are there only if it caused a fill or changed what rests: not for another price or expiry alone.
    """
    given = typed(parse_object(call.request.body), AMEND_FIELDS, "AmendOrderV2Request")
    if not given.get("ticker"):
        raise refuse(400, "missing_parameters", details="ticker is required")
    wanted = Amendment(
        ticker=given["ticker"],
        side=side_in(given),
        price_e4=price_in(given),
        count_e2=count_in(given),
        client_order_id=client_order_id_in(given),
        updated_client_order_id=client_order_id_in(given, "updated_client_order_id"),
        expiration_time=expiry_in(given),
    )
    # An amend always names a ticker, but it is the order's own that says where it is: a wrong one is a mismatch.
    order = call.state.by_order_id.get(call.path["order_id"])
    ticker = wanted.ticker if order is None else order.ticket.ticker
    order = _resting(call, given.get("exchange_index"), ticker)
    before = order.now
    planned = amendments.amend(call.desk, call.account, order, wanted, call.when)
    answer = _head(order)
    if planned.count_e2 or order.now.remaining_e2 != before.remaining_e2:
        answer["remaining_count"] = amounts.count_text(order.now.remaining_e2)
        answer["fill_count"] = amounts.count_text(planned.count_e2)
    if planned.count_e2:
        cost = amounts.average_e4(order.now.taker_cost_e6 - before.taker_cost_e6, planned.count_e2)
        price = cost if order.ticket.side == "bid" else amounts.ONE_DOLLAR_E4 - cost
        fees = order.now.taker_fees_e6 - before.taker_fees_e6
        answer["average_fill_price"] = amounts.price_text(price)
        answer["average_fee_paid"] = amounts.price_text(amounts.average_e4(fees, planned.count_e2))
    return json_response(200, {**answer, "ts_ms": order.now.at_us // 1000})


def target_of(order: Order, reduce_by: str | None, reduce_to: str | None) -> int:
    """What a decrease shall leave, in count_e2; raises 400 unless it names exactly one way, and less than remains."""
    if (reduce_by is None) == (reduce_to is None):
        raise refuse(400, "invalid_parameters", details="exactly one of reduce_by and reduce_to")
    remaining = order.now.remaining_e2
    by = 0 if reduce_by is None else count_in({"reduce_by": reduce_by}, "reduce_by")
    to = remaining - by if reduce_to is None else amounts.count_e2(reduce_to)
    if to is None or not 0 <= to <= remaining:
        raise refuse(400, "invalid_parameters", details=f"{amounts.count_text(remaining)} remain")
    return to


def decrease(call: Call) -> Response:
    """POST /portfolio/events/orders/{order_id}/decrease: 200 with what remains."""
    given = typed(parse_object(call.request.body), DECREASE_FIELDS, "DecreaseOrderV2Request")
    order = _resting(call, given.get("exchange_index"), given.get("market_ticker"))
    to = target_of(order, given.get("reduce_by"), given.get("reduce_to"))
    amendments.decrease(call.desk, call.account, order, to, call.when)
    remains = amounts.count_text(order.now.remaining_e2)
    return json_response(200, {**_head(order), "remaining_count": remains, "ts_ms": order.now.at_us // 1000})
