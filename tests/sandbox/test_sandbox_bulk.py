"""A past made at once fits together as if it had been traded, and is read in pages in no time."""

import time
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from oms.sandbox.account import Account
from oms.sandbox.bulk import Made, Served, Wanted, fill_account, load
from oms.sandbox.options import ServeOptions
from oms.sandbox.orders import cost_e6
from tests.sandbox.running import start_sandbox
from tests.sandbox.stepping import START_US, TICKER, Steps

WANTED = Wanted(orders=700, fills=2_000, resting=60, days=30)


def filled(path: Path | str = ":memory:", wanted: Wanted = WANTED) -> Steps:
    steps = Steps(path)
    fill_account(steps.exchange, wanted, START_US)
    return steps


def account_of(steps: Steps) -> Account:
    return steps.exchange.state.accounts[steps.exchange.state.user_id]


def pages(steps: Steps, path: str, key: str, **query: Any) -> list[dict[str, Any]]:
    rows, cursor = [], ""
    while True:
        page = steps.get(path, cursor=cursor, limit=300, **query)
        rows += page[key]
        cursor = page["cursor"]
        if not cursor:
            return rows


def test_it_makes_what_was_asked_for_in_every_state_shard_and_subaccount() -> None:
    steps = filled()
    orders, fills = pages(steps, "/portfolio/orders", "orders"), pages(steps, "/portfolio/fills", "fills")
    assert (len(orders), len(fills)) == (700, 2_000)
    assert len({row["order_id"] for row in orders} | {row["client_order_id"] for row in orders}) == 1_400
    assert len({row["fill_id"] for row in fills}) == 2_000
    statuses = [row["status"] for row in orders]
    assert statuses[:60] == ["resting"] * 60
    assert {"executed", "canceled"} == set(statuses[60:])
    assert {row["exchange_index"] for row in orders} == {0, 1, 2}
    assert {row["subaccount_number"] for row in orders} == {0, 1}
    assert any(not row["count_fp"].endswith(".00") for row in fills)
    created = [row["created_time"] for row in orders]
    assert created == sorted(created, reverse=True)
    assert created[-1].startswith("2026-08-22")


def test_each_order_is_the_sum_of_its_fills() -> None:
    account = account_of(filled())
    for order in account.orders:
        now, fills = order.now, account.fills_of.get(order.order_id, [])
        assert now.fill_e2 == sum(fill.count_e2 for fill in fills)
        assert now.taker_fees_e6 + now.maker_fees_e6 == sum(fill.fee_e6 for fill in fills)
        costs = sum(cost_e6(order.ticket.side, fill.price_e4, fill.count_e2) for fill in fills)
        assert now.taker_cost_e6 + now.maker_cost_e6 == costs
        assert (now.initial_e2 == now.fill_e2) is (now.status == "executed")
        assert (now.remaining_e2 == now.initial_e2 - now.fill_e2) is (now.status != "canceled")


def test_positions_and_cash_follow_from_the_fills_to_the_last_digit() -> None:
    steps = filled()
    account = account_of(steps)
    position: dict[tuple[int, str], int] = defaultdict(int)
    for fill in account.fills:
        key = (fill.order.ticket.subaccount, fill.order.ticket.ticker)
        position[key] += fill.count_e2 if fill.order.ticket.side == "bid" else -fill.count_e2
    assert {key: holding.now.position_e2 for key, holding in account.holdings.items()} == position
    markets = steps.exchange.state.markets
    change: dict[tuple[int, int], int] = defaultdict(int)
    for (subaccount, ticker), holding in account.holdings.items():
        held = holding.now
        change[subaccount, markets[ticker].exchange_index] += held.realized_e6 - held.exposure_e6 - held.fees_e6
    first = {(0, 0): 10**12, (0, 1): 10**11, (0, 2): 10**11, (1, 0): 10**10}
    for key, purse in account.purses.items():
        assert purse.cash_e6 == first[key] + change[key]
        resting = [o for o in account.orders if (o.ticket.subaccount, o.exchange_index) == key]
        assert purse.reserved_e6 == sum(order.now.reserved_e6 for order in resting)
    assert sum(trade.count_e2 for trade in steps.exchange.state.trades) == sum(f.count_e2 for f in account.fills)


