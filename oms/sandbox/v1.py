"""The retired V1 order writes. Kalshi switched them off in June 2026: they answer 410.

With `--v1-compat` they work as they did, so that programs and guides written for them run unchanged. Buying YES
at p is a bid at p, selling YES an ask at p, buying NO at p an ask at 1-p, selling NO a bid at 1-p.
"""

from typing import Any

from oms.sandbox import amendments, amounts
from oms.sandbox.amendments import Amendment
from oms.sandbox.calls import Call
from oms.sandbox.orders import Order, Side, Ticket, document
from oms.sandbox.refusals import Refusal, refuse
from oms.sandbox.tickets import (
    SELF_TRADE_PREVENTION,
    TIMES_IN_FORCE,
    client_order_id_in,
    count_in,
    expiry_in,
    one_of,
    parse_object,
    subaccount_in,
    typed,
)
from oms.sandbox.wire import Response, json_response
from oms.sandbox.writes import allowed, orders_of, target_of

FIELDS = {
    "ticker": "string",
    "client_order_id": "string",
    "side": "string",
    "action": "string",
    "type": "string",
    "count": "int",
    "count_fp": "string",
    "yes_price": "int",
    "no_price": "int",
    "yes_price_dollars": "string",
    "no_price_dollars": "string",
    "expiration_ts": "int64",
    "time_in_force": "string",
    "buy_max_cost": "int",
    "post_only": "bool",
    "reduce_only": "bool",
    "self_trade_prevention_type": "string",
    "order_group_id": "string",
    "cancel_order_on_pause": "bool",
    "subaccount": "int",
    "exchange_index": "int",
}
AMEND_FIELDS = {
    name: FIELDS[name]
    for name in (
        *("ticker", "client_order_id", "side", "action", "count", "count_fp", "subaccount", "exchange_index"),
        *("yes_price", "no_price", "yes_price_dollars", "no_price_dollars"),
    )
} | {"updated_client_order_id": "string"}
DECREASE_FIELDS = {
    "reduce_by": "int",
    "reduce_to": "int",
    "reduce_by_fp": "string",
    "reduce_to_fp": "string",
    "subaccount": "int",
}
PRICES = ("yes_price", "no_price", "yes_price_dollars", "no_price_dollars")


def _check_alive(call: Call) -> None:
    if not call.state.knobs.v1_compat:
        raise refuse(
            410,
            "deprecated_v1_order_endpoint",
            "Please switch to the V2 endpoints",
            "https://docs.kalshi.com/api-reference/orders/create-order-v2",
        )


def _yes_price_in(given: dict[str, Any]) -> int:
    """The YES price in price_e4 from the one price field that is given."""
    named = [name for name in PRICES if name in given]
    if len(named) != 1:
        raise refuse(400, "invalid_order", details="exactly one price is required")
    value = given[named[0]]
    price = amounts.price_e4(value) if isinstance(value, str) else value * 100
    if price is None:
        raise refuse(400, "invalid_price")
    return amounts.ONE_DOLLAR_E4 - price if named[0].startswith("no_") else price


def _count_of(given: dict[str, Any]) -> int:
    if "count" not in given:
        return count_in(given, "count_fp")
    if given["count"] < 1:
        raise refuse(400, "invalid_order_size")
    return int(given["count"]) * 100


def _book_side(action: str, leg: str) -> Side:
    return "bid" if (action == "buy") == (leg == "yes") else "ask"


def read_v1_ticket(body: object) -> Ticket:
    """A V1 create request; raises the refusal that the exchange answered to a bad one."""
    given = typed(body, FIELDS, "CreateOrderRequest")
    if not given.get("ticker"):
        raise refuse(400, "missing_parameters", details="ticker is required")
    action, leg = one_of(given, "action", ("buy", "sell")), one_of(given, "side", ("yes", "no"))
    if given.get("type", "limit") != "limit":
        raise refuse(400, "invalid_parameters", details="only limit orders")
    if "buy_max_cost" in given:
        raise refuse(400, "invalid_parameters", details="buy_max_cost is not supported by this sandbox")
    given.setdefault("time_in_force", "good_till_canceled")
    given.setdefault("self_trade_prevention_type", "taker_at_cross")
    return Ticket(
        ticker=given["ticker"],
        client_order_id=client_order_id_in(given),
        side=_book_side(action, leg),
        count_e2=_count_of(given),
        price_e4=_yes_price_in(given),
        time_in_force=one_of(given, "time_in_force", TIMES_IN_FORCE),
        self_trade_prevention_type=one_of(given, "self_trade_prevention_type", SELF_TRADE_PREVENTION),
        expiration_time=expiry_in(given, "expiration_ts"),
        post_only=given.get("post_only", False),
        reduce_only=given.get("reduce_only", False),
        cancel_order_on_pause=given.get("cancel_order_on_pause", False),
        subaccount=subaccount_in(given),
        exchange_index=given.get("exchange_index", -1),
        order_group_id=given.get("order_group_id", ""),
        action=action,
        leg=leg,
    )


def _place(call: Call, body: object) -> dict[str, Any]:
    is_given = isinstance(body, dict) and body.get("subaccount") is not None
    order = call.desk.place(call.account, allowed(call, read_v1_ticket(body), is_given), call.when)
    return document(order, order.now)


