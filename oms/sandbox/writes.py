"""The V2 writes: create, cancel, their batches, and cancel-all. They answer flat, without a status."""

from typing import Any

from oms.sandbox import amounts
from oms.sandbox.calls import Call
from oms.sandbox.orders import Order, Ticket
from oms.sandbox.refusals import Refusal, malformed, not_found, refuse
from oms.sandbox.tickets import parse_object, read_ticket, subaccount_in, typed
from oms.sandbox.wire import Response, json_response

CANCEL_FIELDS = {"order_id": "string", "subaccount": "int", "exchange_index": "int", "market_ticker": "string"}


def created_document(order: Order) -> dict[str, Any]:
    """What the exchange says of an order it just took; averages only where something was filled."""
    version = order.now
    answer: dict[str, Any] = {"order_id": order.order_id}
    if order.ticket.client_order_id:
        answer["client_order_id"] = order.ticket.client_order_id
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
    fields = {name: getattr(ticket, name) for name in Ticket.__struct_fields__}
    return Ticket(**{**fields, "subaccount": subaccount})


def _place(call: Call, document: object) -> Order:
    is_given = isinstance(document, dict) and document.get("subaccount") is not None
    return call.desk.place(call.account, allowed(call, read_ticket(document), is_given), call.when)


def create(call: Call) -> Response:
    """POST /portfolio/events/orders: 201."""
    return json_response(201, created_document(_place(call, parse_object(call.request.body))))


def orders_of(call: Call, largest: int) -> list[Any]:
    """The items of a batch; raises 400 when there are none or too many."""
    items = parse_object(call.request.body).get("orders")
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
    answer: dict[str, Any] = {"order_id": order.order_id}
    if order.ticket.client_order_id:
        answer["client_order_id"] = order.ticket.client_order_id
    return {**answer, "reduced_by": amounts.count_text(reduced), "ts_ms": order.now.at_us // 1000}


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
