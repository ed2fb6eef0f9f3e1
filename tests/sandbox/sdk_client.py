"""Kalshi's official Python SDK against an exchange, unchanged but for the host. Run by its own interpreter.

    python sdk_client.py BASE_URL KEY_ID PRIVATE_KEY_PATH

Prints one JSON object: step -> what the SDK made of the answer. It validates every answer against its models.
"""

import json
import sys
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from kalshi_python_sync import Configuration, KalshiClient  # type: ignore[import-not-found]
from kalshi_python_sync.exceptions import ApiException  # type: ignore[import-not-found]


def connect(base_url: str, key_id: str, private_key_path: str) -> Any:
    """A client of the SDK, as its README builds one."""
    config = Configuration(host=base_url)
    config.api_key_id = key_id
    config.private_key_pem = Path(private_key_path).read_text()
    return KalshiClient(config)


def order(ticker: str, **changes: Any) -> dict[str, Any]:
    """The keyword arguments of a create that rests."""
    usual = {
        "ticker": ticker,
        "client_order_id": str(uuid.uuid4()),
        "side": "bid",
        "count": "1.00",
        "price": "0.0100",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
    }
    return {**usual, **changes}


def write(client: Any, ticker: str) -> dict[str, Any]:
    """Every write, and the reads of single orders."""
    said: dict[str, Any] = {}
    wanted = order(ticker)
    created = client.create_order_v2(**wanted)
    said["create"] = [created.client_order_id == wanted["client_order_id"], created.remaining_count]
    try:
        client.create_order_v2(**wanted)
    except ApiException as refused:
        said["duplicate"] = [refused.status, json.loads(refused.body)["error"]["code"]]
    said["get"] = client.get_order(order_id=created.order_id).order.status
    said["queue"] = client.get_order_queue_position(order_id=created.order_id).queue_position_fp != ""
    amended = client.amend_order_v2(order_id=created.order_id, ticker=ticker, side="bid", price="0.0200", count="3.00")
    said["amend"] = amended.remaining_count
    said["decrease"] = client.decrease_order_v2(order_id=created.order_id, reduce_by="1.00").remaining_count
    said["list"] = [listed.order_id == created.order_id for listed in client.get_orders(status="resting").orders]
    said["cancel"] = client.cancel_order_v2(order_id=created.order_id, market_ticker=ticker).reduced_by
    batch = client.batch_create_orders_v2(orders=[order(ticker), order(ticker), order(ticker, price="0.0105")]).orders
    said["batch_create"] = [item.error.code if item.error else item.remaining_count for item in batch]
    gone = [{"order_id": item.order_id, "market_ticker": ticker} for item in batch[:2]]
    gone.append({"order_id": created.order_id, "market_ticker": ticker})
    canceled = client.batch_cancel_orders_v2(orders=gone).orders
    said["batch_cancel"] = [item.error.code if item.error else item.reduced_by for item in canceled]
    taken = client.create_order_v2(**order(ticker, price="0.9900", time_in_force="immediate_or_cancel"))
    said["take"] = [taken.fill_count, taken.average_fill_price != ""]
    client.cancel_all_orders()
    return said


def read(client: Any, ticker: str) -> dict[str, Any]:
    """Every read of the account, the markets and the exchange."""
    return {
        "fills": [fill.count_fp for fill in client.get_fills().fills],
        "positions": [held.position_fp for held in client.get_positions().market_positions],
        "balance": client.get_balance().balance > 0,
        "settlements": len(client.get_settlements().settlements),
        "resting_value": client.get_portfolio_resting_order_total_value().total_resting_order_value,
        "subaccounts": len(client.get_subaccount_balances().subaccount_balances) > 0,
        "orderbook": len(client.get_market_orderbook(ticker=ticker).orderbook_fp.yes_dollars) > 0,
        "orderbooks": len(client.get_market_orderbooks(tickers=[ticker]).orderbooks),
        "trades": len(client.get_trades(ticker=ticker).trades) > 0,
        "markets": len(client.get_markets(limit=1000).markets),
        "series": len(client.get_series_list().series),
        "events": len(client.get_events(with_nested_markets=True).events),
        "event": len(client.get_event(event_ticker=ticker.rsplit("-", 1)[0]).markets),
        "status": client.get_exchange_status().trading_active,
        "schedule": len(client.get_exchange_schedule().schedule.standard_hours),
        "as_of": abs(client.get_user_data_timestamp().as_of_time.timestamp() - time.time()) < 60,
        "cutoff": client.get_historical_cutoff().orders_updated_ts.timestamp() < time.time(),
        "historical_orders": len(client.get_historical_orders().orders),
        "historical_fills": len(client.get_fills_historical().fills),
        "limits": client.get_account_api_limits().write.bucket_capacity,
        "costs": client.get_account_endpoint_costs().default_cost,
        "keys": len(client.get_api_keys().api_keys),
    }


