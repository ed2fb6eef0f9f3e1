"""The requests about order groups: create, list, get, delete, reset, trigger, limit.

`is_auto_cancel_enabled` is true while a group is triggered, as one client's test against the demo has it.
"""

from typing import Any

from oms.sandbox import amounts
from oms.sandbox.calls import Call
from oms.sandbox.groups import MOST_GROUPS, Group
from oms.sandbox.limits import SHARDS
from oms.sandbox.refusals import not_found, refuse
from oms.sandbox.tickets import parse_object, subaccount_in, typed
from oms.sandbox.wire import Response, json_response

LIMIT_FIELDS = {"contracts_limit": "int64", "contracts_limit_fp": "string"}
CREATE_FIELDS = {**LIMIT_FIELDS, "subaccount": "int", "exchange_index": "int"}


def _limit_in(given: dict[str, Any]) -> int:
    """The limit in count_e2, from either form; both must say the same."""
    whole, text = given.get("contracts_limit"), given.get("contracts_limit_fp")
    if whole is None and text is None:
        raise refuse(400, "missing_parameters", details="contracts_limit or contracts_limit_fp is required")
    forms = {whole * 100} if whole is not None else set()
    if text is not None:
        forms.add(amounts.count_e2(text) or 0)
    limit = forms.pop()
    if forms or limit <= 0 or limit >= 2**63:
        raise refuse(400, "invalid_parameters", details="contracts_limit is above 0, and the same in both forms")
    return int(limit)


def create(call: Call) -> Response:
    """POST /portfolio/order_groups/create: 201."""
    given = typed(parse_object(call.request.body), CREATE_FIELDS, "CreateOrderGroupRequest")
    subaccount = call.subaccount(subaccount_in(given) if "subaccount" in given else None, 0) or 0
    shard = given.get("exchange_index", 0)
    if shard not in SHARDS:
        raise refuse(400, "invalid_parameters", details="exchange_index is 0 to 2")
    limit = _limit_in(given)
    if len(_mine(call)) >= MOST_GROUPS:
        raise refuse(400, "invalid_parameters", details=f"at most {MOST_GROUPS} order groups")
    group = call.state.new_group(call.account.user_id, subaccount, shard, limit)
    answer = {"order_group_id": group.group_id, "subaccount": subaccount, "exchange_index": shard}
    return json_response(201, answer)


def _mine(call: Call) -> list[Group]:
    """The groups of this user that were not deleted, oldest first."""
    groups = call.state.groups.values()
    return [group for group in groups if group.user_id == call.account.user_id and not group.is_deleted]


def _document(group: Group) -> dict[str, Any]:
    return {
        "contracts_limit_fp": amounts.count_text(group.limit_e2),
        "is_auto_cancel_enabled": group.is_triggered,
        "exchange_index": group.exchange_index,
    }


def list_groups(call: Call) -> Response:
    """GET /portfolio/order_groups: of one subaccount, or of all."""
    subaccount = call.subaccount(call.integer("subaccount"), None)
    rows = [
        {"id": group.group_id, **_document(group)} for group in _mine(call) if subaccount in (None, group.subaccount)
    ]
    return json_response(200, {"order_groups": rows})


def get_group(call: Call) -> Response:
    """GET /portfolio/order_groups/{order_group_id}: with the ids of its resting orders."""
    group = _find(call, call.subaccount(call.integer("subaccount"), None), None)
    orders = call.state.orders_of_group(group.group_id)
    resting = [order.order_id for order in orders if order.now.status == "resting"]
    return json_response(200, {**_document(group), "orders": resting})


def _find(call: Call, subaccount: int | None, shard: int | None) -> Group:
    group = call.state.groups.get(call.path["order_group_id"])
    if group is None or group.user_id != call.account.user_id or group.is_deleted:
        raise not_found()
    if subaccount not in (None, group.subaccount) or shard not in (None, group.exchange_index):
        raise not_found()
    return group


def _to_change(call: Call) -> Group:
    """The group a write is about: on shard 0 and in the primary subaccount, unless the query says otherwise."""
    subaccount = call.subaccount(call.integer("subaccount"), 0)
    return _find(call, subaccount, call.integer("exchange_index") or 0)


def delete(call: Call) -> Response:
    """DELETE /portfolio/order_groups/{order_group_id}: its orders are canceled, and it is gone."""
    group = _to_change(call)
    call.desk.trigger(group, call.when)
    group.is_deleted = True
    call.state.keep_group(group)
    return json_response(200, {})


def trigger(call: Call) -> Response:
    """PUT /portfolio/order_groups/{order_group_id}/trigger: cancel its orders, refuse new ones until reset."""
    call.desk.trigger(_to_change(call), call.when)
    return json_response(200, {})


def reset(call: Call) -> Response:
    """PUT /portfolio/order_groups/{order_group_id}/reset: count from zero, and take orders again."""
    group = _to_change(call)
    group.reset()
    call.state.keep_group(group)
    return json_response(200, {})


def update_limit(call: Call) -> Response:
    """PUT /portfolio/order_groups/{order_group_id}/limit: triggers at once if as many matched already."""
    limit = _limit_in(typed(parse_object(call.request.body), LIMIT_FIELDS, "UpdateOrderGroupLimitRequest"))
    group = _to_change(call)
    group.limit_e2 = limit
    if group.is_hit(call.when.at_us):
        call.desk.trigger(group, call.when)
    call.state.keep_group(group)
    return json_response(200, {})
