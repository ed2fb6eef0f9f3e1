"""The operations of the exchange: path, name, who may call, what it costs, and who handles it."""

import re
from collections.abc import Callable
from typing import NamedTuple

from oms.sandbox import group_requests, portfolio, public, reads, subaccounts, v1, writes
from oms.sandbox.calls import Call
from oms.sandbox.limits import COSTS, DEFAULT_COST
from oms.sandbox.wire import PREFIX, Response


class Operation(NamedTuple):
    """One endpoint. Without a scope it is public; `bucket` is read, write or balance."""

    name: str
    method: str
    path: str
    handle: Callable[[Call], Response]
    scope: str | None = "read"
    bucket: str = "read"
    is_batch: bool = False

    @property
    def cost(self) -> int:
        """Tokens for one call, or for each item of a batch."""
        return COSTS.get((self.method, self.path.replace("{order_id}", ":order_id")), DEFAULT_COST)


_V2 = "/portfolio/events/orders"
_V1 = "/portfolio/orders"
_SUBACCOUNTS = "/portfolio/subaccounts"
_GROUPS = "/portfolio/order_groups"


def _write(name: str, method: str, path: str, handle: Callable[[Call], Response], is_batch: bool = False) -> Operation:
    return Operation(name, method, path, handle, "write::trade", "write", is_batch)


def _public(name: str, path: str, handle: Callable[[Call], Response]) -> Operation:
    return Operation(name, "GET", path, handle, None)