def group(client: Any, ticker: str) -> dict[str, Any]:
    """The whole life of an order group."""
    made = client.create_order_group(contracts_limit=5).order_group_id
    placed = client.create_order_v2(**order(ticker, order_group_id=made))
    said: dict[str, Any] = {"group": [each.id == made for each in client.get_order_groups().order_groups]}
    said["group_orders"] = client.get_order_group(order_group_id=made).orders == [placed.order_id]
    said["order_in_group"] = client.get_order(order_id=placed.order_id).order.order_group_id == made
    client.update_order_group_limit(order_group_id=made, contracts_limit=7)
    said["group_limit"] = client.get_order_group(order_group_id=made).contracts_limit_fp
    client.trigger_order_group(order_group_id=made)
    said["group_triggered"] = client.get_order(order_id=placed.order_id).order.status
    client.reset_order_group(order_group_id=made)
    client.create_order_v2(**order(ticker, order_group_id=made))
    client.delete_order_group(order_group_id=made)
    said["group_deleted"] = len(client.get_order_groups().order_groups)
    return said


def subaccount(client: Any, ticker: str) -> dict[str, Any]:
    """A new subaccount, money for it, and an order in it."""
    number = client.create_subaccount().subaccount_number
    name = str(uuid.uuid4())
    client.apply_subaccount_transfer(
        client_transfer_id=name, from_subaccount=0, to_subaccount=number, amount_cents=5_000
    )
    placed = client.create_order_v2(**order(ticker, subaccount=number))
    said = {
        "subaccount": number,
        "transfers": [transfer.amount_cents for transfer in client.get_subaccount_transfers().transfers],
        "its_balance": client.get_balance(subaccount=number).balance,
        "its_orders": [each.order_id == placed.order_id for each in client.get_orders(subaccount=number).orders],
        "netting": len(client.get_subaccount_netting().netting_configs),
    }
    client.cancel_order_v2(order_id=placed.order_id, market_ticker=ticker, subaccount=number)
    return said


def settle(client: Any, base_url: str, ticker: str) -> dict[str, Any]:
    """A position that is paid out, and a deposit."""
    client.create_order_v2(**order(ticker, price="0.9900", count="2.00", time_in_force="immediate_or_cancel"))
    control = base_url.rsplit("/trade-api/", 1)[0] + "/sandbox/control"
    turn = {"market": {"ticker": ticker, "status": "settled", "result": "scalar", "value": "0.3700"}}
    for change in (turn, {"deposit": {"dollars": "7.00"}}):
        urllib.request.urlopen(control, json.dumps(change).encode(), timeout=10).close()
    (paid,) = client.get_settlements(ticker=ticker).settlements
    found = client.get_market(ticker=ticker).market
    return {
        "settlement": [paid.market_result, paid.yes_count_fp, paid.revenue, paid.value],
        "settled_market": [found.status, found.result, found.settlement_value_dollars],
        "settled_positions": len(client.get_positions(settlement_status="settled").market_positions),
        "archived_positions": len(client.get_historical_positions().market_positions),
        "deposits": [deposit.amount_cents for deposit in client.get_deposits().deposits],
        "withdrawals": len(client.get_withdrawals().withdrawals),
        "queue_positions": len(client.get_order_queue_positions(market_tickers=ticker).queue_positions),
    }


def main() -> None:
    """Run all steps against the exchange of the command line."""
    client = connect(*sys.argv[1:4])
    first, second = client.get_markets(limit=2, status="open").markets
    found = client.get_market(ticker=first.ticker).market
    said = {"market": [found.ticker == first.ticker, found.status, len(found.price_ranges)]}
    said.update(write(client, first.ticker))
    said.update(read(client, first.ticker))
    said.update(group(client, first.ticker))
    time.sleep(1.1)  # the balance may be asked once a second
    said.update(subaccount(client, first.ticker))
    said.update(settle(client, sys.argv[1], second.ticker))
    print(json.dumps(said))


if __name__ == "__main__":
    main()