def test_a_purse_that_would_run_dry_is_paid_into_and_the_deposit_is_listed() -> None:
    steps = Steps()
    for subaccount, shard in ((0, 0), (0, 1), (0, 2), (1, 0)):
        steps.control(balance={"dollars": "0.00", "subaccount": subaccount, "exchange_index": shard})
    made = fill_account(steps.exchange, WANTED, START_US)
    deposits = steps.get("/portfolio/deposits")["deposits"]
    assert sum(row["amount_cents"] for row in deposits) * 10_000 == made.deposited_e6 > 0
    assert all(purse.available_e6 >= 0 for purse in account_of(steps).purses.values())


def test_it_goes_on_as_any_exchange_and_survives_a_restart(tmp_path: Path) -> None:
    steps = filled(tmp_path / "exchange.sqlite3")
    paths = ("/portfolio/orders", "/portfolio/fills", "/portfolio/positions", "/portfolio/balance", "/markets")
    before = [steps.get(path) for path in paths]
    steps.reopen()
    assert [steps.get(path) for path in paths] == before
    assert steps.create(client_order_id="new").status == 201
    assert steps.create(client_order_id="new").status == 409
    oldest = pages(steps, "/portfolio/orders", "orders", status="resting")[-1]
    assert (
        steps.cancel(oldest["order_id"], market_ticker=oldest["ticker"], subaccount=oldest["subaccount_number"]).status
        == 200
    )
    (row,) = steps.get("/portfolio/orders", ticker=TICKER, status="resting", limit=1)["orders"]
    assert row["client_order_id"] == "new"
    bid, ask = steps.best()
    assert Fraction(bid) < Fraction(ask)


def test_the_same_request_makes_the_same_past_and_a_second_one_adds_to_it() -> None:
    one, other = Steps(), Steps()
    for steps in (one, other):
        fill_account(steps.exchange, WANTED, START_US)
        fill_account(steps.exchange, Wanted(10, 0), START_US)
    assert pages(one, "/portfolio/orders", "orders") == pages(other, "/portfolio/orders", "orders")
    assert len(account_of(one).orders) == 710


def test_what_is_older_than_the_cutoff_is_in_the_historical_lists() -> None:
    steps = filled(wanted=Wanted(orders=400, fills=800, resting=20, days=180))
    live, old = (len(pages(steps, f"/{where}/orders", "orders")) for where in ("portfolio", "historical"))
    assert live + old == 400
    assert 150 < live < 250
    live, old = (len(pages(steps, f"/{where}/fills", "fills")) for where in ("portfolio", "historical"))
    assert live + old == 800
    assert old > 300


@pytest.mark.parametrize("wanted", [Wanted(0, 0), Wanted(1, -1), Wanted(1, 0, 2), Wanted(1, 0, 0, 0)])
def test_what_cannot_be_is_refused(wanted: Wanted) -> None:
    with pytest.raises(ValueError, match="at least one"):
        fill_account(Steps().exchange, wanted, START_US)


def test_a_served_directory_is_left_alone(tmp_path: Path) -> None:
    options = ServeOptions(dir=tmp_path / "x")
    assert load(options, Wanted(orders=50, fills=100, resting=5)) == Made(50, 100, 5, 27, 0)
    with start_sandbox(tmp_path / "x", tier="unlimited") as sandbox:
        with pytest.raises(Served):
            load(options, Wanted(orders=1, fills=0))
        assert len(sandbox.call("GET", "/portfolio/orders", limit=1000).json()["orders"]) == 50
    load(options, Wanted(orders=1, fills=0))


@pytest.mark.slow
def test_twenty_thousand_orders_are_made_and_read_in_seconds(tmp_path: Path) -> None:
    begun = time.process_time()
    load(ServeOptions(dir=tmp_path / "x"), Wanted(orders=20_000, fills=60_000, resting=1_000))
    assert time.process_time() - begun < 20
    found = {}
    with start_sandbox(tmp_path / "x", tier="unlimited") as sandbox:
        begun = time.monotonic()
        for key in ("orders", "fills"):
            cursor, ids = "", set()
            while True:
                page = sandbox.call("GET", f"/portfolio/{key}", limit=1000, cursor=cursor).json()
                ids |= {row[f"{key[:-1]}_id"] for row in page[key]}
                cursor = page["cursor"]
                if not cursor:
                    break
            found[key] = len(ids)
        took_s = time.monotonic() - begun
    assert found == {"orders": 20_000, "fills": 60_000}
    assert took_s < 30
