"""What happens to an account without its asking, and money that comes and goes."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from oms.sandbox.incidents import REASONS
from tests.sandbox.stepping import ORDERS, START_US, TICKER, Steps

SECOND = START_US // 1_000_000
IOC = {"time_in_force": "immediate_or_cancel"}


@pytest.fixture
def steps() -> Steps:
    return Steps()


def balance(steps: Steps, **query: Any) -> Fraction:
    return Fraction(steps.get("/portfolio/balance", **query)["balance_dollars"])


@pytest.mark.parametrize("reason", REASONS)
def test_the_exchange_cancels_an_order_for_any_of_its_reasons(tmp_path: Path, reason: str) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    order_id = steps.create(client_order_id="one", count="5.00").json["order_id"]
    steps.control(trade={"ticker": TICKER, "side": "ask", "price": "0.0100", "count": "2.00"})
    assert steps.control(cancel={"order": "one", "reason": reason})["canceled_orders"] == 1
    steps.reopen()
    (row,) = steps.listed()
    assert (row["status"], row["fill_count_fp"], row["remaining_count_fp"]) == ("canceled", "2.00", "0.00")
    assert steps.exchange.state.by_order_id[order_id].now.reason == reason
    assert steps.cancel(order_id).status == 404
    assert steps.control(cancel={"order": order_id})["canceled_orders"] == 0


def test_all_orders_of_a_market_may_be_canceled_and_strangers_stay(steps: Steps) -> None:
    before = steps.best()
    for name in "ab":
        steps.create(client_order_id=name)
    steps.create(client_order_id="elsewhere", ticker="SBXRAIN-A-T20")
    assert steps.control(cancel={"ticker": TICKER, "reason": "HaltCancel"})["canceled_orders"] == 2
    assert [row["client_order_id"] for row in steps.listed(status="resting")] == ["elsewhere"]
    assert steps.best() == before


def test_a_fill_may_be_printed_after_the_cancel(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    order_id = steps.create(client_order_id="one", price="0.0200", count="5.00").json["order_id"]
    assert steps.cancel(order_id).json["reduced_by"] == "5.00"
    steps.wait(1_000)
    for count, shown in (
        ("1.95", ("canceled", "1.95", "0.00")),
        ("0.05", ("canceled", "2.00", "0.00")),
        ("3.00", ("executed", "5.00", "0.00")),
    ):
        steps.control(late_fill={"order": "one", "count": count})
        steps.reopen()
        (row,) = steps.listed()
        assert (row["status"], row["fill_count_fp"], row["remaining_count_fp"]) == shown
    fills = steps.get("/portfolio/fills", order_id=order_id)["fills"]
    assert [fill["count_fp"] for fill in fills] == ["3.00", "0.05", "1.95"]
    assert (
        len({fill["fill_id"] for fill in fills} | {row["trade_id"] for row in steps.get("/markets/trades")["trades"]})
        == 3
    )
    assert steps.listed()[0]["maker_fill_cost_dollars"] == "0.100000"
    assert balance(steps, exchange_index=0) == 1_000_000 - Fraction("0.10")
    assert [row["position_fp"] for row in steps.get("/portfolio/positions")["market_positions"]] == ["5.00"]


def test_a_late_fill_is_for_canceled_orders_and_no_more_than_they_left(steps: Steps) -> None:
    order_id = steps.create(client_order_id="one", count="5.00").json["order_id"]
    with pytest.raises(ValueError, match="this one is resting"):
        steps.control(late_fill={"order": order_id, "count": "1.00"})
    steps.cancel(order_id)
    for given in ({"count": "5.01"}, {"count": "0"}, {"count": "x"}, {}):
        with pytest.raises(ValueError, match=r"contracts unfilled|count above 0"):
            steps.control(late_fill={"order": order_id, **given})
    with pytest.raises(ValueError, match="no order other of an account"):
        steps.control(late_fill={"order": "other", "count": "1.00"})
    with pytest.raises(ValueError, match=r"cancel\.reason"):
        steps.control(cancel={"order": order_id, "reason": "Boredom"})
    assert steps.get("/portfolio/fills")["fills"] == []


def test_a_whole_contract_may_be_filled_in_hundredths_by_its_counterparties(steps: Steps) -> None:
    middle = f"{(sum(int(price.replace('.', '')) for price in steps.best()) // 200) / 100:.4f}"
    for count in ("0.95", "0.05"):
        steps.control(quote={"ticker": TICKER, "side": "ask", "price": middle, "count": count})
    taken = steps.create(client_order_id="taker", price=middle, count="1.00", **IOC)
    assert (taken.json["fill_count"], taken.json["remaining_count"]) == ("1.00", "0.00")
    steps.create(client_order_id="maker", price="0.0200", count="1.00")
    for count, status in (("0.95", "resting"), ("0.05", "executed")):
        steps.control(trade={"ticker": TICKER, "side": "ask", "price": "0.0200", "count": count})
        assert steps.listed()[0]["status"] == status
    assert [fill["count_fp"] for fill in steps.get("/portfolio/fills")["fills"]] == ["0.05", "0.95", "0.05", "0.95"]


def test_deposits_and_withdrawals_change_the_balance_and_are_listed(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    steps.control(deposit={"dollars": "12.34"})
    steps.wait(10_000)
    steps.control(withdraw={"dollars": "2.00"})
    steps.reopen()
    assert balance(steps, exchange_index=0) == 1_000_000 + Fraction("10.34")
    (deposit,), (withdrawal,) = (
        steps.get("/portfolio/deposits")["deposits"],
        steps.get("/portfolio/withdrawals")["withdrawals"],
    )
    assert deposit == {
        "id": deposit["id"],
        "status": "applied",
        "type": "ach",
        "amount_cents": 1234,
        "fee_cents": 0,
        "created_ts": SECOND,
        "finalized_ts": SECOND,
    }
    assert (withdrawal["amount_cents"], withdrawal["created_ts"]) == (200, SECOND + 10)
    assert deposit["id"] != withdrawal["id"]


def test_a_pause_cancels_who_asked_for_it_and_lets_the_others_rest(steps: Steps) -> None:
    for pause in ("trading", "exchange"):
        steps.create(client_order_id=f"stays-{pause}")
        steps.create(client_order_id=f"goes-{pause}", cancel_order_on_pause=True)
        steps.control(pause=pause)
        assert steps.create().code == f"{pause}_is_paused"
        canceled = [row for row in steps.listed(status="canceled") if row["client_order_id"] == f"goes-{pause}"]
        assert steps.exchange.state.by_order_id[canceled[0]["order_id"]].now.reason == "HaltCancel"
        stays = next(row["order_id"] for row in steps.listed(status="resting"))
        assert steps.cancel(stays).status == (200 if pause == "trading" else 409)
        assert steps.call("DELETE", ORDERS).status == (204 if pause == "trading" else 409)
        steps.control(pause="none")