def create(call: Call) -> Response:
    """POST /portfolio/orders: 201 with the order."""
    _check_alive(call)
    return json_response(201, {"order": _place(call, parse_object(call.request.body))})


def create_batch(call: Call) -> Response:
    """POST /portfolio/orders/batched."""
    _check_alive(call)
    answers: list[dict[str, Any]] = []
    for item in orders_of(call, call.meter.largest_batch):
        try:
            order = _place(call, item)
            answers.append({"client_order_id": order["client_order_id"], "order": order, "error": None})
        except Refusal as refusal:
            given = item.get("client_order_id") if isinstance(item, dict) else None
            answers.append({"client_order_id": given, "order": None, "error": refusal.item()})
    return json_response(201, {"orders": answers})


def _cancel(call: Call, order_id: str, shard: int, subaccount: int) -> dict[str, Any]:
    order, reduced = call.desk.cancel(call.account, order_id, shard, subaccount, call.when)
    return {"order": document(order, order.now), "reduced_by_fp": amounts.count_text(reduced)}


def _shard(call: Call, order_id: str) -> int:
    """V1 found an order by its id alone, on whatever shard."""
    order = call.state.by_order_id.get(order_id)
    return 0 if order is None else order.exchange_index


def cancel(call: Call) -> Response:
    """DELETE /portfolio/orders/{order_id}: 200 with the order."""
    _check_alive(call)
    order_id = call.path["order_id"]
    subaccount = call.subaccount(call.integer("subaccount"), 0) or 0
    return json_response(200, _cancel(call, order_id, _shard(call, order_id), subaccount))


def cancel_batch(call: Call) -> Response:
    """DELETE /portfolio/orders/batched, with `ids` or `orders` in the body."""
    _check_alive(call)
    given = parse_object(call.request.body)
    if isinstance(given.get("ids"), list):
        given["orders"] = [{"order_id": order_id} for order_id in given["ids"]]
    answers: list[dict[str, Any]] = []
    for item in orders_of(call, call.meter.limits.write.bucket_capacity // 2, given):
        fields = typed(item, {"order_id": "string", "subaccount": "int"}, "BatchCancelOrdersRequestOrder")
        order_id = fields.get("order_id", "")
        try:
            done = _cancel(call, order_id, _shard(call, order_id), fields.get("subaccount", 0))
            answers.append({"order_id": order_id, **done, "error": None})
        except Refusal as refusal:
            answers.append({"order_id": order_id, "order": None, "reduced_by_fp": "0.00", "error": refusal.item()})
    return json_response(200, {"orders": answers})


def _resting(call: Call, given: dict[str, Any]) -> Order:
    """The resting order of the path, on whatever shard, in the subaccount that the body names."""
    order_id = call.path["order_id"]
    subaccount = call.subaccount(subaccount_in(given) if "subaccount" in given else None, 0) or 0
    return call.desk.resting(call.account, order_id, _shard(call, order_id), subaccount)


def amend(call: Call) -> Response:
    """POST /portfolio/orders/{order_id}/amend: 200 with the order before and after; without a count it is kept."""
    return _amend(call, is_strict=True)


def put(call: Call) -> Response:
    """PUT /portfolio/orders/{order_id}, as the quick-start guide writes the amend: what is not given stays."""
    return _amend(call, is_strict=False)


def _amend(call: Call, is_strict: bool) -> Response:
    _check_alive(call)
    given = typed(parse_object(call.request.body), AMEND_FIELDS, "AmendOrderRequest")
    order = _resting(call, given)
    before, ticket = order.now, order.ticket
    if not is_strict:
        own = {"ticker": ticket.ticker, "side": ticket.leg, "action": ticket.action}
        if not any(name in given for name in PRICES):
            own["yes_price_dollars"] = amounts.price_text(before.price_e4)
        given = {**own, **given}
    if not given.get("ticker"):
        raise refuse(400, "missing_parameters", details="ticker is required")
    action, leg = one_of(given, "action", ("buy", "sell")), one_of(given, "side", ("yes", "no"))
    wanted = Amendment(
        ticker=given["ticker"],
        side=_book_side(action, leg),
        price_e4=_yes_price_in(given),
        count_e2=_count_of(given) if "count" in given or "count_fp" in given else before.fill_e2 + before.remaining_e2,
        client_order_id=client_order_id_in(given),
        updated_client_order_id=client_order_id_in(given, "updated_client_order_id"),
        expiration_time=None,
    )
    old = document(order, before)
    amendments.amend(call.desk, call.account, order, wanted, call.when)
    return json_response(200, {"old_order": old, "order": document(order, order.now)})


def decrease(call: Call) -> Response:
    """POST /portfolio/orders/{order_id}/decrease: 200 with the order."""
    _check_alive(call)
    given = typed(parse_object(call.request.body), DECREASE_FIELDS, "DecreaseOrderRequest")
    by, to_count = (
        str(given[name]) if name in given else given.get(f"{name}_fp") for name in ("reduce_by", "reduce_to")
    )
    order = _resting(call, given)
    to = target_of(order, by, to_count)
    amendments.decrease(call.desk, call.account, order, to, call.when)
    return json_response(200, {"order": document(order, order.now)})