OPERATIONS = (
    _write("CreateOrderV2", "POST", _V2, writes.create),
    _write("BatchCreateOrdersV2", "POST", f"{_V2}/batched", writes.create_batch, is_batch=True),
    _write("BatchCancelOrdersV2", "DELETE", f"{_V2}/batched", writes.cancel_batch, is_batch=True),
    _write("CancelAllOrdersV2", "DELETE", _V2, writes.cancel_all),
    _write("CancelOrderV2", "DELETE", f"{_V2}/{{order_id}}", writes.cancel),
    _write("AmendOrderV2", "POST", f"{_V2}/{{order_id}}/amend", writes.amend),
    _write("DecreaseOrderV2", "POST", f"{_V2}/{{order_id}}/decrease", writes.decrease),
    _write("CreateOrder", "POST", _V1, v1.create),
    _write("BatchCreateOrders", "POST", f"{_V1}/batched", v1.create_batch, is_batch=True),
    _write("BatchCancelOrders", "DELETE", f"{_V1}/batched", v1.cancel_batch, is_batch=True),
    _write("CancelOrder", "DELETE", f"{_V1}/{{order_id}}", v1.cancel),
    _write("AmendOrder", "POST", f"{_V1}/{{order_id}}/amend", v1.amend),
    _write("PutOrder", "PUT", f"{_V1}/{{order_id}}", v1.put),
    _write("DecreaseOrder", "POST", f"{_V1}/{{order_id}}/decrease", v1.decrease),
    Operation("GetOrderGroups", "GET", _GROUPS, group_requests.list_groups),
    Operation("GetOrderGroup", "GET", f"{_GROUPS}/{{order_group_id}}", group_requests.get_group),
    _write("CreateOrderGroup", "POST", f"{_GROUPS}/create", group_requests.create),
    _write("DeleteOrderGroup", "DELETE", f"{_GROUPS}/{{order_group_id}}", group_requests.delete),
    _write("ResetOrderGroup", "PUT", f"{_GROUPS}/{{order_group_id}}/reset", group_requests.reset),
    _write("TriggerOrderGroup", "PUT", f"{_GROUPS}/{{order_group_id}}/trigger", group_requests.trigger),
    _write("UpdateOrderGroupLimit", "PUT", f"{_GROUPS}/{{order_group_id}}/limit", group_requests.update_limit),
    Operation("GetOrders", "GET", _V1, reads.list_orders),
    Operation("GetQueuePositions", "GET", f"{_V1}/queue_positions", reads.list_queue_positions),
    Operation("GetOrder", "GET", f"{_V1}/{{order_id}}", reads.get_order),
    Operation("GetQueuePosition", "GET", f"{_V1}/{{order_id}}/queue_position", reads.get_queue_position),
    Operation("GetFills", "GET", "/portfolio/fills", reads.list_fills),
    Operation("GetPositions", "GET", "/portfolio/positions", portfolio.list_positions),
    Operation("GetSettlements", "GET", "/portfolio/settlements", portfolio.list_settlements),
    Operation("GetBalance", "GET", "/portfolio/balance", portfolio.get_balance, "read::portfolio_balance", "balance"),
    Operation("GetDeposits", "GET", "/portfolio/deposits", portfolio.list_deposits),
    Operation("GetWithdrawals", "GET", "/portfolio/withdrawals", portfolio.list_withdrawals),
    Operation(
        "GetRestingOrderValue", "GET", "/portfolio/summary/total_resting_order_value", portfolio.get_resting_value
    ),
    Operation("GetSubaccountBalances", "GET", f"{_SUBACCOUNTS}/balances", subaccounts.list_balances),
    Operation("GetSubaccountTransfers", "GET", f"{_SUBACCOUNTS}/transfers", subaccounts.list_transfers),
    Operation("GetSubaccountNetting", "GET", f"{_SUBACCOUNTS}/netting", subaccounts.list_netting),
    Operation("CreateSubaccount", "POST", _SUBACCOUNTS, subaccounts.create, "write::transfer"),
    Operation("ApplySubaccountTransfer", "POST", f"{_SUBACCOUNTS}/transfer", subaccounts.transfer, "write::transfer"),
    Operation("UpdateSubaccountNetting", "PUT", f"{_SUBACCOUNTS}/netting", subaccounts.update_netting, "write"),
    Operation("GetHistoricalOrders", "GET", "/historical/orders", reads.list_historical_orders),
    Operation("GetHistoricalFills", "GET", "/historical/fills", reads.list_historical_fills),
    Operation("GetHistoricalPositions", "GET", "/historical/positions", portfolio.list_historical_positions),
    Operation("GetLimits", "GET", "/account/limits", reads.get_limits),
    Operation("GetApiKeys", "GET", "/api_keys", reads.list_api_keys),
    _public("GetEndpointCosts", "/account/endpoint_costs", public.get_costs),
    _public("GetHistoricalCutoff", "/historical/cutoff", public.get_historical_cutoff),
    _public("GetExchangeStatus", "/exchange/status", public.get_status),
    _public("GetExchangeSchedule", "/exchange/schedule", public.get_schedule),
    _public("GetUserDataTimestamp", "/exchange/user_data_timestamp", public.get_user_data_timestamp),
    _public("GetMarkets", "/markets", public.list_markets),
    _public("GetTrades", "/markets/trades", public.list_trades),
    _public("GetOrderbooks", "/markets/orderbooks", public.list_orderbooks),
    _public("GetMarket", "/markets/{ticker}", public.get_market),
    _public("GetOrderbook", "/markets/{ticker}/orderbook", public.get_orderbook),
    _public("GetEvents", "/events", public.list_events),
    _public("GetEvent", "/events/{event_ticker}", public.get_event),
    _public("GetSeriesList", "/series", public.list_series),
    _public("GetSeries", "/series/{series_ticker}", public.get_series),
)

_EXACT = {(op.method, PREFIX + op.path): op for op in OPERATIONS if "{" not in op.path}
_PATTERNS = [
    (op, re.compile(re.escape(PREFIX) + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", op.path)))
    for op in OPERATIONS
    if "{" in op.path
]
NAMES = frozenset(op.name for op in OPERATIONS)


def find(method: str, path: str) -> tuple[Operation | None, dict[str, str]]:
    """The operation of a request and the parameters in its path; None for what the exchange does not have."""
    exact = _EXACT.get((method, path))
    if exact is not None:
        return exact, {}
    for operation, pattern in _PATTERNS:
        if operation.method == method:
            found = pattern.fullmatch(path)
            if found is not None:
                return operation, found.groupdict()
    return None, {}
